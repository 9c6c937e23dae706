/* The memory of a rank, to the byte, before anything is allocated. */
#ifndef DT_CORE_MEMORY_H
#define DT_CORE_MEMORY_H

#include "comm/comm.h"
#include "core/device.h"
#include "core/spec.h"

typedef struct dt_memory {
  size_t params, slots, states; /* all slots together */
  size_t gradients;             /* of all nodes of the tree */
  size_t activations;           /* arena of the training program */
  size_t evaluation;            /* arena of the evaluation program; 0 where it works in the training's */
  size_t device;  /* what the device keeps besides: inputs on their way (the most they can be, where the data set may be held),
                     copies in half precision */
  size_t reducer; /* gradients of other ranks that are being summed */
  size_t total;   /* all of these */
  size_t libraries; /* beyond the total: an allowance for what the device's libraries take */
} dt_memory;

/* What was free on the device as a run went on, bytes: what its libraries have taken shows beside the plan. All 0 where the
 * device does not tell. */
typedef struct dt_memory_seen {
  size_t all;     /* the device's whole memory */
  size_t opened;  /* libraries are open, nothing is allocated */
  size_t reducer; /* the reducer and its communicator are there */
  size_t ready;   /* everything is, the data set too */
  size_t ended;   /* after the last step; 0 before */
  size_t held;    /* of the data sets that the device holds */
} dt_memory_seen;

/* Free bytes of the device, and all; 0 where it does not tell. */
size_t dt_memory_free(dt_device *device, size_t *out_all);

/* train or eval may be NULL. The tree is the rank's own; ranks with fewer shards may need less for inputs, and none needs more
 * than rank 0. */
dt_memory dt_memory_of(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                       const dt_program *eval);

/* What the reducer of a training is asked for: for the plan as for the run. Borrows tree and train. */
dt_reducer_options dt_memory_reducer(const dt_device *device, const dt_spec *spec, const dt_tree *tree,
                                     const dt_program *train);

/* Whether the programs fit into what is free on the device, or into an equal share of it where several ranks work on it, with
 * the allowance for libraries; devices that do not tell hold anything. DT_MEMORY with the numbers and the largest
 * train.global_batch that fits. */
dt_status dt_memory_check(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                          const dt_program *train, const dt_program *eval, int sharers);

#endif
