/* What kernels that go over values element by element share: division of indices, and the fused addition and activation of what
 * is written. */
#ifndef DT_GPU_ELEMENTWISE_CUH
#define DT_GPU_ELEMENTWISE_CUH

#include "gpu/pack.cuh"

/* A divisor that is known before the launch: quotients of numbers from 0 to below 2^31 are a multiplication and a shift
 * (Granlund and Montgomery, "Division by invariant integers using multiplication", 1994). */
typedef struct dt_divisor {
  int64_t divisor;
  uint32_t factor;
  int shift;
  __device__ int64_t divide(int64_t n) const {
    if (n >> 31 != 0) return n / divisor;
    return (uint32_t)(((uint64_t)(uint32_t)n * factor >> 32) + (uint64_t)n) >> shift;
  }
} dt_divisor;

/* 1 <= divisor < 2^31. */
static inline dt_divisor dt_divisor_of(int64_t divisor) {
  dt_divisor d = {divisor, 0, 0};
  while ((int64_t)1 << d.shift < divisor) d.shift++;
  d.factor = (uint32_t)(((((uint64_t)1 << d.shift) - (uint64_t)divisor) << 32) / (uint64_t)divisor + 1);
  return d;
}

/* What is fused into a write: addend and mask lie as what is written does; NULL when absent. */
template <class T>
struct dt_fused {
  const T *addend, *mask;
  dt_act act;
  const uint8_t *bits; /* in place of a mask */
};

/* V values whose first stands at `at`, a multiple of V: without a mask act(value + addend), with one
 * (value + addend) * act'(mask). */
template <int V, class T>
static inline __device__ void dt_finish(const dt_fused<T> &fused, int64_t at, float (&value)[V]) {
  float other[V];
  if (fused.addend != NULL) {
    dt_read(fused.addend + at, other);
    for (int v = 0; v < V; v++) value[v] += other[v];
  }
  if (fused.bits != NULL) {
    dt_mask_bits(fused.bits[at / dt_pack_width<T>] >> at % dt_pack_width<T>, value);
  } else if (fused.mask != NULL) {
    dt_read(fused.mask + at, other);
    dt_mask(fused.act, other, value);
  } else {
    dt_activate(fused.act, value);
  }
}

/* ADDEND, MASK and act of an instruction. */
template <class T>
static dt_fused<T> dt_fused_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return {static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_ADDEND)),
          static_cast<const T *>(dt_gpu_arg(run, instr, micro, DT_ARG_MASK)), instr->act,
          static_cast<const uint8_t *>(dt_gpu_arg(run, instr, micro, DT_ARG_BITS))};
}

#endif
