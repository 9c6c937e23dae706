/* A hash of device memory, so that replicas are compared without copying them to the host.
 *
 * Every 32-bit word is mixed with its place, and the results are added up modulo 2^64: integers, so the order does not matter,
 * and any one changed bit changes the sum. */
#include "gpu/mix.cuh"

static __global__ void hash_words(const uint32_t *word, int64_t count, unsigned long long *sum) {
  unsigned long long own = 0;
  for (int64_t i = dt_thread_index(); i < count; i += dt_thread_count()) own += dt_mix(i, word[i]);
  atomicAdd(sum, own);
}

dt_status dt_gpu_hash_words(const void *memory, int64_t count, unsigned long long *sum, cudaStream_t stream) {
  enum { WORDS_EACH = 64 };
  DT_LAUNCH(hash_words, dt_grid(count, WORDS_EACH), dim3(DT_BLOCK), stream, (const uint32_t *)memory, count, sum);
  return DT_OK;
}
