/* exp, log, log1p, tanh, sigmoid and erf in lanes: polynomials of our own, so that every machine gives the same bits.
 *
 * NaN comes out where NaN goes in. */
#ifndef DT_CPU_SIMD_MATH_H
#define DT_CPU_SIMD_MATH_H

#include "cpu/simd/vec.h"

/* e^x for x <= 88; 0 below -87, where e^x leaves the normal numbers. x = n ln 2 + r with |r| <= ln 2 / 2, e^r by the
 * polynomial of Cephes (Moshier, expf), 2^n by the exponent's bits. */
VEC v16 v16_exp(v16 x) {
  const v16 low = v16_set1(-87.0f), magic = v16_set1(0x1.8p23f);
  v16 clamped = v16_max(low, x);
  v16 shifted = v16_fma(clamped, v16_set1(0x1.715476p+0f), magic);
  v16 n = v16_sub(shifted, magic);
  v16 r = v16_fma(n, v16_set1(-0x1.62e4p-1f), clamped);
  r = v16_fma(n, v16_set1(-0x1.7f7d1cp-20f), r);
  v16 p = v16_set1(1.9875691500e-4f);
  p = v16_fma(p, r, v16_set1(1.3981999507e-3f));
  p = v16_fma(p, r, v16_set1(8.3334519073e-3f));
  p = v16_fma(p, r, v16_set1(4.1665795894e-2f));
  p = v16_fma(p, r, v16_set1(1.6666665459e-1f));
  p = v16_fma(p, r, v16_set1(5.0000001201e-1f));
  p = v16_fma(p, v16_mul(r, r), r);
  p = v16_add(p, v16_set1(1.0f));
  v16 e = v16_mul(p, v16_pow2(shifted));
  return v16_select(v16_gt(low, x), v16_zero(), e);
}

/* Natural logarithm of a positive normal number; NaN for infinity. The mantissa is brought into [sqrt(1/2), sqrt(2)) and
 * log(1 + f) taken by the polynomial of Cephes (Moshier, logf). */
VEC v16 v16_log(v16 x) {
  v16 e;
  v16 f = v16_sub(v16_split(x, &e), v16_set1(1.0f));
  v16 z = v16_mul(f, f);
  v16 p = v16_set1(7.0376836292e-2f);
  p = v16_fma(p, f, v16_set1(-1.1514610310e-1f));
  p = v16_fma(p, f, v16_set1(1.1676998740e-1f));
  p = v16_fma(p, f, v16_set1(-1.2420140846e-1f));
  p = v16_fma(p, f, v16_set1(1.4249322787e-1f));
  p = v16_fma(p, f, v16_set1(-1.6668057665e-1f));
  p = v16_fma(p, f, v16_set1(2.0000714765e-1f));
  p = v16_fma(p, f, v16_set1(-2.4999993993e-1f));
  p = v16_fma(p, f, v16_set1(3.3333331174e-1f));
  v16 y = v16_mul(v16_mul(p, f), z);
  y = v16_fma(e, v16_set1(-2.12194440e-4f), y);
  y = v16_fma(z, v16_set1(-0.5f), y);
  y = v16_add(y, f);
  y = v16_fma(e, v16_set1(0.693359375f), y);
  return v16_add(y, v16_sub(x, x));
}

/* log(1 + x) for x in [0, 1]. What rounding takes from 1 + x is given back by the slope: with w = 1 + x rounded, and w - 1
 * exact, log(1 + x) is about log(w) x / (w - 1) (Kahan; Goldberg, ACM Computing Surveys 23(1), 1991, theorem 4). */
VEC v16 v16_log1p(v16 x) {
  const v16 one = v16_set1(1.0f);
  v16 w = v16_add(one, x), rounded = v16_sub(w, one);
  v16 y = v16_div(v16_mul(v16_log(w), x), rounded);
  return v16_select(v16_gt(rounded, v16_zero()), y, x);
}

VEC v16 v16_negate(v16 x) {
  return v16_sub(v16_zero(), x);
}

VEC v16 v16_abs(v16 x) {
  return v16_max(v16_negate(x), x);
}

/* 1 / (1 + e^-x), from e^-|x| so that nothing overflows. */
VEC v16 v16_sigmoid(v16 x) {
  const v16 one = v16_set1(1.0f);
  v16 e = v16_exp(v16_negate(v16_abs(x)));
  v16 numerator = v16_select(v16_gt(v16_zero(), x), e, one);
  return v16_div(numerator, v16_add(one, e));
}

/* (1 - e^-2|x|) / (1 + e^-2|x|) with x's sign; below 0.625, where that cancels, Cephes' odd polynomial (Moshier, tanhf). */
VEC v16 v16_tanh(v16 x) {
  const v16 one = v16_set1(1.0f);
  v16 size = v16_abs(x);
  v16 e = v16_exp(v16_mul(size, v16_set1(-2.0f)));
  v16 large = v16_div(v16_sub(one, e), v16_add(one, e));
  large = v16_select(v16_gt(v16_zero(), x), v16_negate(large), large);
  v16 z = v16_mul(x, x);
  v16 p = v16_set1(-5.70498872745e-3f);
  p = v16_fma(p, z, v16_set1(2.06390887954e-2f));
  p = v16_fma(p, z, v16_set1(-5.37397155531e-2f));
  p = v16_fma(p, z, v16_set1(1.33314422036e-1f));
  p = v16_fma(p, z, v16_set1(-3.33332819422e-1f));
  v16 small = v16_fma(v16_mul(p, z), x, x);
  return v16_select(v16_gt(v16_set1(0.625f), size), small, large);
}

/* The error function: 1 - exp(q(|x|)) with x's sign, where q is a polynomial; below 475/512, where that cancels, an odd one (N.
 * Juffa, "Efficient faithfully rounded implementation of error function erff()", 2017). */
VEC v16 v16_erf(v16 x) {
  v16 size = v16_abs(x), s = v16_mul(x, x);
  v16 q = v16_fma(v16_set1(-1.72853470e-5f), size, v16_set1(3.83197126e-4f));
  q = v16_fma(q, s, v16_fma(v16_set1(-3.88396438e-3f), size, v16_set1(2.42546219e-2f)));
  q = v16_fma(q, size, v16_set1(-1.06777877e-1f));
  q = v16_fma(q, size, v16_set1(-6.34846687e-1f));
  q = v16_fma(q, size, v16_set1(-1.28717512e-1f));
  q = v16_fma(q, size, v16_negate(size));
  v16 large = v16_sub(v16_set1(1.0f), v16_exp(q));
  large = v16_select(v16_gt(v16_zero(), x), v16_negate(large), large);
  v16 p = v16_set1(-5.96761703e-4f);
  p = v16_fma(p, s, v16_set1(4.99119423e-3f));
  p = v16_fma(p, s, v16_set1(-2.67681349e-2f));
  p = v16_fma(p, s, v16_set1(1.12819925e-1f));
  p = v16_fma(p, s, v16_set1(-3.76125336e-1f));
  p = v16_fma(p, s, v16_set1(1.28379166e-1f));
  return v16_select(v16_gt(v16_set1(0.927734375f), size), v16_fma(p, x, x), large);
}

#endif
