/* The finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014). */
#ifndef DT_GPU_MIX_CUH
#define DT_GPU_MIX_CUH

#include "gpu/kernel.cuh"

/* A word mixed with its place. */
static inline __device__ unsigned long long dt_mix(int64_t place, uint32_t word) {
  unsigned long long x = ((unsigned long long)place << 32 | word) + 0x9E3779B97F4A7C15ull;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
  return x ^ (x >> 31);
}

#endif
