/* What kernels and their launches are made of when a host compiler reads them (C++ only). The threads of a block are fibers on
 * the device's thread: fibers.cpp. */
#ifndef DT_EMULATED_KERNELS_H
#define DT_EMULATED_KERNELS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <tuple>
#include <type_traits>
#include <utility>

#define __global__
#define __device__
#define __noinline__ __attribute__((noinline))
#define __host__
#define __constant__
#define __launch_bounds__(...)
#define __forceinline__ inline __attribute__((always_inline))
/* One copy on the device's thread, which runs one block after another; as thread-local memory its place is known, so that it
 * can be filled with garbage before every block (shared.cpp). */
#define __shared__ static thread_local

/* Of the running thread. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* A kernel with its arguments. */
struct emulator_kernel {
  dim3 grid, block;
  const void *function = nullptr;
  virtual void run_thread() = 0;
  virtual ~emulator_kernel() = default;
};
/* Takes the kernel. */
cudaError_t emulator_launch(const cudaLaunchConfig_t *config, const void *function, emulator_kernel *kernel);
/* Ends the process when an argument (from 1) is not what a GPU could read: a pointer to host memory, or one inside a struct. */
void emulator_check_pointer(const void *function, int argument, const void *pointer);
void emulator_check_struct(const void *function, int argument, const void *value, size_t bytes);

/* Waits for every thread of the block that has not returned. */
void emulator_barrier(const char *file, int line);
/* Waits for the lanes in mask; gives the bits that lane `source` of the warp brought. */
uint64_t emulator_exchange(unsigned mask, uint64_t bits, int source, const char *file, int line);
int emulator_lane();
/* As an exchange of nothing, which orders the lanes' accesses too; a shuffle does not. */
void emulator_sync_warp(unsigned mask, const char *file, int line);
/* Tell watch.cpp. */
void emulator_fence();
void emulator_atomic(const void *to, size_t bytes);
void emulator_read_only(const void *from, size_t bytes);

template <class T>
inline void emulator_check_argument(const void *function, int argument, const T &value) {
  if constexpr (std::is_pointer_v<T>) {
    emulator_check_pointer(function, argument, value);
  } else if constexpr (std::is_class_v<T>) {
    static_assert(std::is_trivially_copyable_v<T>, "a kernel's argument is copied bit by bit");
    T copy = value;
#if __has_builtin(__builtin_clear_padding)
    __builtin_clear_padding(&copy); /* what stands between fields is nobody's pointer */
#endif
    emulator_check_struct(function, argument, &copy, sizeof copy);
  }
}

template <class... P>
struct emulator_kernel_of : emulator_kernel {
  void (*kernel)(P...);
  std::tuple<P...> arguments;
  emulator_kernel_of(void (*k)(P...), P... argument) : kernel(k), arguments(argument...) {
  }
  void run_thread() override {
    std::apply(kernel, arguments);
  }
};

template <class... P, class... A>
static inline cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t *config, void (*kernel)(P...), A &&...argument) {
  const void *function = reinterpret_cast<const void *>(kernel);
  return [&](P... given) {
    int index = 0;
    (emulator_check_argument(function, ++index, given), ...);
    return emulator_launch(config, function, new emulator_kernel_of<P...>(kernel, given...));
  }(std::forward<A>(argument)...);
}

template <class T>
static inline cudaError_t cudaMalloc(T **memory, size_t bytes) {
  return cudaMalloc(reinterpret_cast<void **>(memory), bytes);
}
template <class T>
static inline cudaError_t cudaMallocHost(T **memory, size_t bytes, unsigned int flags = 0) {
  return cudaHostAlloc(reinterpret_cast<void **>(memory), bytes, flags);
}
template <class T>
static inline cudaError_t cudaHostAlloc(T **memory, size_t bytes, unsigned int flags) {
  return cudaHostAlloc(reinterpret_cast<void **>(memory), bytes, flags);
}
template <class T>
static inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *attributes, T *function) {
  return cudaFuncGetAttributes(attributes, reinterpret_cast<const void *>(function));
}
static inline cudaError_t cudaEventCreate(cudaEvent_t *event, unsigned int flags) {
  return cudaEventCreateWithFlags(event, flags);
}

static inline void __syncthreads(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator_barrier(file, line);
}
static inline void __syncwarp(unsigned mask = 0xffffffffu, const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator_sync_warp(mask, file, line);
}
/* Ends the process with the kernel's name. */
[[noreturn]] void emulator_trap();
[[noreturn]] static inline void __trap() {
  emulator_trap();
}
static inline void __threadfence() {
  emulator_fence();
}
static inline void __threadfence_block() {
}

template <class T>
static inline T emulator_shuffle(unsigned mask, T value, int source, const char *file, int line) {
  static_assert(sizeof(T) <= 8 && std::is_trivially_copyable_v<T>, "a shuffle moves at most 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  bits = emulator_exchange(mask, bits, source, file, line);
  memcpy(static_cast<void *>(&value), &bits, sizeof value);
  return value;
}
/* Lanes of a segment of `width` exchange; a source outside of the segment is the lane itself. */
template <class T>
static inline T __shfl_sync(unsigned mask, T value, int source, int width = 32, const char *file = __builtin_FILE(),
                            int line = __builtin_LINE()) {
  int lane = emulator_lane();
  return emulator_shuffle(mask, value, (lane & -width) | (source & (width - 1)), file, line);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32, const char *file = __builtin_FILE(),
                                int line = __builtin_LINE()) {
  int lane = emulator_lane(), source = lane ^ bits;
  return emulator_shuffle(mask, value, source <= (lane | (width - 1)) ? source : lane, file, line);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32, const char *file = __builtin_FILE(),
                                 int line = __builtin_LINE()) {
  int lane = emulator_lane(), source = lane + (int)delta;
  return emulator_shuffle(mask, value, source <= (lane | (width - 1)) ? source : lane, file, line);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32, const char *file = __builtin_FILE(),
                               int line = __builtin_LINE()) {
  int lane = emulator_lane(), source = lane - (int)delta;
  return emulator_shuffle(mask, value, source >= (lane & -width) ? source : lane, file, line);
}

/* One thread runs at a time. Floating point is left out on purpose: the order of such sums is not fixed. */
template <class T>
__attribute__((no_sanitize("thread"))) static inline T emulator_add(T *to, T value) {
  emulator_atomic(to, sizeof *to);
  T old = *to;
  *to = (T)(old + value);
  return old;
}
static inline unsigned long long atomicAdd(unsigned long long *to, unsigned long long value) {
  return emulator_add(to, value);
}
static inline unsigned int atomicAdd(unsigned int *to, unsigned int value) {
  return emulator_add(to, value);
}
static inline int atomicAdd(int *to, int value) {
  return emulator_add(to, value);
}

/* %globaltimer: nanoseconds. */
unsigned long long emulator_globaltimer();

template <class T>
static inline T __ldg(const T *from) {
  emulator_read_only(from, sizeof *from);
  return *from;
}

#define EMULATED_MIN_MAX(type)             \
  static inline type min(type a, type b) { \
    return a < b ? a : b;                  \
  }                                        \
  static inline type max(type a, type b) { \
    return a > b ? a : b;                  \
  }
EMULATED_MIN_MAX(int)
EMULATED_MIN_MAX(unsigned int)
EMULATED_MIN_MAX(long)
EMULATED_MIN_MAX(unsigned long)
EMULATED_MIN_MAX(long long)
EMULATED_MIN_MAX(unsigned long long)
#undef EMULATED_MIN_MAX
static inline float min(float a, float b) {
  return fminf(a, b);
}
static inline float max(float a, float b) {
  return fmaxf(a, b);
}
static inline double min(double a, double b) {
  return fmin(a, b);
}
static inline double max(double a, double b) {
  return fmax(a, b);
}

static inline float rsqrtf(float x) {
  return (float)(1 / sqrt((double)x));
}
static inline float __fmaf_rn(float a, float b, float c) {
  return fmaf(a, b, c);
}
static inline float __fadd_rn(float a, float b) {
  return a + b;
}
static inline float __fsub_rn(float a, float b) {
  return a - b;
}
static inline float __fmul_rn(float a, float b) {
  return a * b;
}
static inline float __fdiv_rn(float a, float b) {
  return a / b;
}
static inline float __fsqrt_rn(float x) {
  return sqrtf(x);
}
static inline double __dadd_rn(double a, double b) {
  return a + b;
}
static inline double __dmul_rn(double a, double b) {
  return a * b;
}
static inline double __fma_rn(double a, double b, double c) {
  return fma(a, b, c);
}
static inline unsigned int __umulhi(unsigned int a, unsigned int b) {
  return (unsigned int)(((uint64_t)a * b) >> 32);
}

template <class To, class From>
static inline To emulator_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "of one size");
  To to;
  memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float x) {
  return emulator_bits<int>(x);
}
static inline unsigned int __float_as_uint(float x) {
  return emulator_bits<unsigned int>(x);
}
static inline float __int_as_float(int x) {
  return emulator_bits<float>(x);
}
static inline float __uint_as_float(unsigned int x) {
  return emulator_bits<float>(x);
}

#endif
