/* A sum over the threads of a block, in one order. */
#ifndef DT_GPU_FOLD_CUH
#define DT_GPU_FOLD_CUH

#include "gpu/kernel.cuh"

/* Thread 0 of a block of DT_BLOCK threads gets the sum over its threads. */
static inline __device__ double dt_fold_block(double value) {
  __shared__ double store[DT_BLOCK];
  int t = (int)threadIdx.x;
  store[t] = value;
  for (int half = DT_BLOCK / 2; half > 0; half /= 2) {
    __syncthreads();
    if (t < half) store[t] += store[t + half];
  }
  return t == 0 ? store[0] : 0;
}

#endif
