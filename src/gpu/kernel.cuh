/* What the files with kernels share: launching, and arithmetic in float over the three value types. Nothing here is beyond the
 * C++ that a host compiler knows, so that the tests can compile the kernels for the host. */
#ifndef DT_GPU_KERNEL_CUH
#define DT_GPU_KERNEL_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "gpu/gpu.h"

static inline __device__ float dt_to_float(float x) {
  return x;
}
static inline __device__ float dt_to_float(__nv_bfloat16 x) {
  return __bfloat162float(x);
}
static inline __device__ float dt_to_float(__half x) {
  return __half2float(x);
}
template <class T>
static inline __device__ T dt_from_float(float x);
template <>
inline __device__ float dt_from_float<float>(float x) {
  return x;
}
template <>
inline __device__ __nv_bfloat16 dt_from_float<__nv_bfloat16>(float x) {
  return __float2bfloat16(x);
}
template <>
inline __device__ __half dt_from_float<__half>(float x) {
  return __float2half(x);
}

/* The primitives of core/functions, and the functions. */
typedef float number;
#define FUNCTION static inline __device__
#define NUMBER_MATH(name) name##f
#include "core/functions/scalar.h"
/* The primitives come first. */
#include "core/functions/arithmetic.h"

enum { DT_BLOCK = 256, DT_WARP = 32 };

/* Before a loop over an array in registers: where it stays a loop, the array has to go to memory. */
#ifdef __CUDACC__
#define DT_UNROLL _Pragma("unroll")
#else
#define DT_UNROLL
#endif

/* The element this thread starts with, and the distance to its next one, when a grid walks over all elements. */
static inline __device__ int64_t dt_thread_index() {
  return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
static inline __device__ int64_t dt_thread_count() {
  return (int64_t)gridDim.x * blockDim.x;
}
/* Blocks for an elementwise kernel: the elements of a block do not depend on the model of GPU. */
static inline dim3 dt_grid(int64_t count, int64_t per_thread = 1) {
  int64_t blocks = (count + DT_BLOCK * per_thread - 1) / (DT_BLOCK * per_thread);
  return dim3((unsigned)(blocks < 1 ? 1 : blocks > (1 << 20) ? 1 << 20 : blocks));
}

/* A quotient of indices, neither negative: 32 bits where they suffice, which is an order of magnitude faster. */
static inline __device__ int64_t dt_quotient(int64_t dividend, int64_t divisor) {
  if (((uint64_t)dividend | (uint64_t)divisor) >> 32 == 0) return (int64_t)((uint32_t)dividend / (uint32_t)divisor);
  return dividend / divisor;
}

/* Whether a place of the micro-batch has a sample. */
static inline __device__ bool dt_is_filled(const dt_gpu_shards &shards, int64_t place) {
  const int64_t shard = dt_quotient(place, shards.capacity);
  return place - shard * shards.capacity < shards.valid[shard];
}

template <class... P, class... A>
static dt_status dt_launch(const char *name, const char *file, int line, void (*kernel)(P...), dim3 grid, dim3 block,
                           cudaStream_t stream, A... argument) {
  cudaLaunchConfig_t config = {};
  config.gridDim = grid;
  config.blockDim = block;
  config.stream = stream;
  return dt_gpu_check(cudaLaunchKernelEx(&config, kernel, static_cast<P>(argument)...), name, file, line);
}
/* DT_LAUNCH(kernel<T>, grid, block, stream, arguments...); a name with a comma stands in parentheses. */
#define DT_LAUNCH(kernel, ...) DT_TRY(dt_launch(#kernel, __FILE__, __LINE__, kernel, __VA_ARGS__))

/* Runs `body` with T as the run's value type. */
#define DT_WITH_TYPE(type, ...)  \
  do {                           \
    switch (type) {              \
      case DT_GPU_F32: {         \
        using T = float;         \
        __VA_ARGS__;             \
        break;                   \
      }                          \
      case DT_GPU_BF16: {        \
        using T = __nv_bfloat16; \
        __VA_ARGS__;             \
        break;                   \
      }                          \
      case DT_GPU_F16: {         \
        using T = __half;        \
        __VA_ARGS__;             \
        break;                   \
      }                          \
    }                            \
  } while (0)

#endif
