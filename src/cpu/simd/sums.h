/* v16_sum of many vectors at once: each step adds the halves of two vectors and packs the results into one. */
#ifndef DT_CPU_SIMD_SUMS_H
#define DT_CPU_SIMD_SUMS_H

#include "cpu/simd/vec.h"

#if defined(DT_ISA_avx512)
VEC v16 v16_halves_8(v16 a, v16 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
VEC v16 v16_halves_4(v16 a, v16 b) {
  return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
}
VEC v16 v16_halves_2(v16 a, v16 b) { return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xee)); }
VEC v16 v16_halves_1(v16 a, v16 b) { return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xdd)); }
/* out[i] = v16_sum(a[i]) for 8 vectors. */
VEC void v16_sum8(const v16 *a, float *out) {
  v16 low = v16_halves_4(v16_halves_8(a[0], a[4]), v16_halves_8(a[1], a[5]));
  v16 high = v16_halves_4(v16_halves_8(a[2], a[6]), v16_halves_8(a[3], a[7]));
  v16 twos = v16_halves_2(low, high), sums = v16_halves_1(twos, twos); /* 0 2 0 2, 4 6 4 6, 1 3 1 3, 5 7 5 7 */
  const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 4, 12, 5, 13, 0, 0, 0, 0, 0, 0, 0, 0);
  _mm256_storeu_ps(out, _mm512_castps512_ps256(_mm512_permutexvar_ps(order, sums)));
}
#elif defined(DT_ISA_avx2)
VEC __m256 v8_halves_8(v16 a) { return _mm256_add_ps(a.lo, a.hi); }
VEC __m256 v8_halves_4(__m256 a, __m256 b) {
  return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}
VEC __m256 v8_halves_2(__m256 a, __m256 b) { return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xee)); }
VEC __m256 v8_halves_1(__m256 a, __m256 b) { return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xdd)); }
VEC void v16_sum8(const v16 *a, float *out) {
  __m256 fours[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) fours[i] = v8_halves_4(v8_halves_8(a[i]), v8_halves_8(a[4 + i]));
  _mm256_storeu_ps(out, v8_halves_1(v8_halves_2(fours[0], fours[1]), v8_halves_2(fours[2], fours[3])));
}
#else
VEC void v16_sum8(const v16 *a, float *out) {
  for (int i = 0; i < 8; i++) out[i] = v16_sum(a[i]);
}
#endif

#endif
