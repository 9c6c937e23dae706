/* What is compared element by element: squared error, Huber, the binary cross-entropy of logits, absolute error. */
#include <math.h>

#include "cpu/reference.h"

static void squared_error(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    const double apart = x[e] - dt_reference_target(at, e);
    sum += apart * apart;
    if (dx != NULL) dx[e] = at->instr->loss.weight * 2 / (double)count * apart;
  }
  dt_reference_terms(at)[0] = sum / (double)count;
}

static void huber(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X), delta = at->instr->loss.param[0];
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    const double apart = x[e] - dt_reference_target(at, e);
    const bool far = fabs(apart) > delta;
    sum += far ? delta * (fabs(apart) - delta / 2) : apart * apart / 2;
    if (dx != NULL) dx[e] = at->instr->loss.weight / (double)count * (far ? copysign(delta, apart) : apart);
  }
  dt_reference_terms(at)[0] = sum / (double)count;
}

static void absolute_error(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const int64_t count = dt_reference_elements(at);
  double sum = 0;
  for (int64_t e = 0; e < count; e++) sum += fabs(x[e] - dt_reference_target(at, e));
  dt_reference_terms(at)[0] = sum / (double)count;
}

static void binary_cross_entropy(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0, right = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    const double t = dt_reference_target(at, e);
    sum += fmax(x[e], 0) - x[e] * t + log1p(exp(-fabs(x[e])));
    right += (x[e] > 0) == (t > 0.5) ? 1 : 0;
    if (dx != NULL) dx[e] = at->instr->loss.weight / (double)count * (1 / (1 + exp(-x[e])) - t);
  }
  dt_reference_terms(at)[0] = sum / (double)count;
  dt_reference_terms(at)[1] = right;
}

dt_status dt_reference_squared_error(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, squared_error);
}

dt_status dt_reference_huber(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, huber);
}

dt_status dt_reference_absolute_error(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, absolute_error);
}

dt_status dt_reference_binary_cross_entropy(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, binary_cross_entropy);
}
