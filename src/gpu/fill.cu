/* Numbers in [-1, 1) that look like chance, for engines that are tried out: a number is made from its place by the finaliser of
 * SplitMix64, as in hash.cu. */
#include "gpu/kernel.cuh"

template <class T>
static __global__ void fill(T *to, int64_t count, uint32_t seed) {
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) {
    unsigned long long x = ((unsigned long long)i << 32 | seed) + 0x9E3779B97F4A7C15ull;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    x ^= x >> 31;
    to[i] = dt_from_float<T>((float)(uint32_t)(x >> 40) * 0x1p-23f - 1);
  }
}

dt_status dt_gpu_fill(dt_gpu_type type, void *to, int64_t count, uint32_t seed, cudaStream_t stream) {
  DT_WITH_TYPE(type, DT_LAUNCH(fill<T>, dt_grid(count), dim3(DT_BLOCK), stream, static_cast<T *>(to), count, seed));
  return DT_OK;
}
