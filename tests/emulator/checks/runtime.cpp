/* The emulated CUDA runtime. Every case runs in a process of its own, under options of its own and several seeds; what a case
 * expects is that every seed is right, that some seed is wrong (a planted defect shows), or that the process ends with a text.
 *
 * emulator_runtime [NAME]: all cases, or one, with seed 0, in this process, for a debugger. */
#include <sys/wait.h>
#include <unistd.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "emulator.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) {                                             \
      printf("runtime.cpp:%d: not so: %s\n", __LINE__, #condition); \
      return false;                                                 \
    }                                                               \
  } while (0)
#define OK(call) CHECK(cudaError_t((call)) == cudaSuccess)

#ifdef __SANITIZE_THREAD__
/* Else every process of a case waits a second at its end. */
extern "C" __attribute__((visibility("default"))) const char *__tsan_default_options() {
  return "atexit_sleep_ms=0";
}
#endif

namespace {

constexpr unsigned full = 0xffffffffu;
constexpr int count = 256;

cudaLaunchConfig_t on(cudaStream_t stream, unsigned blocks = 1, unsigned threads = count) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks);
  config.blockDim = dim3(threads);
  config.stream = stream;
  return config;
}

__global__ void set_all(float *x, float value) {
  x[threadIdx.x] = value;
}
__global__ void add_all(const float *x, float *y, float value) {
  y[threadIdx.x] = x[threadIdx.x] + value;
}
__global__ void reverse(float *x) {
  __shared__ float all[count];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[count - 1 - threadIdx.x];
}
__global__ void reverse_unsafely(float *x) {
  __shared__ float all[count];
  all[threadIdx.x] = x[threadIdx.x];
  x[threadIdx.x] = all[count - 1 - threadIdx.x];
}
template <class T>
__global__ void shuffle(T *out) {
  int lane = threadIdx.x % 32;
  T sum = (T)threadIdx.x;
  for (int bit = 16; bit; bit >>= 1) sum += __shfl_xor_sync(full, sum, bit);
  T *own = out + 5 * threadIdx.x;
  own[0] = sum;
  own[1] = __shfl_down_sync(full, (T)threadIdx.x, 3u);
  own[2] = __shfl_down_sync(full, (T)threadIdx.x, 3u, 8);
  own[3] = __shfl_sync(full, (T)threadIdx.x, 5);
  own[4] = lane < 16 ? __shfl_xor_sync(0xffffu, (T)threadIdx.x, 1) : 0;
  __syncwarp();
}
__global__ void diverge(float *x) {
  if (threadIdx.x < 100) {
    x[threadIdx.x] = 0;
    __syncthreads();
  } else {
    __syncthreads();
    x[threadIdx.x] = 1;
  }
}
__global__ void shuffle_with_returned(float *x) {
  if (threadIdx.x == 7) return;
  x[threadIdx.x] = __shfl_xor_sync(full, x[threadIdx.x], 1);
}
__global__ void leave_early(float *x) { /* allowed: who has returned is not waited for */
  __shared__ float first;
  if (threadIdx.x >= 128) return;
  if (threadIdx.x == 127) first = 5;
  __syncthreads();
  x[threadIdx.x] = first;
}
__global__ void read_unset(float *x) {
  __shared__ float never[count];
  x[blockIdx.x * count + threadIdx.x] = never[threadIdx.x];
  if (blockIdx.x % 2) never[threadIdx.x] = 1;
}
/* Each block reads what another one writes. */
__global__ void race_of_blocks(float *x) {
  x[blockIdx.x] = x[(blockIdx.x + 1) % gridDim.x] + 1;
}
__global__ void count_all(unsigned long long *total) {
  atomicAdd(total, 1ull);
}
__global__ void write_behind(float *x) {
  x[count] = 1;
}
struct place {
  int index;
  const float *from;
};
__global__ void read_place(place p, float *x) {
  x[0] = p.from ? p.from[p.index] : 0;
}

struct fixture {
  cudaStream_t first, second;
  float *x, *y, *pinned;
  cudaEvent_t event;
};
bool set_up(fixture *f) {
  OK(cudaStreamCreateWithFlags(&f->first, cudaStreamNonBlocking));
  OK(cudaStreamCreateWithFlags(&f->second, cudaStreamNonBlocking));
  OK(cudaMalloc(&f->x, count * sizeof(float)));
  OK(cudaMalloc(&f->y, count * sizeof(float)));
  OK(cudaMallocHost(&f->pinned, count * sizeof(float)));
  OK(cudaEventCreateWithFlags(&f->event, cudaEventDisableTiming));
  return true;
}
bool tear_down(fixture *f) {
  OK(cudaFree(f->x));
  OK(cudaFree(f->y));
  OK(cudaFreeHost(f->pinned));
  OK(cudaStreamDestroy(f->first));
  OK(cudaStreamDestroy(f->second));
  OK(cudaEventDestroy(f->event));
  return true;
}
bool holds(const float *device, const std::vector<float> &expected) {
  std::vector<float> host(expected.size());
  OK(cudaMemcpy(host.data(), device, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
  for (size_t i = 0; i < host.size(); i++) {
    if (host[i] == expected[i]) continue;
    printf("element %zu is %g, not %g\n", i, (double)host[i], (double)expected[i]);
    return false;
  }
  return true;
}
std::vector<float> all(float value) {
  return std::vector<float>(count, value);
}

template <void (*kernel)(float *)>
bool try_reverse() {
  fixture f;
  CHECK(set_up(&f));
  std::vector<float> backwards(count);
  for (int i = 0; i < count; i++) {
    f.pinned[i] = (float)i;
    backwards[(size_t)i] = (float)(count - 1 - i);
  }
  OK(cudaMemcpyAsync(f.x, f.pinned, count * sizeof(float), cudaMemcpyHostToDevice, f.first));
  cudaLaunchConfig_t config = on(f.first);
  OK(cudaLaunchKernelEx(&config, kernel, f.x));
  OK(cudaStreamSynchronize(f.first));
  CHECK(holds(f.x, backwards));
  return tear_down(&f);
}

template <class T>
bool try_shuffle() {
  T *out;
  std::vector<T> host(5 * 64);
  OK(cudaMalloc(&out, host.size() * sizeof(T)));
  cudaLaunchConfig_t config = on(nullptr, 1, 64);
  OK(cudaLaunchKernelEx(&config, shuffle<T>, out));
  OK(cudaMemcpy(host.data(), out, host.size() * sizeof(T), cudaMemcpyDeviceToHost));
  for (int t = 0; t < 64; t++) {
    int lane = t % 32, warp = t - lane;
    const T *own = &host[(size_t)(5 * t)];
    CHECK(own[0] == (T)(32 * warp + 31 * 16));
    CHECK(own[1] == (T)(lane + 3 < 32 ? t + 3 : t));
    CHECK(own[2] == (T)(lane % 8 + 3 < 8 ? t + 3 : t));
    CHECK(own[3] == (T)(warp + 5));
    CHECK(own[4] == (T)(lane < 16 ? t ^ 1 : 0));
  }
  OK(cudaFree(out));
  return true;
}

template <void (*kernel)(float *)>
bool launch_only() {
  fixture f;
  CHECK(set_up(&f));
  cudaLaunchConfig_t config = on(f.first);
  OK(cudaLaunchKernelEx(&config, kernel, f.x));
  OK(cudaStreamSynchronize(f.first));
  return tear_down(&f);
}

bool early_leave() {
  fixture f;
  CHECK(set_up(&f));
  cudaLaunchConfig_t config = on(f.first);
  OK(cudaLaunchKernelEx(&config, leave_early, f.x));
  OK(cudaStreamSynchronize(f.first));
  CHECK(holds(f.x, std::vector<float>(128, 5)));
  return tear_down(&f);
}

bool unset_shared() {
  constexpr unsigned blocks = 20;
  float *x;
  OK(cudaMalloc(&x, blocks * count * sizeof(float)));
  cudaLaunchConfig_t config = on(nullptr, blocks);
  std::vector<float> host(blocks * count);
  OK(cudaLaunchKernelEx(&config, read_unset, x));
  OK(cudaMemcpy(host.data(), x, host.size() * sizeof(float), cudaMemcpyDeviceToHost));
  for (float value : host) CHECK(std::isnan(value));
  OK(cudaFree(x));
  return true;
}

bool block_race() {
  constexpr unsigned blocks = 8;
  float *x;
  OK(cudaMalloc(&x, blocks * sizeof(float)));
  OK(cudaMemset(x, 0, blocks * sizeof(float)));
  cudaLaunchConfig_t config = on(nullptr, blocks, 1);
  OK(cudaLaunchKernelEx(&config, race_of_blocks, x));
  CHECK(holds(x, {8, 7, 6, 5, 4, 3, 2, 1})); /* as if the last block ran first */
  OK(cudaFree(x));
  return true;
}

bool big_grid() {
  unsigned long long *total, host;
  OK(cudaMalloc(&total, sizeof *total));
  OK(cudaMemset(total, 0, sizeof *total));
  cudaLaunchConfig_t config = on(nullptr);
  config.gridDim = dim3(3, 5, 7);
  config.blockDim = dim3(8, 4, 3);
  OK(cudaLaunchKernelEx(&config, count_all, total));
  OK(cudaMemcpy(&host, total, sizeof host, cudaMemcpyDeviceToHost));
  CHECK(host == 3 * 5 * 7 * 8 * 4 * 3);
  config.blockDim = dim3(1025);
  CHECK(cudaLaunchKernelEx(&config, count_all, total) == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration && cudaGetLastError() == cudaSuccess);
  OK(cudaFree(total));
  return true;
}

/* x is made on one stream, y = x + 1 on the other, then x is overwritten on the first: both directions need an event. */
bool enqueue_two_streams(const fixture &f, float value) {
  cudaLaunchConfig_t first = on(f.first), second = on(f.second);
  OK(cudaLaunchKernelEx(&first, set_all, f.x, -1.0f));
  OK(cudaLaunchKernelEx(&first, set_all, f.x, value));
  OK(cudaEventRecord(f.event, f.first));
  OK(cudaStreamWaitEvent(f.second, f.event, 0));
  OK(cudaLaunchKernelEx(&second, add_all, (const float *)f.x, f.y, 1.0f));
  OK(cudaEventRecord(f.event, f.second));
  OK(cudaStreamWaitEvent(f.first, f.event, 0));
  OK(cudaLaunchKernelEx(&first, set_all, f.x, -2.0f));
  return true;
}

bool two_streams() {
  fixture f;
  CHECK(set_up(&f));
  for (int round = 0; round < 5; round++) {
    CHECK(enqueue_two_streams(f, (float)round));
    OK(cudaStreamSynchronize(f.second));
    OK(cudaMemcpyAsync(f.pinned, f.y, count * sizeof(float), cudaMemcpyDeviceToHost, f.second));
    OK(cudaEventRecord(f.event, f.second));
    OK(cudaEventSynchronize(f.event));
    for (int i = 0; i < count; i++) CHECK(f.pinned[i] == (float)round + 1);
    OK(cudaDeviceSynchronize());
    CHECK(holds(f.x, all(-2)));
  }
  return tear_down(&f);
}

bool legacy_stream() {
  cudaStream_t blocking;
  float *x;
  OK(cudaStreamCreate(&blocking));
  OK(cudaMalloc(&x, count * sizeof(float)));
  cudaLaunchConfig_t other = on(blocking), legacy = on(nullptr);
  for (int round = 0; round < 10; round++) {
    OK(cudaLaunchKernelEx(&other, set_all, x, 1.0f));
    OK(cudaLaunchKernelEx(&legacy, add_all, (const float *)x, x, 1.0f));
    OK(cudaLaunchKernelEx(&other, add_all, (const float *)x, x, 1.0f));
  }
  CHECK(holds(x, all(3)));
  OK(cudaFree(x));
  OK(cudaStreamDestroy(blocking));
  return true;
}

bool overwrite_pinned() {
  fixture f;
  CHECK(set_up(&f));
  for (int i = 0; i < count; i++) f.pinned[i] = 1;
  OK(cudaMemcpyAsync(f.x, f.pinned, count * sizeof(float), cudaMemcpyHostToDevice, f.first));
  for (int i = 0; i < count; i++) f.pinned[i] = 2;
  OK(cudaStreamSynchronize(f.first));
  CHECK(holds(f.x, all(1)));
  return tear_down(&f);
}
/* Relies on the device being slower than the host. */
bool write_pinned_late() {
  fixture f;
  CHECK(set_up(&f));
  for (int i = 0; i < count; i++) f.pinned[i] = 1;
  OK(cudaMemcpyAsync(f.x, f.pinned, count * sizeof(float), cudaMemcpyHostToDevice, f.first));
  for (int i = 0; i < count; i++) f.pinned[i] = 2;
  OK(cudaStreamSynchronize(f.first));
  CHECK(holds(f.x, all(2)));
  return tear_down(&f);
}
bool overwrite_pageable() {
  fixture f;
  CHECK(set_up(&f));
  std::vector<float> host = all(1);
  OK(cudaMemcpyAsync(f.x, host.data(), count * sizeof(float), cudaMemcpyHostToDevice, f.first));
  host = all(2);
  OK(cudaMemcpyAsync(f.y, f.x, count * sizeof(float), cudaMemcpyDeviceToDevice, f.first));
  OK(cudaMemcpyAsync(host.data(), f.y, count * sizeof(float), cudaMemcpyDeviceToHost, f.first));
  CHECK(host == all(1));
  return tear_down(&f);
}
bool read_pinned_early() {
  fixture f;
  CHECK(set_up(&f));
  OK(cudaMemset(f.x, 0, count * sizeof(float)));
  OK(cudaDeviceSynchronize());
  OK(cudaMemcpyAsync(f.pinned, f.x, count * sizeof(float), cudaMemcpyDeviceToHost, f.first));
  CHECK(f.pinned[count - 1] == 0);
  return tear_down(&f);
}

struct mapped {
  fixture f;
  float *host, *device; /* the same memory, as the two have it */
};
bool map(mapped *m) {
  CHECK(set_up(&m->f));
  OK(cudaHostAlloc(&m->host, count * sizeof(float), cudaHostAllocMapped));
  OK(cudaHostGetDevicePointer((void **)&m->device, m->host, 0));
  for (int i = 0; i < count; i++) m->host[i] = 0;
  return true;
}
bool unmap(mapped *m) {
  OK(cudaFreeHost(m->host));
  return tear_down(&m->f);
}
/* A kernel that writes it, and an event behind. */
bool write_mapped(mapped *m, float value) {
  cudaLaunchConfig_t first = on(m->f.first);
  OK(cudaLaunchKernelEx(&first, set_all, m->device, value));
  OK(cudaEventRecord(m->f.event, m->f.first));
  return true;
}

/* Neither time nor a wait for something else shows what a kernel has written into mapped memory. */
bool mapped_late() {
  mapped m;
  cudaEvent_t earlier;
  CHECK(map(&m));
  OK(cudaEventCreate(&earlier));
  OK(cudaEventRecord(earlier, m.f.first));
  CHECK(write_mapped(&m, 1));
  OK(cudaMemsetAsync(m.f.y, 0, count * sizeof(float), m.f.second));
  usleep(20000);
  OK(cudaEventSynchronize(earlier));
  OK(cudaStreamSynchronize(m.f.second));
  CHECK(m.host[0] == 0 && m.host[count - 1] == 0);
  OK(cudaEventSynchronize(m.f.event));
  CHECK(m.host[0] == 1 && m.host[count - 1] == 1);
  OK(cudaEventDestroy(earlier));
  return unmap(&m);
}

/* Each of the ways to wait does, and a wait by a third party, for work that has long ended too. */
bool mapped_seen() {
  mapped m;
  CHECK(map(&m) && write_mapped(&m, 1));
  while (cudaEventQuery(m.f.event) == cudaErrorNotReady) {
  }
  CHECK(m.host[7] == 1);
  CHECK(write_mapped(&m, 2));
  usleep(20000);
  OK(cudaStreamWaitEvent(m.f.second, m.f.event, 0));
  OK(cudaStreamSynchronize(m.f.second));
  CHECK(m.host[7] == 2);
  CHECK(write_mapped(&m, 3) && write_mapped(&m, 4));
  OK(cudaDeviceSynchronize());
  CHECK(m.host[7] == 4);
  OK(cudaEventSynchronize(m.f.event));
  CHECK(m.host[7] == 4);
  return unmap(&m);
}

bool mapped_by_host_address() {
  mapped m;
  CHECK(map(&m));
  cudaLaunchConfig_t first = on(m.f.first);
  cudaLaunchKernelEx(&first, set_all, m.host, 1.0f);
  return true;
}

bool replay() {
  fixture f;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(set_up(&f));
  OK(cudaStreamBeginCapture(f.first, cudaStreamCaptureModeGlobal));
  cudaLaunchConfig_t first = on(f.first);
  OK(cudaMemcpyAsync(f.x, f.pinned, count * sizeof(float), cudaMemcpyHostToDevice, f.first));
  OK(cudaEventRecord(f.event, f.first));
  OK(cudaStreamWaitEvent(f.second, f.event, 0));
  cudaStreamCaptureStatus status;
  OK(cudaStreamIsCapturing(f.second, &status));
  CHECK(status == cudaStreamCaptureStatusActive);
  cudaLaunchConfig_t second = on(f.second);
  OK(cudaLaunchKernelEx(&second, add_all, (const float *)f.x, f.y, 1.0f));
  OK(cudaEventRecord(f.event, f.second));
  OK(cudaStreamWaitEvent(f.first, f.event, 0));
  OK(cudaLaunchKernelEx(&first, set_all, f.x, -2.0f));
  OK(cudaStreamEndCapture(f.first, &graph));
  OK(cudaStreamIsCapturing(f.second, &status));
  CHECK(status == cudaStreamCaptureStatusNone);
  size_t nodes = 0;
  OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  CHECK(nodes == 3);
  OK(cudaGraphInstantiate(&exec, graph, 0));
  OK(cudaGraphDestroy(graph));
  for (int round = 0; round < 5; round++) {
    for (int i = 0; i < count; i++) f.pinned[i] = (float)round;
    OK(cudaGraphLaunch(exec, f.first));
    OK(cudaStreamSynchronize(f.first));
    CHECK(holds(f.y, all((float)round + 1)) && holds(f.x, all(-2)));
  }
  OK(cudaGraphExecDestroy(exec));
  return tear_down(&f);
}

/* What may not be done while a stream records, and what the end of the recording then says. */
bool spoiled(cudaStream_t stream, cudaError_t error, cudaError_t expected) {
  cudaGraph_t graph;
  CHECK(error == expected);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated && !graph);
  return true;
}
bool record_pageable() {
  fixture f;
  float here = 0;
  CHECK(set_up(&f));
  OK(cudaStreamBeginCapture(f.first, cudaStreamCaptureModeGlobal));
  OK(cudaMemcpyAsync(f.x, &here, sizeof here, cudaMemcpyHostToDevice, f.first));
  return true;
}
bool capture_errors() {
  fixture f;
  cudaGraph_t graph;
  float *p;
  cudaStream_t blocking;
  CHECK(set_up(&f));
  cudaEvent_t before;
  OK(cudaStreamCreate(&blocking));
  OK(cudaEventCreate(&before));
  OK(cudaEventRecord(before, f.second));
  auto begin = [&](cudaStreamCaptureMode mode) { return cudaStreamBeginCapture(f.first, mode); };

  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeRelaxed) == cudaErrorStreamCaptureUnsupported);
  OK(begin(cudaStreamCaptureModeGlobal));
  CHECK(spoiled(f.first, cudaStreamSynchronize(f.first), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeGlobal));
  CHECK(spoiled(f.first, cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeGlobal));
  CHECK(spoiled(f.first, cudaStreamQuery(f.first), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeThreadLocal));
  CHECK(spoiled(f.first, cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeThreadLocal)); /* what is asked need not be recorded itself */
  CHECK(spoiled(f.first, cudaEventQuery(before), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeThreadLocal));
  CHECK(spoiled(f.first, cudaEventSynchronize(before), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeThreadLocal));
  CHECK(spoiled(f.first, cudaStreamSynchronize(f.second), cudaErrorStreamCaptureUnsupported));
  OK(begin(cudaStreamCaptureModeGlobal));
  CHECK(spoiled(f.first, cudaStreamWaitEvent(f.first, before, 0), cudaErrorStreamCaptureIsolation));
  OK(begin(cudaStreamCaptureModeGlobal));
  OK(cudaEventRecord(f.event, f.first));
  CHECK(spoiled(f.first, cudaEventSynchronize(f.event), cudaErrorCapturedEvent));
  CHECK(cudaStreamWaitEvent(f.second, f.event, 0) == cudaErrorCapturedEvent);

  OK(begin(cudaStreamCaptureModeRelaxed));
  OK(cudaMalloc(&p, 4));
  OK(cudaEventRecord(f.event, f.first));
  OK(cudaStreamBeginCapture(f.second, cudaStreamCaptureModeRelaxed));
  CHECK(spoiled(f.second, cudaStreamWaitEvent(f.second, f.event, 0), cudaErrorStreamCaptureMerge));
  CHECK(cudaStreamEndCapture(f.first, &graph) == cudaErrorStreamCaptureInvalidated);

  OK(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed));
  CHECK(spoiled(blocking, cudaMemsetAsync(f.x, 0, 4, nullptr), cudaErrorStreamCaptureImplicit));

  OK(begin(cudaStreamCaptureModeGlobal)); /* forked, not joined */
  OK(cudaEventRecord(f.event, f.first));
  OK(cudaStreamWaitEvent(f.second, f.event, 0));
  OK(cudaMemsetAsync(f.x, 0, 4, f.second));
  CHECK(cudaStreamEndCapture(f.first, &graph) == cudaErrorStreamCaptureUnjoined && !graph);

  OK(begin(cudaStreamCaptureModeGlobal)); /* joined, then more work */
  OK(cudaEventRecord(f.event, f.first));
  OK(cudaStreamWaitEvent(f.second, f.event, 0));
  OK(cudaEventRecord(f.event, f.second));
  OK(cudaStreamWaitEvent(f.first, f.event, 0));
  OK(cudaMemsetAsync(f.x, 0, 4, f.second));
  CHECK(cudaStreamEndCapture(f.second, &graph) == cudaErrorStreamCaptureUnmatched);
  CHECK(cudaStreamEndCapture(f.first, &graph) == cudaErrorStreamCaptureInvalidated);
  OK(cudaFree(p));
  OK(cudaEventDestroy(before));
  OK(cudaStreamDestroy(blocking));
  return tear_down(&f);
}

bool fresh_memory() {
  fixture f;
  CHECK(set_up(&f));
  for (int i = 0; i < count; i++) CHECK(!(std::fabs(f.pinned[i]) < 1e30f));
  std::vector<float> host(count);
  OK(cudaMemcpy(host.data(), f.x, count * sizeof(float), cudaMemcpyDeviceToHost));
  for (float value : host) CHECK(!(std::fabs(value) < 1e30f));
  size_t left, total;
  OK(cudaMemGetInfo(&left, &total));
  CHECK(total == 1000000 && left == total - 2 * count * sizeof(float));
  char *p, *q;
  CHECK(cudaMalloc(&p, left + 1) == cudaErrorMemoryAllocation);
  OK(cudaMalloc(&p, left));
  CHECK(emulator_owns(p, left) && emulator_owns(p + 5, left - 5) && !emulator_owns(p, left + 1) && !emulator_owns(&f, 1));
  CHECK(cudaMalloc(&q, 1) == cudaErrorMemoryAllocation);
  OK(cudaFree(p));
  CHECK(!emulator_owns(p, 1));
  OK(cudaMalloc(&p, 1));
  OK(cudaFree(p));
  return tear_down(&f);
}
bool failing_allocation() {
  char *p[3];
  OK(cudaMalloc(&p[0], 1));
  CHECK(cudaMalloc(&p[1], 1) == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  OK(cudaMalloc(&p[2], 1));
  OK(cudaFree(p[0]));
  OK(cudaFree(p[2]));
  return true;
}

bool host_argument() {
  static float host[count];
  cudaLaunchConfig_t config = on(nullptr);
  OK(cudaLaunchKernelEx(&config, set_all, host, 1.0f));
  return true;
}
struct alignas(16) four {
  float x[4];
};
__global__ void set_four(float *x) {
  *reinterpret_cast<four *>(x) = {{1, 2, 3, 4}};
}
bool misaligned() {
  float *x;
  OK(cudaMalloc(&x, 64));
  cudaLaunchConfig_t config = on(nullptr, 1, 1);
  OK(cudaLaunchKernelEx(&config, set_four, x + 4)); /* as it should be */
  OK(cudaDeviceSynchronize());
  OK(cudaLaunchKernelEx(&config, set_four, x + 1));
  OK(cudaDeviceSynchronize());
  return true;
}
bool host_field() {
  float *x, host = 1;
  OK(cudaMalloc(&x, 4));
  cudaLaunchConfig_t config = on(nullptr, 1, 1);
  OK(cudaLaunchKernelEx(&config, read_place, place{0, x}, x)); /* as it should be */
  OK(cudaLaunchKernelEx(&config, read_place, place{0, &host}, x));
  return true;
}
bool host_copy() {
  float from = 1, to = 2;
  OK(cudaMemcpy(&to, &from, 4, cudaMemcpyHostToDevice));
  return true;
}

bool sticky() {
  fixture f;
  CHECK(set_up(&f));
  cudaLaunchConfig_t config = on(f.first);
  OK(cudaLaunchKernelEx(&config, set_all, f.x, 1.0f));
  OK(cudaStreamSynchronize(f.first));
  cudaLaunchKernelEx(&config, set_all, f.x, 2.0f); /* the error shows here or later */
  CHECK(cudaStreamSynchronize(f.first) == cudaErrorIllegalAddress);
  CHECK(cudaGetLastError() == cudaErrorIllegalAddress && cudaGetLastError() == cudaErrorIllegalAddress);
  CHECK(cudaMemset(f.x, 0, 4) == cudaErrorIllegalAddress);
  return true;
}

void mark(void *flag) {
  __atomic_store_n(static_cast<int *>(flag), 1, __ATOMIC_SEQ_CST);
}
bool silent_host() {
  fixture f;
  static int flag;
  CHECK(set_up(&f));
  OK(cudaLaunchHostFunc(f.first, mark, &flag));
  for (int i = 0; i < 5000 && !__atomic_load_n(&flag, __ATOMIC_SEQ_CST); i++) usleep(1000);
  CHECK(flag == 1);
  return tear_down(&f);
}
bool asking_host() {
  fixture f;
  cudaError_t error;
  CHECK(set_up(&f));
  CHECK(enqueue_two_streams(f, 3));
  OK(cudaEventRecord(f.event, f.first));
  while ((error = cudaEventQuery(f.event)) == cudaErrorNotReady) continue;
  OK(error);
  CHECK(holds(f.y, all(4)));
  return tear_down(&f);
}
bool hanging() {
  fixture f;
  CHECK(set_up(&f));
  CHECK(enqueue_two_streams(f, 3));
  OK(cudaEventRecord(f.event, f.first));
  for (int i = 0; i < 50; i++) {
    CHECK(cudaEventQuery(f.event) == cudaErrorNotReady);
    usleep(200);
  }
  return true;
}

bool no_driver() {
  int devices = 77, version = 77;
  CHECK(cudaGetDeviceCount(&devices) == cudaErrorInsufficientDriver && devices == 77);
  OK(cudaDriverGetVersion(&version));
  CHECK(version == 0);
  CHECK(!strcmp(cudaGetErrorName(cudaGetLastError()), "cudaErrorInsufficientDriver"));
  return true;
}
bool old_driver() {
  int devices, version;
  OK(cudaDriverGetVersion(&version));
  CHECK(version == 12080 && cudaGetDeviceCount(&devices) == cudaErrorInsufficientDriver);
  return true;
}
bool no_device() {
  int devices;
  float *p;
  CHECK(cudaGetDeviceCount(&devices) == cudaErrorNoDevice && devices == 0);
  CHECK(cudaMalloc(&p, 4) == cudaErrorNoDevice);
  return true;
}
bool visible_devices() {
  int devices;
  cudaDeviceProp p, q;
  setenv("CUDA_VISIBLE_DEVICES", "2,0,9,1", 1);
  OK(cudaGetDeviceCount(&devices));
  CHECK(devices == 2);
  CHECK(cudaSetDevice(2) == cudaErrorInvalidDevice);
  OK(cudaGetDeviceProperties(&p, 0));
  OK(cudaGetDeviceProperties(&q, 1));
  CHECK(p.pciBusID == q.pciBusID + 2 && memcmp(&p.uuid, &q.uuid, sizeof p.uuid) != 0);
  return true;
}

#ifdef __SANITIZE_ADDRESS__
/* LeakSanitizer notices when the program loses what it has made. */
__attribute__((noinline)) void lose_device_memory() {
  void *memory;
  cudaMalloc(&memory, 100);
}
__attribute__((noinline)) void lose_pinned_memory() {
  void *memory;
  cudaMallocHost(&memory, 100);
}
__attribute__((noinline)) void lose_stream() {
  cudaStream_t stream;
  cudaStreamCreate(&stream);
}
__attribute__((noinline)) void lose_event() {
  cudaEvent_t event;
  cudaEventCreate(&event);
}

template <void (*lose)()>
bool lost() {
  CHECK(!__lsan_do_recoverable_leak_check());
  for (int i = 0; i < 3; i++) lose(); /* the address of the last may still be in a register */
  CHECK(__lsan_do_recoverable_leak_check());
  return true;
}
#endif

enum expectation { RIGHT, WRONG_FOR_SOME_SEED, ENDS };
struct test {
  const char *name, *options;
  int seeds;
  bool (*body)();
  expectation expected;
  const char *text; /* that a process which ENDS prints */
};
#ifdef __SANITIZE_ADDRESS__
#define MISALIGNED "misaligned address" /* UndefinedBehaviorSanitizer's words */
#else
#define MISALIGNED "no multiple of the access's width"
#endif
const test tests[] = {
    {"barrier", "", 10, try_reverse<reverse>, RIGHT, nullptr},
    {"missing barrier", "", 10, try_reverse<reverse_unsafely>, WRONG_FOR_SOME_SEED, nullptr},
    {"shuffle of ints", "", 5, try_shuffle<int>, RIGHT, nullptr},
    {"shuffle of doubles", "", 5, try_shuffle<double>, RIGHT, nullptr},
    {"barrier after a return", "", 5, early_leave, RIGHT, nullptr},
    {"divergent barrier", "", 2, launch_only<diverge>, ENDS,
     "kernel diverge: block (0, 0, 0): threads wait for each other for ever: thread 0 at runtime.cpp"},
    {"lane that has returned", "", 2, launch_only<shuffle_with_returned>, ENDS, "thread 7 has returned"},
    {"shared memory never set", "", 5, unset_shared, RIGHT, nullptr},
    {"race of blocks", "", 10, block_race, WRONG_FOR_SOME_SEED, nullptr},
    {"grids and blocks", "", 2, big_grid, RIGHT, nullptr},
    {"two streams", "", 20, two_streams, RIGHT, nullptr},
    {"two streams at once", "order=inline", 1, two_streams, RIGHT, nullptr},
    {"two streams without waits", "drop_waits=1", 10, two_streams, WRONG_FOR_SOME_SEED, nullptr},
    {"two streams without the first wait", "drop_wait=1", 10, two_streams, WRONG_FOR_SOME_SEED, nullptr},
    {"two streams without the second wait", "drop_wait=2", 10, two_streams, WRONG_FOR_SOME_SEED, nullptr},
    {"legacy stream", "", 10, legacy_stream, RIGHT, nullptr},
    {"pinned memory overwritten", "", 5, overwrite_pinned, WRONG_FOR_SOME_SEED, nullptr},
    {"pinned memory read early", "", 5, read_pinned_early, WRONG_FOR_SOME_SEED, nullptr},
    {"pinned memory overwritten, device runs ahead", "late_host=1", 5, overwrite_pinned, RIGHT, nullptr},
    {"pinned memory written late", "late_host=2", 10, write_pinned_late, WRONG_FOR_SOME_SEED, nullptr},
    {"two streams, device runs ahead", "late_host=2", 10, two_streams, RIGHT, nullptr},
    {"asking host that is late", "late_host=2", 5, asking_host, RIGHT, nullptr},
    {"hang, device runs ahead", "hang_after=2,late_host=2", 2, hanging, RIGHT, nullptr},
    {"pageable memory overwritten", "", 10, overwrite_pageable, RIGHT, nullptr},
    {"replay, device runs ahead", "late_host=3", 10, replay, RIGHT, nullptr},
    {"mapped memory read early", "", 10, mapped_late, RIGHT, nullptr},
    {"mapped memory", "", 20, mapped_seen, RIGHT, nullptr},
    {"mapped memory by the host's address", "", 1, mapped_by_host_address, ENDS, "argument 1 points to pinned host memory"},
    {"replay", "", 20, replay, RIGHT, nullptr},
    {"replay without the first wait", "drop_wait=1", 10, replay, WRONG_FOR_SOME_SEED, nullptr},
    {"replay without the second wait", "drop_wait=2", 10, replay, WRONG_FOR_SOME_SEED, nullptr},
    {"errors of capture", "", 2, capture_errors, RIGHT, nullptr},
    {"fresh memory", "memory=1000000", 5, fresh_memory, RIGHT, nullptr},
    {"failing allocation", "fail_alloc=2", 1, failing_allocation, RIGHT, nullptr},
#ifndef __SANITIZE_THREAD__
    {"misaligned access", "", 1, misaligned, ENDS, MISALIGNED},
#endif
#ifdef __SANITIZE_ADDRESS__
    {"write behind the end", "", 1, launch_only<write_behind>, ENDS, "heap-buffer-overflow"},
    {"lost device memory", "", 1, lost<lose_device_memory>, RIGHT, nullptr},
    {"lost pinned memory", "", 1, lost<lose_pinned_memory>, RIGHT, nullptr},
    {"lost stream", "", 1, lost<lose_stream>, RIGHT, nullptr},
    {"lost event", "", 1, lost<lose_event>, RIGHT, nullptr},
#else
    {"write behind the end", "", 1, launch_only<write_behind>, ENDS, "wrote 0 bytes behind the end"},
#endif
    {"host memory as argument", "", 1, host_argument, ENDS, "argument 1 points to host memory"},
    {"host memory in a struct", "", 1, host_field, ENDS, "argument 1 holds, at byte 8, a pointer to the host's stack"},
    {"host memory as target", "", 1, host_copy, ENDS, "the target is not inside one allocation"},
    {"pageable memory recorded", "", 1, record_pageable, ENDS, "recorded that reads or writes pageable memory"},
    {"an error that stays", "fail_kernel=2", 3, sticky, RIGHT, nullptr},
    {"silent host", "", 3, silent_host, RIGHT, nullptr},
    {"asking host", "", 10, asking_host, RIGHT, nullptr},
    {"hang", "hang_after=2", 2, hanging, RIGHT, nullptr},
    {"no driver", "driver=none", 1, no_driver, RIGHT, nullptr},
    {"old driver", "driver=old", 1, old_driver, RIGHT, nullptr},
    {"no device", "driver=nodevice", 1, no_device, RIGHT, nullptr},
    {"visible devices", "devices=3", 1, visible_devices, RIGHT, nullptr},
};

struct outcome {
  int status;
  std::string text;
};

/* In a process of its own. What it leaves allocated at its end is of no interest. */
outcome run(const test &t, int seed) {
  int ends[2];
  fflush(stdout);
  if (pipe(ends)) abort();
  pid_t child = fork();
  if (!child) {
    dup2(ends[1], 1);
    dup2(ends[1], 2);
    close(ends[0]);
    setenv("DTRAIN_EMULATED_GPU", (std::string(t.options) + (*t.options ? "," : "") + "seed=" + std::to_string(seed)).c_str(),
           1);
    alarm(60);
    bool right = t.body();
    fflush(stdout);
    _exit(right ? 0 : 1);
  }
  close(ends[1]);
  outcome o = {0, ""};
  char part[512];
  for (ssize_t got; (got = read(ends[0], part, sizeof part)) > 0;) o.text.append(part, (size_t)got);
  close(ends[0]);
  waitpid(child, &o.status, 0);
  return o;
}

bool judge(const test &t) {
  int right = 0, wrong = 0;
  std::string shown;
  for (int seed = 0; seed < t.seeds; seed++) {
    outcome o = run(t, seed);
    bool exited = WIFEXITED(o.status);
    if (t.expected == ENDS) {
      bool as_expected = (!exited || WEXITSTATUS(o.status)) && o.text.find(t.text) != std::string::npos;
      as_expected ? right++ : wrong++;
      if (!as_expected) shown = o.text;
      continue;
    }
    if (!exited || WEXITSTATUS(o.status) > 1) {
      printf("FAIL %s, seed %d: ended with status %#x\n%s", t.name, seed, (unsigned)o.status, o.text.c_str());
      return false;
    }
    WEXITSTATUS(o.status) ? wrong++ : right++;
    if (WEXITSTATUS(o.status)) shown = o.text;
  }
  bool passed = t.expected == WRONG_FOR_SOME_SEED ? wrong > 0 : wrong == 0;
  printf("%s %s: %d right, %d wrong\n%s", passed ? "ok  " : "FAIL", t.name, right, wrong, passed ? "" : shown.c_str());
  return passed;
}

}  // namespace

int main(int argc, char **argv) {
  int failed = 0;
  for (const test &t : tests) {
    if (argc > 1 && strcmp(argv[1], t.name) != 0) continue;
    if (argc > 1) return t.body() ? 0 : 1;
    failed += !judge(t);
  }
  printf("%zu cases, %d failed\n", sizeof tests / sizeof *tests, failed);
  return failed ? 1 : 0;
}
