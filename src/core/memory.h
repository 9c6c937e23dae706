/* What the memory of a rank is made of; train/memory.h adds it up. */
#ifndef DT_CORE_MEMORY_H
#define DT_CORE_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dt_memory {
  size_t params, slots, states; /* all slots together */
  size_t gradients;             /* of all nodes of the tree */
  size_t activations;           /* arena of the training program */
  size_t evaluation;            /* arena of the evaluation program; 0 where it works in the training's */
  size_t device; /* what the device keeps besides: inputs on their way (the most they can be, where the data set may be cached),
                    copies in half precision */
  size_t reducer; /* gradients of other ranks that are being summed; on the host also what blocks are rounded up to */
  /* Where the device works in the host's memory; 0 elsewhere. */
  size_t data;      /* the data sets */
  size_t loader;    /* batches prepared ahead, for an evaluation besides the training's */
  size_t total;     /* all of these */
  size_t libraries; /* beyond the total: an allowance for what the device's libraries take */
} dt_memory;

/* What a plan depends on besides the programs. */
typedef struct dt_memory_setting {
  int64_t train_samples, eval_samples; /* of the data sets; 0 = none, or not known */
  size_t data_bytes;                   /* what they take */
  bool loaded;                         /* they are in memory already */
  int sharers;                         /* ranks on the device: each gets an equal share of it */
  bool one_host;                       /* all ranks share this host's memory */
} dt_memory_setting;

/* What was free on the device as a run went on, bytes: what its libraries have taken shows beside the plan. All 0 where the
 * device does not tell, or works in the host's memory, from which others take too. */
typedef struct dt_memory_seen {
  size_t all;     /* the device's whole memory */
  size_t opened;  /* libraries are open, nothing is allocated */
  size_t reducer; /* the reducer and its communicator are there */
  size_t ready;   /* everything is, the data set too */
  size_t ended;   /* after the last step; 0 before */
  size_t cached;  /* of the data sets that the device caches */
} dt_memory_seen;

#endif
