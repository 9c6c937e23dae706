/* v16_sum of many vectors at once. */
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
/* out[i] = v16_sum(a[i]), 16 of them: each step adds the halves of two vectors and packs the results into one. */
VEC void v16_sum16(const v16 *a, float *out) {
  v16 fours[4];
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    /* a[i], a[4 + i], a[8 + i], a[12 + i] end up in the places i, 4 + i, .. after the last two steps. */
    v16 low = v16_halves_8(a[i], a[4 + i]), high = v16_halves_8(a[8 + i], a[12 + i]);
    fours[i] = v16_halves_4(low, high);
  }
  v16_store(out, v16_halves_1(v16_halves_2(fours[0], fours[1]), v16_halves_2(fours[2], fours[3])));
}
#else
VEC void v16_sum16(const v16 *a, float *out) {
  for (int i = 0; i < 16; i++) out[i] = v16_sum(a[i]);
}
#endif

#endif
