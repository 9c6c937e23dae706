/* A sum of doubles that is exact, cannot wrap, and is the same for any order and any dealing of its terms.
 *
 * The sum is a fixed-point number of six limbs of 32 bits, each in an int64 of its own: sum = limb[0] * 2^-64 + limb[1] * 2^-32
 * + limb[2] + limb[3] * 2^32 + limb[4] * 2^64 + limb[5] * 2^96. A term is cut into its limbs and added limb by limb, without a
 * carry, so that sums are added in the same way, over threads, ranks or devices, by plain additions of integers.
 *
 * A term is below 2^128 in magnitude, as every finite float is, and counts in units of 2^-64, rounded toward zero. Each of its
 * limbs is below 2^32, so that 2^31 terms fit. C and CUDA alike. */
#ifndef DT_CORE_EXACT_SUM_H
#define DT_CORE_EXACT_SUM_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#ifdef __CUDACC__
#define DT_EXACT_SUM_FUNCTION static inline __host__ __device__
#else
#define DT_EXACT_SUM_FUNCTION static inline
#endif

enum { DT_EXACT_SUM_LIMBS = 6 };

typedef struct dt_exact_sum {
  int64_t limb[DT_EXACT_SUM_LIMBS];
} dt_exact_sum;

/* Adds a term. false, and nothing is added, where it is not finite or not below 2^128. */
DT_EXACT_SUM_FUNCTION bool dt_exact_sum_add(dt_exact_sum *sum, double term) {
  const double magnitude = fabs(term);
  const int64_t sign = term < 0 ? -1 : 1;
  double rest = magnitude * 0x1p-96; /* the limb of most weight stands before the point */
  if (!(magnitude < 0x1p128)) return false;
  for (int i = DT_EXACT_SUM_LIMBS - 1; i >= 0; i--) {
    const int64_t limb = (int64_t)rest;
    sum->limb[i] += sign * limb;
    rest = (rest - (double)limb) * 0x1p32; /* exact: bits are taken off at the top */
  }
  return true;
}

/* The sum as a double, off by less than 2^-50 of the sum of the terms' magnitudes. Equal sums give equal doubles. */
DT_EXACT_SUM_FUNCTION double dt_exact_sum_value(const dt_exact_sum *sum) {
  double value = 0, unit = 0x1p-64;
  for (int i = 0; i < DT_EXACT_SUM_LIMBS; i++, unit *= 0x1p32) value += (double)sum->limb[i] * unit;
  return value;
}

#endif
