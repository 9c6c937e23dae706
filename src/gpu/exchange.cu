/* Two stretches of flat memory change places. */
#include "gpu/kernel.cuh"

static __global__ void exchange(uint32_t *a, uint32_t *b, int64_t words) {
  for (int64_t i = dt_thread_index(); i < words; i += dt_thread_count()) {
    const uint32_t own = a[i];
    a[i] = b[i];
    b[i] = own;
  }
}

dt_status dt_gpu_exchange(void *a, void *b, size_t bytes, cudaStream_t stream) {
  const int64_t words = (int64_t)(bytes / sizeof(uint32_t));
  if (words == 0) return DT_OK;
  DT_LAUNCH(exchange, dt_grid(words), dim3(DT_BLOCK), stream, static_cast<uint32_t *>(a), static_cast<uint32_t *>(b), words);
  return DT_OK;
}
