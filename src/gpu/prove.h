/* What the engines of libraries promise is seen by bytes before the first step. */
#ifndef DT_GPU_PROVE_H
#define DT_GPU_PROVE_H

#include "gpu/gpu.h"

/* For each instruction of the run that a library computes, and each number of shards in `counts` (as bits: they are powers of
 * two), on random values in the places where the step will have its own: that the plan gives the same bits twice, else
 * DT_ENVIRONMENT; and whether the plan for several shards gives those of shards one by one, which decides on how they are
 * computed (dt_gpu_batching). Waits. What lies in the arena is lost; slices of the gradient block that are written are zeros
 * afterwards. */
dt_status dt_gpu_prove(dt_run *run, unsigned counts);

#endif
