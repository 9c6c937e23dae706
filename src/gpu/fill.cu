/* Numbers in [-1, 1) that look like chance, for engines that are tried out: a number is made from its place. */
#include "gpu/mix.cuh"

template <class T>
static __global__ void fill(T *to, int64_t count, uint32_t seed) {
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    to[i] = dt_from_float<T>((float)(uint32_t)(dt_mix(i, seed) >> 40) * 0x1p-23f - 1);
  }
}

dt_status dt_gpu_fill(dt_gpu_type type, void *to, int64_t count, uint32_t seed, cudaStream_t stream) {
  DT_WITH_TYPE(type, DT_LAUNCH(fill<T>, dt_grid(count), dim3(DT_BLOCK), stream, static_cast<T *>(to), count, seed));
  return DT_OK;
}
