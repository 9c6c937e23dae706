/* The memory of a rank before anything is allocated: of the device to the byte, of the host but for small change. */
#ifndef DT_TRAIN_MEMORY_H
#define DT_TRAIN_MEMORY_H

#include "core/config/spec.h"
#include "core/device.h"
#include "core/memory.h"
#include "core/reducer.h"

/* Free bytes of the device, and all; 0 where it fails to tell, or works in the host's memory. */
size_t dt_memory_free(dt_device *device, size_t *out_all);

/* train or eval may be NULL. The tree is the rank's own; ranks with fewer shards may need less for inputs, and none needs more
 * than rank 0. */
dt_memory dt_memory_of(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                       const dt_program *eval, const dt_memory_setting *setting);

/* What the reducer of a training is asked for: for the plan as for the run. Borrows tree and train. */
dt_reducer_options dt_memory_reducer(const dt_device *device, const dt_spec *spec, const dt_tree *tree,
                                     const dt_program *train);

/* Whether the programs fit into what is free on the device, or into an equal share of it where several ranks work on it, with
 * the allowance for libraries. On the host the process's own limit counts too.
 * DT_MEMORY with the numbers and the largest train.global_batch that fits. */
dt_status dt_memory_check(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                          const dt_program *train, const dt_program *eval, const dt_memory_setting *setting);

#endif
