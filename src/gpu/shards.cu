/* What the shards of a micro-batch have left of a sum is added up, element by element, as the tree (core/tree.h) adds up shards
 * that run one by one: a micro-batch is a complete subtree of 2^k shards, so neighbours are added in pairs. */
#include "gpu/kernel.cuh"

/* The sum over N shards. */
template <int N, class T>
static inline __device__ float fold(const T *from, int64_t stride) {
  if constexpr (N == 1)
    return dt_to_float(from[0]);
  else
    return fold<N / 2>(from, stride) + fold<N / 2>(from + N / 2 * stride, stride);
}

template <int N, class T>
static __global__ void fold_shards(const T *from, dt_gpu_shard_sums sums) {
  for (int64_t i = dt_thread_index(); i < sums.count; i += dt_thread_count()) {
    const float sum = fold<N>(from + i, sums.stride);
    if (i < sums.split)
      sums.out[0][i] = sum;
    else
      sums.out[1][i - sums.split] = sum;
  }
}

/* With as many shards as there are. */
template <int N, class T>
static dt_status launch(const T *from, const dt_gpu_shard_sums *sums, cudaStream_t stream) {
  if constexpr (N > 1) {
    if (sums->shards < N) return launch<N / 2>(from, sums, stream);
  }
  DT_LAUNCH((fold_shards<N, T>), dt_grid(sums->count), dim3(DT_BLOCK), stream, from, *sums);
  return DT_OK;
}

dt_status dt_gpu_fold_shards(dt_gpu_type type, const dt_gpu_shard_sums *sums, cudaStream_t stream) {
  DT_ASSERT(sums->shards >= 1 && sums->shards <= DT_GPU_SHARDS_MAX && (sums->shards & (sums->shards - 1)) == 0);
  if (sums->count == 0) return DT_OK;
  DT_WITH_TYPE(type, return launch<DT_GPU_SHARDS_MAX>(static_cast<const T *>(sums->from), sums, stream));
  return DT_OK;
}
