/* Between fp32 and the narrow types, for blocks in device memory. */
#include "gpu/pack.cuh"

enum { WIDTH = 8 }; /* elements of a thread: 16 bytes of a narrow type */

/* Pointers into flat blocks need not be aligned; then elements go one by one. */
static bool is_aligned(const void *a, const void *b) {
  return ((uintptr_t)a | (uintptr_t)b) % (WIDTH * sizeof(float)) == 0;
}

/* The packs of N first, then the last count % N elements. */
template <int N, class From, class To>
static __global__ void convert(const From *from, To *to, int64_t count) {
  const int64_t packs = count / N;
  for (int64_t i = dt_thread_index(); i < packs; i += dt_thread_count()) {
    float value[N];
    dt_read(from + i * N, value);
    dt_write(to + i * N, value);
  }
  const int64_t rest = packs * N + dt_thread_index();
  if (rest < count) to[rest] = dt_from_float<To>(dt_to_float(from[rest]));
}

template <class From, class To>
static dt_status run_convert(const From *from, To *to, int64_t count, cudaStream_t stream) {
  if (is_aligned(from, to)) {
    DT_LAUNCH((convert<WIDTH, From, To>), dt_grid(count, WIDTH), dim3(DT_BLOCK), stream, from, to, count);
  } else {
    DT_LAUNCH((convert<1, From, To>), dt_grid(count), dim3(DT_BLOCK), stream, from, to, count);
  }
  return DT_OK;
}

dt_status dt_gpu_narrow(dt_gpu_type type, const float *from, int64_t count, void *to, cudaStream_t stream) {
  DT_WITH_TYPE(type, return run_convert(from, static_cast<T *>(to), count, stream));
  return DT_OK;
}

dt_status dt_gpu_widen(dt_gpu_type type, const void *from, int64_t count, float *to, cudaStream_t stream) {
  DT_WITH_TYPE(type, return run_convert(static_cast<const T *>(from), to, count, stream));
  return DT_OK;
}
