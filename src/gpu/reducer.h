/* What the reducers of the gpu device share: a gradient block in device memory, and the ordered sum of many roots. */
#ifndef DT_GPU_REDUCER_H
#define DT_GPU_REDUCER_H

#include "comm/comm.h"
#include "gpu/gpu.h"

/* A fold cut into launches of at most DT_GPU_FOLD_MAX sources each: every round but the last sums one subtree into its oldest
 * source, so that the order of additions, and with it every bit, is that of the whole fold. */
typedef struct dt_gpu_round {
  int source_first, source_count; /* in dt_gpu_rounds.source */
  int merge_first, merge_count;   /* in dt_gpu_rounds.merge, which count from the round's first source */
} dt_gpu_round;

typedef struct dt_gpu_rounds {
  dt_gpu_round *round;
  int count;
  int *source; /* indices of the fold's sources */
  dt_merge *merge;
} dt_gpu_rounds;

/* Cuts a fold (dt_tree.fold) over source_count sources; nothing is left to add when that is 0 or 1. Fills in out; release frees
 * what it holds. DT_MEMORY. */
dt_status dt_gpu_rounds_create(const dt_merge *fold, int fold_count, int source_count, dt_gpu_rounds *out);
void dt_gpu_rounds_release(dt_gpu_rounds *rounds);
/* out = fold over source[0..source_count), elementwise; sources may be overwritten, and out may be one of them. All in device
 * memory. Asynchronous on stream. */
dt_status dt_gpu_rounds_fold(const dt_gpu_rounds *rounds, float *const *source, int64_t count, float *out, cudaStream_t stream);

/* The beginning of every reducer here. */
typedef struct dt_gpu_reducer {
  dt_reducer base;
  dt_device *device;
  dt_comm *comm;
  dt_reducer_options options; /* bucket and tree are borrowed */
} dt_gpu_reducer;

/* Fills in the beginning. Not collective. */
dt_status dt_gpu_reducer_start(dt_gpu_reducer *reducer, const dt_reducer_ops *ops, bool records, dt_device *device,
                               dt_comm *comm, const dt_reducer_options *options);
/* Bytes of the gradient block, and the block. DT_MEMORY. */
size_t dt_gpu_reducer_block(const dt_reducer_options *options);
dt_status dt_gpu_reducer_alloc(dt_gpu_reducer *reducer);
/* Frees the gradient block, unless it is NULL, and the reducer itself. */
void dt_gpu_reducer_free(dt_gpu_reducer *reducer);

/* Address of an element of a partial sum. */
static inline float *dt_gpu_gradient(const dt_gpu_reducer *reducer, int node, int64_t element) {
  return (float *)reducer->base.gradient + node * reducer->options.partial_elements + element;
}
static inline cudaStream_t dt_gpu_comm_stream(const dt_gpu_reducer *reducer) {
  return ((dt_gpu *)reducer->device)->stream[DT_STREAM_COMM];
}

/* The kinds. Collective; an error is everyone's. Return new. */
dt_status dt_nccl_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
/* Bytes of device memory it takes besides the gradient block, the same on every rank. */
size_t dt_nccl_reducer_bytes(const dt_reducer_options *options);
dt_status dt_staged_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);

#endif
