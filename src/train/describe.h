/* What a config will do, before it does it: the tables of `dtrain describe`. */
#ifndef DT_TRAIN_DESCRIBE_H
#define DT_TRAIN_DESCRIBE_H

#include "core/config/spec.h"
#include "core/device.h"
#include "train/memory.h"

/* One line a layer: index and name as --set takes them, output shape, parameters, FLOPs of one sample forward and backward (a
 * multiply-add counts as two; only convolutions and linear layers are counted), and the bytes of activations that one sample
 * leaves for backward. A layer that was fused into another leaves none. */
void dt_describe_layers(const dt_spec *spec, const dt_graph *graph, const dt_program *program, const dt_device *device,
                        FILE *out);
/* The memory of one rank: of a device with memory of its own to the byte, the data set left out, and for libraries, which do
 * not tell, an allowance beside the total; on the host all that a run takes beyond the program itself. */
void dt_describe_memory(dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                        const dt_program *eval, const dt_memory_setting *setting, FILE *out);
/* The learning rate over the whole training, drawn in text. Data are not read, so where the config counts in epochs the curve
 * takes an epoch for 100 global batches. */
void dt_describe_schedule(const dt_spec *spec, FILE *out);

#endif
