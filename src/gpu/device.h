/* The gpu device's tables, and how one is opened. */
#ifndef DT_GPU_DEVICE_H
#define DT_GPU_DEVICE_H

#include "gpu/gpu.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fills in gpu->base. rank: dt_device_options.rank. */
void dt_gpu_init(dt_gpu *gpu, dt_rank_state *rank);
/* environment.c: DT_ENVIRONMENT for a variable by which others than the config would decide what is computed. */
dt_status dt_gpu_environment_check(void);
/* Chooses a GPU for this rank, makes it the thread's, and opens its streams; says in one line what is missing or too old.
 * DT_ENVIRONMENT. */
dt_status dt_gpu_open(dt_gpu *gpu, int local_rank);
/* Takes what plans need from a model, and calls nothing of CUDA. DT_USAGE when there is no such model. */
dt_status dt_gpu_open_model(dt_gpu *gpu, const char *name);
/* What a buffer of the arena holds, but for WORK and TENSOR; it takes this, rounded up. */
size_t dt_gpu_filled_bytes(const dt_gpu *gpu, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity, int shards);

#ifdef __cplusplus
}
#endif

#endif
