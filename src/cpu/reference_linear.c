/* Linear layer, w [O, I]: y = w x + b; dx = w^T dy; dw = dy x^T; db = dy. The bias also alone. */
#include "cpu/reference.h"

static int64_t size_of(const dt_reference_sample *at, dt_arg arg) {
  return dt_shape_count(dt_reference_shape(at->run, at->instr, arg));
}

static void linear_forward(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  const double *b = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_B);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t inputs = size_of(at, DT_ARG_X), outputs = size_of(at, DT_ARG_Y);
  for (int64_t o = 0; o < outputs; o++) {
    double sum = b == NULL ? 0 : b[o];
    for (int64_t i = 0; i < inputs; i++) sum += w[o * inputs + i] * x[i];
    y[o] = sum;
  }
}

static void linear_input_gradient(const dt_reference_sample *at) {
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  int64_t inputs = size_of(at, DT_ARG_DX), outputs = size_of(at, DT_ARG_DY);
  for (int64_t i = 0; i < inputs; i++) dx[i] = 0;
  for (int64_t o = 0; o < outputs; o++) {
    for (int64_t i = 0; i < inputs; i++) dx[i] += w[o * inputs + i] * dy[o];
  }
}

static void linear_weight_gradient(const dt_reference_sample *at, double *dw, double *db) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  int64_t inputs = size_of(at, DT_ARG_X), outputs = size_of(at, DT_ARG_DY);
  for (int64_t o = 0; o < outputs; o++) {
    for (int64_t i = 0; dw != NULL && i < inputs; i++) dw[o * inputs + i] += dy[o] * x[i];
    if (db != NULL) db[o] += dy[o];
  }
}

dt_status dt_reference_linear_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, linear_forward);
}

dt_status dt_reference_linear_dgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, linear_input_gradient);
}

dt_status dt_reference_linear_wgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_sum(run, instr, micro, linear_weight_gradient);
}

static void add_bias(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *b = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_B);
  double *y = dt_reference_value(at, DT_ARG_Y);
  for (int64_t i = 0; i < size_of(at, DT_ARG_Y); i++) y[i] = x[i] + b[i];
}

static void bias_gradient(const dt_reference_sample *at, double *dw, double *db) {
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  for (int64_t i = 0; i < size_of(at, DT_ARG_DY); i++) db[i] += dy[i];
}

dt_status dt_reference_add_bias(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, add_bias);
}

dt_status dt_reference_bias_wgrad(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_sum(run, instr, micro, bias_gradient);
}
