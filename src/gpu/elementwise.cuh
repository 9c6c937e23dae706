/* What kernels that go over values element by element share: 16-byte loads and stores, division of indices, and the fused
 * addition and activation of what is written. */
#ifndef DT_GPU_ELEMENTWISE_CUH
#define DT_GPU_ELEMENTWISE_CUH

#include "gpu/kernel.cuh"

/* N elements that are loaded and stored together. A pack is at most 16 bytes wide where N is dt_pack_width. */
template <class T, int N>
struct alignas(sizeof(T) * N < 16 ? sizeof(T) * N : 16) dt_pack {
  T element[N];
};
template <class T>
constexpr int dt_pack_width = 16 / (int)sizeof(T);

template <int N, class T>
static inline __device__ dt_pack<T, N> dt_load_pack(const T *from) {
  return *reinterpret_cast<const dt_pack<T, N> *>(from);
}
template <int N, class T>
static inline __device__ void dt_store_pack(T *to, const dt_pack<T, N> &pack) {
  *reinterpret_cast<dt_pack<T, N> *>(to) = pack;
}

/* A quotient of indices, neither negative: 32 bits where they suffice, which is an order of magnitude faster. */
static inline __device__ int64_t dt_quotient(int64_t dividend, int64_t divisor) {
  if (((uint64_t)dividend | (uint64_t)divisor) >> 32 == 0) return (int64_t)((uint32_t)dividend / (uint32_t)divisor);
  return dividend / divisor;
}

/* What is fused into a write: addend and mask lie as what is written does; NULL when absent. */
template <class T>
struct dt_fused {
  const T *addend, *mask;
  dt_act act;
};

/* Without a mask act(value + addend), with one (value + addend) * act'(mask). */
template <class T>
static inline __device__ T dt_finish(const dt_fused<T> &fused, float value, int64_t at) {
  if (fused.addend != NULL) value += dt_to_float(fused.addend[at]);
  value = fused.mask != NULL ? value * dt_act_slope(fused.act, dt_to_float(fused.mask[at])) : dt_act_value(fused.act, value);
  return dt_from_float<T>(value);
}
/* The same for N values whose first stands at `at`, a multiple of N. */
template <int N, class T>
static inline __device__ dt_pack<T, N> dt_finish_pack(const dt_fused<T> &fused, const float (&value)[N], int64_t at) {
  float sum[N];
  dt_pack<T, N> out;
  for (int i = 0; i < N; i++) sum[i] = value[i];
  if (fused.addend != NULL) {
    const dt_pack<T, N> addend = dt_load_pack<N>(fused.addend + at);
    for (int i = 0; i < N; i++) sum[i] += dt_to_float(addend.element[i]);
  }
  if (fused.mask != NULL) {
    const dt_pack<T, N> mask = dt_load_pack<N>(fused.mask + at);
    for (int i = 0; i < N; i++) sum[i] *= dt_act_slope(fused.act, dt_to_float(mask.element[i]));
  } else {
    for (int i = 0; i < N; i++) sum[i] = dt_act_value(fused.act, sum[i]);
  }
  for (int i = 0; i < N; i++) out.element[i] = dt_from_float<T>(sum[i]);
  return out;
}
template <int N, class T>
static inline __device__ void dt_widen_pack(const dt_pack<T, N> &pack, float (&value)[N]) {
  for (int i = 0; i < N; i++) value[i] = dt_to_float(pack.element[i]);
}

/* ADDEND, MASK and act of an instruction. */
template <class T>
static dt_fused<T> dt_fused_of(const dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return {static_cast<const T *>(dt_gpu_arg(run, instr, pass, DT_ARG_ADDEND)),
          static_cast<const T *>(dt_gpu_arg(run, instr, pass, DT_ARG_MASK)), instr->act};
}

#endif
