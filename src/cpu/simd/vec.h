/* Sixteen floats side by side, one lane a sample (or, in matrix products, an output), the same arithmetic on every machine.
 *
 * AVX-512 holds them in one register, AVX2 in two, plain C in an array. A lane's result never depends on the width: every
 * operation is vertical, every fused multiply-add is explicit (the compiler is told -ffp-contract=off), and v16_sum adds the
 * lanes by one fixed tree: halves (8+8), (4+4), (2+2), (1+1).
 *
 * v16_max and v16_min give the second operand where one is NaN. v16_pow2(n + 0x1.8p23) is 2^n for n in [-126, 127], n whole.
 * v16_split takes a positive normal number apart: mantissa in [sqrt(1/2), sqrt(2)), exponent as a float. v16_load_u8 and
 * v16_store_u8 convert whole numbers in [0, 255]. */
#ifndef DT_CPU_SIMD_VEC_H
#define DT_CPU_SIMD_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define DT_ISA_PASTE2(a, b) a##_##b
#define DT_ISA_PASTE(a, b) DT_ISA_PASTE2(a, b)
/* DT_SIMD(name) is the name of a function of this instruction set: name_avx512, name_avx2, name_plain. */
#define DT_SIMD(name) DT_ISA_PASTE(name, DT_ISA)

#define VEC static inline __attribute__((always_inline))

#if defined(DT_ISA_avx512)
#include <immintrin.h>
typedef __m512 v16;
typedef __mmask16 m16;
VEC v16 v16_zero(void) { return _mm512_setzero_ps(); }
VEC v16 v16_set1(float a) { return _mm512_set1_ps(a); }
VEC v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
VEC void v16_store(float *p, v16 a) { _mm512_storeu_ps(p, a); }
VEC v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
VEC v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
VEC v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
VEC v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
VEC v16 v16_sqrt(v16 a) { return _mm512_sqrt_ps(a); }
VEC v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); } /* a*b + c */
VEC v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }             /* a > b ? a : b */
VEC v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }             /* a < b ? a : b */
VEC m16 v16_gt(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
VEC v16 v16_select(m16 m, v16 a, v16 b) { return _mm512_mask_blend_ps(m, b, a); } /* m ? a : b */
VEC m16 v16_eq(v16 a, v16 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
VEC v16 v16_pow2(v16 a) {
  return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(a), 23), _mm512_set1_epi32(0x3f800000)));
}
VEC v16 v16_split(v16 a, v16 *exponent) {
  __m512i bits = _mm512_castps_si512(a), e = _mm512_srai_epi32(_mm512_sub_epi32(bits, _mm512_set1_epi32(0x3f3504f3)), 23);
  *exponent = _mm512_cvtepi32_ps(e);
  return _mm512_castsi512_ps(_mm512_sub_epi32(bits, _mm512_slli_epi32(e, 23)));
}
VEC v16 v16_load_u8(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p))); }
VEC void v16_store_u8(uint8_t *p, v16 a) { _mm_storeu_si128((__m128i *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a))); }
VEC m16 m16_from_bits(uint16_t bits) { return bits; }
VEC uint16_t m16_bits(m16 m) { return m; }
#elif defined(DT_ISA_avx2)
#include <immintrin.h>
typedef struct v16 {
  __m256 lo, hi;
} v16;
typedef v16 m16; /* all bits set or none in each lane */
#define V16_BOTH(expression_lo, expression_hi) return (v16){expression_lo, expression_hi}
VEC v16 v16_zero(void) { V16_BOTH(_mm256_setzero_ps(), _mm256_setzero_ps()); }
VEC v16 v16_set1(float a) { V16_BOTH(_mm256_set1_ps(a), _mm256_set1_ps(a)); }
VEC v16 v16_load(const float *p) { V16_BOTH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
VEC void v16_store(float *p, v16 a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
VEC v16 v16_add(v16 a, v16 b) { V16_BOTH(_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)); }
VEC v16 v16_sub(v16 a, v16 b) { V16_BOTH(_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)); }
VEC v16 v16_mul(v16 a, v16 b) { V16_BOTH(_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)); }
VEC v16 v16_div(v16 a, v16 b) { V16_BOTH(_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)); }
VEC v16 v16_sqrt(v16 a) { V16_BOTH(_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)); }
VEC v16 v16_fma(v16 a, v16 b, v16 c) { V16_BOTH(_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)); }
VEC v16 v16_max(v16 a, v16 b) { V16_BOTH(_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)); }
VEC v16 v16_min(v16 a, v16 b) { V16_BOTH(_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)); }
VEC m16 v16_gt(v16 a, v16 b) { V16_BOTH(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ)); }
VEC v16 v16_select(m16 m, v16 a, v16 b) { V16_BOTH(_mm256_blendv_ps(b.lo, a.lo, m.lo), _mm256_blendv_ps(b.hi, a.hi, m.hi)); }
VEC m16 v16_eq(v16 a, v16 b) { V16_BOTH(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)); }
VEC __m256 v8_pow2(__m256 a) {
  return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(a), 23), _mm256_set1_epi32(0x3f800000)));
}
VEC v16 v16_pow2(v16 a) { V16_BOTH(v8_pow2(a.lo), v8_pow2(a.hi)); }
VEC __m256 v8_split(__m256 a, __m256 *exponent) {
  __m256i bits = _mm256_castps_si256(a), e = _mm256_srai_epi32(_mm256_sub_epi32(bits, _mm256_set1_epi32(0x3f3504f3)), 23);
  *exponent = _mm256_cvtepi32_ps(e);
  return _mm256_castsi256_ps(_mm256_sub_epi32(bits, _mm256_slli_epi32(e, 23)));
}
VEC v16 v16_split(v16 a, v16 *exponent) { V16_BOTH(v8_split(a.lo, &exponent->lo), v8_split(a.hi, &exponent->hi)); }
VEC __m256 v8_load_u8(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p))); }
VEC v16 v16_load_u8(const uint8_t *p) { V16_BOTH(v8_load_u8(p), v8_load_u8(p + 8)); }
VEC __m128i v8_to_i16(__m256 a) {
  __m256i i = _mm256_cvtps_epi32(a);
  return _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1));
}
VEC void v16_store_u8(uint8_t *p, v16 a) { _mm_storeu_si128((__m128i *)p, _mm_packus_epi16(v8_to_i16(a.lo), v8_to_i16(a.hi))); }
VEC m16 m16_from_bits(uint16_t bits) {
  const __m256i bit = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
  __m256i lo = _mm256_and_si256(_mm256_set1_epi32(bits & 255), bit), hi = _mm256_and_si256(_mm256_set1_epi32(bits >> 8), bit);
  V16_BOTH(_mm256_castsi256_ps(_mm256_cmpeq_epi32(lo, bit)), _mm256_castsi256_ps(_mm256_cmpeq_epi32(hi, bit)));
}
VEC uint16_t m16_bits(m16 m) { return (uint16_t)(_mm256_movemask_ps(m.lo) | _mm256_movemask_ps(m.hi) << 8); }
#else
typedef struct v16 {
  float f[16];
} v16;
typedef uint16_t m16;
#define V16_LANES(expression)                         \
  v16 r;                                              \
  for (int i = 0; i < 16; i++) r.f[i] = (expression); \
  return r
VEC v16 v16_zero(void) { return (v16){{0}}; }
VEC v16 v16_set1(float a) { V16_LANES(a); }
VEC v16 v16_load(const float *p) { V16_LANES(p[i]); }
VEC void v16_store(float *p, v16 a) { memcpy(p, a.f, sizeof a.f); }
VEC v16 v16_add(v16 a, v16 b) { V16_LANES(a.f[i] + b.f[i]); }
VEC v16 v16_sub(v16 a, v16 b) { V16_LANES(a.f[i] - b.f[i]); }
VEC v16 v16_mul(v16 a, v16 b) { V16_LANES(a.f[i] * b.f[i]); }
VEC v16 v16_div(v16 a, v16 b) { V16_LANES(a.f[i] / b.f[i]); }
VEC v16 v16_sqrt(v16 a) { V16_LANES(sqrtf(a.f[i])); }
VEC v16 v16_fma(v16 a, v16 b, v16 c) { V16_LANES(fmaf(a.f[i], b.f[i], c.f[i])); }
VEC v16 v16_max(v16 a, v16 b) { V16_LANES(a.f[i] > b.f[i] ? a.f[i] : b.f[i]); }
VEC v16 v16_min(v16 a, v16 b) { V16_LANES(a.f[i] < b.f[i] ? a.f[i] : b.f[i]); }
VEC m16 v16_gt(v16 a, v16 b) {
  m16 m = 0;
  for (int i = 0; i < 16; i++) m |= (m16)((a.f[i] > b.f[i]) << i);
  return m;
}
VEC m16 v16_eq(v16 a, v16 b) {
  m16 m = 0;
  for (int i = 0; i < 16; i++) m |= (m16)((a.f[i] == b.f[i]) << i);
  return m;
}
VEC v16 v16_pow2(v16 a) {
  uint32_t bits[16];
  memcpy(bits, a.f, sizeof bits);
  for (int i = 0; i < 16; i++) bits[i] = (bits[i] << 23) + 0x3f800000u;
  memcpy(a.f, bits, sizeof bits);
  return a;
}
VEC v16 v16_split(v16 a, v16 *exponent) {
  int32_t bits[16];
  memcpy(bits, a.f, sizeof bits);
  for (int i = 0; i < 16; i++) {
    int32_t e = (int32_t)((uint32_t)bits[i] - 0x3f3504f3u) >> 23;
    exponent->f[i] = (float)e;
    bits[i] = (int32_t)((uint32_t)bits[i] - ((uint32_t)e << 23));
  }
  memcpy(a.f, bits, sizeof bits);
  return a;
}
VEC v16 v16_load_u8(const uint8_t *p) { V16_LANES((float)p[i]); }
VEC void v16_store_u8(uint8_t *p, v16 a) {
  for (int i = 0; i < 16; i++) p[i] = (uint8_t)a.f[i];
}
VEC v16 v16_select(m16 m, v16 a, v16 b) { V16_LANES(m >> i & 1 ? a.f[i] : b.f[i]); }
VEC m16 m16_from_bits(uint16_t bits) { return bits; }
VEC uint16_t m16_bits(m16 m) { return m; }
#endif

/* Sum of the lanes by the fixed tree. */
#if defined(DT_ISA_avx512) || defined(DT_ISA_avx2)
VEC float v8_sum(__m256 a) {
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}
#endif
#if defined(DT_ISA_avx512)
VEC float v16_sum(v16 a) { return v8_sum(_mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1))); }
#elif defined(DT_ISA_avx2)
VEC float v16_sum(v16 a) { return v8_sum(_mm256_add_ps(a.lo, a.hi)); }
#else
VEC float v16_sum(v16 a) {
  for (int half = 8; half >= 1; half /= 2) {
    for (int i = 0; i < half; i++) a.f[i] += a.f[i + half];
  }
  return a.f[0];
}
#endif

/* Sixteen doubles: sums over an axis that may be long. A float has 24 bits, so that a sum of 2^29 equal ones is exact.
 * w16_add widens b, w16_add_load what stands at p; w16_keep leaves zeros where m is unset; w16_scale multiplies and rounds
 * to floats; w16_sum adds the lanes by the tree of v16_sum. */
#if defined(DT_ISA_avx512) || defined(DT_ISA_avx2)
VEC double d4_sum(__m256d a) {
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
#endif
#if defined(DT_ISA_avx512)
typedef struct w16 {
  __m512d lo, hi;
} w16;
VEC w16 w16_zero(void) { return (w16){_mm512_setzero_pd(), _mm512_setzero_pd()}; }
VEC w16 w16_widen(v16 a) {
  return (w16){_mm512_cvtps_pd(_mm512_castps512_ps256(a)), _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1))};
}
VEC w16 w16_add(w16 a, v16 b) {
  w16 w = w16_widen(b);
  return (w16){_mm512_add_pd(a.lo, w.lo), _mm512_add_pd(a.hi, w.hi)};
}
VEC w16 w16_add_load(w16 a, const float *p) {
  return (w16){_mm512_add_pd(a.lo, _mm512_cvtps_pd(_mm256_loadu_ps(p))), _mm512_add_pd(a.hi, _mm512_cvtps_pd(_mm256_loadu_ps(p + 8)))};
}
VEC w16 w16_keep(m16 m, w16 a) {
  return (w16){_mm512_maskz_mov_pd((__mmask8)m, a.lo), _mm512_maskz_mov_pd((__mmask8)(m >> 8), a.hi)};
}
VEC v16 w16_scale(w16 a, double factor) {
  __m512d f = _mm512_set1_pd(factor);
  __m256 lo = _mm512_cvtpd_ps(_mm512_mul_pd(a.lo, f)), hi = _mm512_cvtpd_ps(_mm512_mul_pd(a.hi, f));
  return _mm512_insertf32x8(_mm512_castps256_ps512(lo), hi, 1);
}
VEC double w16_sum(w16 a) {
  __m512d eight = _mm512_add_pd(a.lo, a.hi);
  return d4_sum(_mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1)));
}
#elif defined(DT_ISA_avx2)
typedef struct w16 {
  __m256d a, b, c, d;
} w16;
VEC w16 w16_zero(void) { return (w16){_mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd(), _mm256_setzero_pd()}; }
VEC w16 w16_widen(v16 a) {
  return (w16){_mm256_cvtps_pd(_mm256_castps256_ps128(a.lo)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.lo, 1)),
               _mm256_cvtps_pd(_mm256_castps256_ps128(a.hi)), _mm256_cvtps_pd(_mm256_extractf128_ps(a.hi, 1))};
}
VEC w16 w16_add(w16 a, v16 b) {
  w16 w = w16_widen(b);
  return (w16){_mm256_add_pd(a.a, w.a), _mm256_add_pd(a.b, w.b), _mm256_add_pd(a.c, w.c), _mm256_add_pd(a.d, w.d)};
}
VEC w16 w16_add_load(w16 a, const float *p) {
  return (w16){_mm256_add_pd(a.a, _mm256_cvtps_pd(_mm_loadu_ps(p))), _mm256_add_pd(a.b, _mm256_cvtps_pd(_mm_loadu_ps(p + 4))),
               _mm256_add_pd(a.c, _mm256_cvtps_pd(_mm_loadu_ps(p + 8))), _mm256_add_pd(a.d, _mm256_cvtps_pd(_mm_loadu_ps(p + 12)))};
}
VEC __m256d d4_keep(__m128 m, __m256d a) {
  return _mm256_and_pd(_mm256_castsi256_pd(_mm256_cvtepi32_epi64(_mm_castps_si128(m))), a);
}
VEC w16 w16_keep(m16 m, w16 a) {
  return (w16){d4_keep(_mm256_castps256_ps128(m.lo), a.a), d4_keep(_mm256_extractf128_ps(m.lo, 1), a.b),
               d4_keep(_mm256_castps256_ps128(m.hi), a.c), d4_keep(_mm256_extractf128_ps(m.hi, 1), a.d)};
}
VEC __m256 d8_scale(__m256d a, __m256d b, __m256d f) {
  return _mm256_set_m128(_mm256_cvtpd_ps(_mm256_mul_pd(b, f)), _mm256_cvtpd_ps(_mm256_mul_pd(a, f)));
}
VEC v16 w16_scale(w16 a, double factor) {
  __m256d f = _mm256_set1_pd(factor);
  V16_BOTH(d8_scale(a.a, a.b, f), d8_scale(a.c, a.d, f));
}
VEC double w16_sum(w16 a) { return d4_sum(_mm256_add_pd(_mm256_add_pd(a.a, a.c), _mm256_add_pd(a.b, a.d))); }
#else
typedef struct w16 {
  double f[16];
} w16;
VEC w16 w16_zero(void) { return (w16){{0}}; }
VEC w16 w16_add(w16 a, v16 b) {
  for (int i = 0; i < 16; i++) a.f[i] += (double)b.f[i];
  return a;
}
VEC w16 w16_add_load(w16 a, const float *p) { return w16_add(a, v16_load(p)); }
VEC w16 w16_keep(m16 m, w16 a) {
  for (int i = 0; i < 16; i++) a.f[i] = m >> i & 1 ? a.f[i] : 0;
  return a;
}
VEC v16 w16_scale(w16 a, double factor) { V16_LANES((float)(a.f[i] * factor)); }
VEC double w16_sum(w16 a) {
  for (int half = 8; half >= 1; half /= 2) {
    for (int i = 0; i < half; i++) a.f[i] += a.f[i + half];
  }
  return a.f[0];
}
#endif

#endif
