/* Sums that may be long, and v16_sum of many vectors at once.
 *
 * What a register sums in floats, one term after another, loses digits as the sum grows. So a sum is cut into runs of SUM_RUN
 * terms at most, which depend on shapes alone; a run is summed in floats, and the runs in doubles. A sum that is one run never
 * leaves its register, and costs nothing. */
#ifndef DT_CPU_SIMD_SUMS_H
#define DT_CPU_SIMD_SUMS_H

#include <stdbool.h>

#include "cpu/simd/vec.h"

enum { SUM_RUN = 2048 };

/* The runs of a few sums. Zero at first. */
typedef struct run_sums {
  double total[24 * 16];
} run_sums;

/* Adds what a run has come to, [count]. */
static __attribute__((noinline, unused)) void runs_add(run_sums *runs, const float *run, int count) {
  for (int i = 0; i < count; i++) runs->total[i] += (double)run[i];
}

/* Rounds the totals into sum, [count]. */
static __attribute__((noinline, unused)) void runs_end(const run_sums *runs, float *sum, int count) {
  for (int i = 0; i < count; i++) sum[i] = (float)runs->total[i];
}

/* Ends a run of the sums sum[i * stride + j], i < rows, j < columns, 24 at most; the last run leaves the whole sums there. */
VEC void runs_leave(run_sums *runs, v16 *sum, const int rows, const int columns, const int stride, bool first, bool last) {
  float run[24 * 16];
  if (first) memset(runs, 0, sizeof *runs);
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 24
    for (int j = 0; j < columns; j++) v16_store(run + (i * columns + j) * 16, sum[i * stride + j]);
  }
  runs_add(runs, run, rows * columns * 16);
  if (!last) return;
  runs_end(runs, run, rows * columns * 16);
#pragma GCC unroll 8
  for (int i = 0; i < rows; i++) {
#pragma GCC unroll 24
    for (int j = 0; j < columns; j++) sum[i * stride + j] = v16_load(run + (i * columns + j) * 16);
  }
}

/* v16_sum of many vectors at once: each step adds the halves of two vectors and packs the results into one. */
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
