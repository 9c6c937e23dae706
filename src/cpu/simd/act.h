/* Activations and their derivatives in lanes, and the epilogue of a gradient. */
#ifndef DT_CPU_SIMD_ACT_H
#define DT_CPU_SIMD_ACT_H

#include "core/program.h"
#include "cpu/simd/math.h"

VEC v16 act_apply(dt_act act, v16 a) {
  switch (act) {
    case DT_ACT_RELU:
      return v16_max(v16_zero(), a); /* NaN stays */
    case DT_ACT_SIGMOID:
      return v16_sigmoid(a);
    case DT_ACT_TANH:
      return v16_tanh(a);
    case DT_ACT_NONE:
      break;
  }
  return a;
}

/* g times the derivative of the activation whose output is y. */
VEC v16 act_scale(dt_act act, v16 g, v16 y) {
  switch (act) {
    case DT_ACT_RELU:
      return v16_select(v16_gt(y, v16_zero()), g, v16_zero());
    case DT_ACT_SIGMOID:
      return v16_mul(g, v16_mul(y, v16_sub(v16_set1(1.0f), y)));
    case DT_ACT_TANH:
      return v16_mul(g, v16_fma(v16_sub(v16_zero(), y), y, v16_set1(1.0f)));
    case DT_ACT_NONE:
      break;
  }
  return g;
}

/* What stands after every gradient: + addend, times the derivative at mask. Both may be NULL. */
VEC v16 gradient_finish(dt_act act, v16 g, const float *addend, const float *mask) {
  if (addend != NULL) g = v16_add(g, v16_load(addend));
  if (mask != NULL) g = act_scale(act, g, v16_load(mask));
  return g;
}

/* What stands after every forward sum: + addend (may be NULL), activation. */
VEC v16 forward_finish(dt_act act, v16 a, const float *addend) {
  if (addend != NULL) a = v16_add(a, v16_load(addend));
  return act_apply(act, a);
}

/* An address within an optional tensor. */
VEC const float *at(const float *tensor, int64_t offset) {
  return tensor != NULL ? tensor + offset : NULL;
}

#endif
