/* Activations and their derivatives in lanes, and the epilogue of a gradient. */
#ifndef DT_CPU_SIMD_ACT_H
#define DT_CPU_SIMD_ACT_H

#include "core/program/program.h"
#include "cpu/simd/number.h"

/* All functions but relu are long: act.c has one copy of them, not each place where a sum ends. */
v16 DT_SIMD(act_long_value)(const dt_act *act, v16 x);
v16 DT_SIMD(act_long_gradient)(const dt_act *act, v16 g, v16 mask);

VEC bool act_is_long(const dt_act *act) {
  return act->kind != DT_ACT_NONE && act->kind != DT_ACT_RELU;
}

VEC v16 act_relu(v16 x) {
  return relu_value(x, NULL);
}

VEC v16 act_relu_gradient(v16 g, v16 y) {
  return relu_gradient(g, y, NULL);
}

VEC v16 act_value(const dt_act *act, v16 x) {
  if (act->kind == DT_ACT_NONE) return x;
  return act->kind == DT_ACT_RELU ? act_relu(x) : DT_SIMD(act_long_value)(act, x);
}

/* g times the activation's derivative, from its output or input as the function declares. */
VEC v16 act_gradient(const dt_act *act, v16 g, v16 mask) {
  if (act->kind == DT_ACT_NONE) return g;
  return act->kind == DT_ACT_RELU ? act_relu_gradient(g, mask) : DT_SIMD(act_long_gradient)(act, g, mask);
}

/* What stands after every gradient: + addend, times the derivative at mask. Both may be NULL. */
VEC v16 gradient_finish(const dt_act *act, v16 g, const float *addend, const float *mask) {
  if (addend != NULL) g = v16_add(g, v16_load(addend));
  if (mask != NULL) g = act_gradient(act, g, v16_load(mask));
  return g;
}

/* What stands after every forward sum: + addend (may be NULL), activation. */
VEC v16 forward_finish(const dt_act *act, v16 a, const float *addend) {
  if (addend != NULL) a = v16_add(a, v16_load(addend));
  return act_value(act, a);
}

/* An address within an optional tensor. */
VEC const float *at(const float *tensor, int64_t offset) {
  return tensor != NULL ? tensor + offset : NULL;
}

#endif
