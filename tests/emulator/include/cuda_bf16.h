/* bfloat16, as the toolkit's header of this name defines it: rounding to nearest even, every NaN becomes 0x7fff. */
#ifndef DT_EMULATED_CUDA_BF16_H
#define DT_EMULATED_CUDA_BF16_H

#include <cuda_runtime.h>

typedef struct __attribute__((aligned(2))) {
  unsigned short x;
} __nv_bfloat16_raw;

#ifdef __cplusplus
static inline unsigned short emulator_bfloat16_bits(float value) {
  uint32_t bits = __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

struct __nv_bfloat16 {
  unsigned short emulated_bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(const float value) : emulated_bits(emulator_bfloat16_bits(value)) {
  }
  __nv_bfloat16(const __nv_bfloat16_raw &raw) : emulated_bits(raw.x) {
  }
  operator float() const {
    return __uint_as_float((uint32_t)emulated_bits << 16);
  }
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat16 x, y;
};

static inline __nv_bfloat16 __float2bfloat16(float value) {
  return __nv_bfloat16(value);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float value) {
  return __nv_bfloat16(value);
}
static inline float __bfloat162float(__nv_bfloat16 value) {
  return value;
}
static inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
  return __nv_bfloat162{__nv_bfloat16(low), __nv_bfloat16(high)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 value) {
  return make_float2(value.x, value.y);
}
static inline float __low2float(__nv_bfloat162 value) {
  return value.x;
}
static inline float __high2float(__nv_bfloat162 value) {
  return value.y;
}
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 value) {
  return value.emulated_bits;
}
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  __nv_bfloat16 value;
  value.emulated_bits = bits;
  return value;
}
#endif

#endif
