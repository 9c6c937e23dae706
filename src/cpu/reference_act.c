/* Activations. Their derivatives are written in terms of the output y, so that backward needs no input:
 *
 *   relu     y = max(x, 0)          dy/dx = 1 where y > 0, else 0
 *   sigmoid  y = 1 / (1 + exp(-x))  dy/dx = y (1 - y)
 *   tanh     y = tanh(x)            dy/dx = 1 - y^2 */
#include <math.h>

#include "cpu/reference.h"

/* A NaN stays one: it fails x < 0. */
static double relu(double x) {
  return x < 0 ? 0 : x;
}
static double relu_slope(double y) {
  return y > 0 ? 1 : 0;
}
static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}
static double sigmoid_slope(double y) {
  return y * (1 - y);
}
static double tanh_slope(double y) {
  return 1 - y * y;
}

typedef struct act_row {
  double (*value)(double x);
  double (*slope)(double y);
} act_row;

static const act_row acts[] = {
    [DT_ACT_RELU] = {relu, relu_slope},
    [DT_ACT_SIGMOID] = {sigmoid, sigmoid_slope},
    [DT_ACT_TANH] = {tanh, tanh_slope},
};

static void act_forward(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_Y));
  for (int64_t i = 0; i < count; i++) y[i] = acts[at->instr->act].value(x[i]);
}

static void act_backward(const dt_reference_sample *at) {
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  const double *y = dt_reference_value(at, DT_ARG_MASK);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_DX));
  for (int64_t i = 0; i < count; i++) dx[i] = dy[i] * acts[at->instr->act].slope(y[i]);
}

dt_status dt_reference_act_fwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_ASSERT(instr->act != DT_ACT_NONE);
  return dt_reference_map(run, instr, pass, DT_ARG_Y, act_forward);
}

dt_status dt_reference_act_bwd(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  DT_ASSERT(instr->act != DT_ACT_NONE && instr->arg[DT_ARG_MASK] >= 0 && instr->arg[DT_ARG_ADDEND] < 0);
  return dt_reference_map(run, instr, pass, DT_ARG_DX, act_backward);
}
