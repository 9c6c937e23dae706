/* Activations in doubles: the functions of core/functions, and their derivatives from what the functions declare, input or
 * output. */
#include "cpu/reference.h"

typedef double number;
#define FUNCTION static inline
#define NUMBER_MATH(name) name
#include "core/functions/scalar.h"
/* The primitives come first. */
#include "core/functions/arithmetic.h"

static void act_forward(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_Y));
  for (int64_t i = 0; i < count; i++) y[i] = number_act_value(&at->instr->act, x[i]);
}

static void act_backward(const dt_reference_sample *at) {
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  const double *mask = dt_reference_value(at, DT_ARG_MASK);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_DX));
  for (int64_t i = 0; i < count; i++) dx[i] = number_act_gradient(&at->instr->act, dy[i], mask[i]);
}

dt_status dt_reference_act_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, act_forward);
}

dt_status dt_reference_act_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_ASSERT(instr->arg[DT_ARG_ADDEND] < 0);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, act_backward);
}
