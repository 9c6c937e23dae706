/* The primitives of core/functions in sixteen lanes, and the functions. */
#ifndef DT_CPU_SIMD_NUMBER_H
#define DT_CPU_SIMD_NUMBER_H

#include "core/functions/functions.h"
#include "cpu/simd/math.h"

typedef v16 number;
#define FUNCTION VEC

VEC number number_of(double c) { return v16_set1((float)c); }
VEC number number_add(number a, number b) { return v16_add(a, b); }
VEC number number_sub(number a, number b) { return v16_sub(a, b); }
VEC number number_mul(number a, number b) { return v16_mul(a, b); }
VEC number number_muladd(number a, number b, number c) { return v16_fma(a, b, c); }
VEC number number_max(number a, number b) { return v16_max(a, b); }
VEC number number_if_greater(number a, number b, number x, number y) { return v16_select(v16_gt(a, b), x, y); }
VEC number number_exp(number a) { return v16_exp(a); }
VEC number number_log1p(number a) { return v16_log1p(a); }
VEC number number_sigmoid(number a) { return v16_sigmoid(a); }
VEC number number_tanh(number a) { return v16_tanh(a); }
VEC number number_erf(number a) { return v16_erf(a); }

#include "core/functions/arithmetic.h"

#endif
