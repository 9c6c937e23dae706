/* Half precision, as the toolkit's header of this name defines it: rounding to nearest even, every NaN becomes 0x7fff. */
#ifndef DT_EMULATED_CUDA_FP16_H
#define DT_EMULATED_CUDA_FP16_H

#include <cuda_runtime.h>

typedef struct __attribute__((aligned(2))) {
  unsigned short x;
} __half_raw;

#ifdef __cplusplus
static inline unsigned short emulator_half_bits(float value) {
  uint32_t bits = __float_as_uint(value), magnitude = bits & 0x7fffffffu, sign = (bits >> 16) & 0x8000u;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return (unsigned short)(sign | 0x7c00u); /* 65520 and beyond are infinite */
  if (magnitude < 0x38800000u) { /* subnormal: the sum with 0.5 has the result in its last bits, rounded by the hardware */
    float shifted = __uint_as_float(magnitude) + 0.5f;
    return (unsigned short)(sign | (__float_as_uint(shifted) - 0x3f000000u));
  }
  uint32_t odd = (magnitude >> 13) & 1;
  return (unsigned short)(sign | ((magnitude - 0x38000000u + 0xfffu + odd) >> 13));
}
static inline float emulator_half_value(unsigned short bits) {
  uint32_t sign = (uint32_t)(bits & 0x8000u) << 16, exponent = (bits >> 10) & 31u, fraction = bits & 0x3ffu;
  if (exponent == 31) return __uint_as_float(sign | 0x7f800000u | fraction << 13);
  if (exponent) return __uint_as_float(sign | (exponent + 112) << 23 | fraction << 13);
  float value = (float)fraction * 0x1p-24f;
  return sign ? -value : value;
}

struct __half {
  unsigned short emulated_bits;
  __half() = default;
  __half(const float value) : emulated_bits(emulator_half_bits(value)) {
  }
  __half(const __half_raw &raw) : emulated_bits(raw.x) {
  }
  operator float() const {
    return emulator_half_value(emulated_bits);
  }
};
struct alignas(4) __half2 {
  __half x, y;
};

static inline __half __float2half(float value) {
  return __half(value);
}
static inline __half __float2half_rn(float value) {
  return __half(value);
}
static inline float __half2float(__half value) {
  return value;
}
static inline __half2 __floats2half2_rn(float low, float high) {
  return __half2{__half(low), __half(high)};
}
static inline float2 __half22float2(__half2 value) {
  return make_float2(value.x, value.y);
}
static inline float __low2float(__half2 value) {
  return value.x;
}
static inline float __high2float(__half2 value) {
  return value.y;
}
static inline unsigned short __half_as_ushort(__half value) {
  return value.emulated_bits;
}
static inline __half __ushort_as_half(unsigned short bits) {
  __half value;
  value.emulated_bits = bits;
  return value;
}
#endif

#endif
