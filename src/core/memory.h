/* The memory of a rank, to the byte, before anything is allocated. */
#ifndef DT_CORE_MEMORY_H
#define DT_CORE_MEMORY_H

#include "core/device.h"
#include "core/spec.h"

typedef struct dt_memory {
  size_t params, slots, states; /* all slots together */
  size_t gradients;             /* of all nodes of the tree */
  size_t activations;           /* arena of the training program */
  size_t evaluation;            /* arena of the evaluation program; 0 where it works in the training's */
  size_t device;                /* what the device keeps besides: staged inputs, copies in half precision */
  size_t total;
} dt_memory;

/* train or eval may be NULL. */
dt_memory dt_memory_of(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                       const dt_program *eval);

/* Whether the programs fit into what is free on the device; devices that do not tell hold anything. DT_MEMORY with both numbers
 * and the largest train.global_batch that fits. */
dt_status dt_memory_check(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                          const dt_program *train, const dt_program *eval);

#endif
