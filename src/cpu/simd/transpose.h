/* Transposing 16 x 16 tiles between samples in the lanes and samples in rows. */
#ifndef DT_CPU_SIMD_TRANSPOSE_H
#define DT_CPU_SIMD_TRANSPOSE_H

#include "cpu/simd/vec.h"

#if defined(__SSE2__)
#include <immintrin.h>

/* to[j * to_row + i] = from[i * from_row + j] for 4 x 4 places. */
VEC void transpose_4x4(float *to, int64_t to_row, const float *from, int64_t from_row) {
  __m128 a = _mm_loadu_ps(from), b = _mm_loadu_ps(from + from_row), c = _mm_loadu_ps(from + 2 * from_row),
         d = _mm_loadu_ps(from + 3 * from_row);
  _MM_TRANSPOSE4_PS(a, b, c, d);
  _mm_storeu_ps(to, a);
  _mm_storeu_ps(to + to_row, b);
  _mm_storeu_ps(to + 2 * to_row, c);
  _mm_storeu_ps(to + 3 * to_row, d);
}
#else
VEC void transpose_4x4(float *to, int64_t to_row, const float *from, int64_t from_row) {
  for (int i = 0; i < 4; i++) {
    for (int j = 0; j < 4; j++) to[j * to_row + i] = from[i * from_row + j];
  }
}
#endif

/* to[j * 16 + i] = from[i * 16 + j] for the first `rows` i; the other i get zeros. */
VEC void transpose_16x16(float *to, const float *from, int rows) {
  for (int i = 0; i < 16; i += 4) {
    float padded[4 * 16] = {0};
    const float *four = from + i * 16;
    if (i + 4 > rows) {
      if (i < rows) memcpy(padded, four, (size_t)(rows - i) * 16 * sizeof *from);
      four = padded;
    }
    for (int j = 0; j < 16; j += 4) transpose_4x4(to + j * 16 + i, 16, four + j, 16);
  }
}

#endif
