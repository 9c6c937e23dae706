/* What the shards of a micro-batch have left of a sum is added up, element by element, as the tree (core/tree.h) adds up shards
 * that run one by one: a micro-batch is a complete subtree of 2^k shards, so neighbours are added in pairs. */
#include "gpu/pack.cuh"

enum { WRITTEN = 4 }; /* floats in one access */

/* The sums of V elements over N shards. */
template <int N, int V, class T>
static inline __device__ void fold(const T *from, int64_t stride, float (&sum)[V]) {
  if constexpr (N == 1) {
    dt_read(from, sum);
  } else {
    float other[V];
    fold<N / 2>(from, stride, sum);
    fold<N / 2>(from + N / 2 * stride, stride, other);
    DT_UNROLL for (int v = 0; v < V; v++) sum[v] += other[v];
  }
}

/* V elements from i on, which lie in one of the outputs. */
template <int N, int V, class T>
static inline __device__ void fold_at(const T *from, const dt_gpu_shard_sums &sums, int64_t i) {
  constexpr int W = V < WRITTEN ? V : WRITTEN;
  float sum[V], part[W];
  float *out = i < sums.split ? sums.out[0] + i : sums.out[1] + (i - sums.split);
  fold<N>(from + i, sums.stride, sum);
  DT_UNROLL for (int first = 0; first < V; first += W) {
    DT_UNROLL for (int v = 0; v < W; v++) part[v] = sum[first + v];
    dt_write(out + first, part);
  }
}

/* The packs of V first, then the last count % V elements. */
template <int N, int V, class T>
static __global__ void fold_shards(const T *from, dt_gpu_shard_sums sums) {
  const int64_t packs = sums.count / V, rest = packs * V + dt_thread_index();
  for (int64_t i = dt_thread_index(); i < packs; i += dt_thread_count()) fold_at<N, V>(from, sums, i * V);
  if (rest < sums.count) fold_at<N, 1>(from, sums, rest);
}

/* Whether packs of V can be read from each shard and written, none of them into both outputs. */
template <int V, class T>
static bool has_packs(const T *from, const dt_gpu_shard_sums *sums) {
  const bool one_output = sums->split >= sums->count;
  const uintptr_t outputs = (uintptr_t)sums->out[0] | (one_output ? 0 : (uintptr_t)sums->out[1]);
  return (uintptr_t)from % (V * sizeof(T)) == 0 && sums->stride % V == 0 && outputs % (WRITTEN * sizeof(float)) == 0 &&
         (one_output || sums->split % V == 0);
}

/* With as many shards as there are. */
template <int N, class T>
static dt_status launch(const T *from, const dt_gpu_shard_sums *sums, cudaStream_t stream) {
  constexpr int V = dt_pack_width<T>;
  if constexpr (N > 1) {
    if (sums->shards < N) return launch<N / 2>(from, sums, stream);
  }
  if (has_packs<V>(from, sums)) {
    DT_LAUNCH((fold_shards<N, V, T>), dt_grid(sums->count, V), dim3(DT_BLOCK), stream, from, *sums);
  } else {
    DT_LAUNCH((fold_shards<N, 1, T>), dt_grid(sums->count), dim3(DT_BLOCK), stream, from, *sums);
  }
  return DT_OK;
}

dt_status dt_gpu_fold_shards(dt_gpu_type type, const dt_gpu_shard_sums *sums, cudaStream_t stream) {
  DT_ASSERT(sums->shards >= 1 && sums->shards <= DT_GPU_SHARDS_MAX && (sums->shards & (sums->shards - 1)) == 0);
  if (sums->count == 0) return DT_OK;
  DT_WITH_TYPE(type, return launch<DT_GPU_SHARDS_MAX>(static_cast<const T *>(sums->from), sums, stream));
  return DT_OK;
}
