/* The time on a stream. An event can tell it too, but one that was recorded into a graph is recorded anew by the next launch,
 * which is on its way before the host has read it; memory is copied out in its turn. */
#include "gpu/kernel.cuh"

static __device__ unsigned long long nanoseconds() {
#ifdef __CUDACC__
  unsigned long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
#else
  return emulator_globaltimer();
#endif
}

static __global__ void stamp(unsigned long long *at) {
  *at = nanoseconds();
}

/* Every kernel is built for the same architectures. */
dt_status dt_gpu_code_versions(int *out_binary, int *out_ptx) {
  struct cudaFuncAttributes attributes;
  DT_CUDA(cudaFuncGetAttributes(&attributes, stamp));
  *out_binary = attributes.binaryVersion;
  *out_ptx = attributes.ptxVersion;
  return DT_OK;
}

dt_status dt_gpu_stamp(unsigned long long *at, cudaStream_t stream) {
  DT_LAUNCH(stamp, dim3(1), dim3(1), stream, at);
  return DT_OK;
}
