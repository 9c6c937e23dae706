/* Layer normalisation over the D numbers of a sample. With mean = (sum x) / D, var = (sum (x - mean)^2) / D,
 * xh = (x - mean) / sqrt(var + eps), g = dy * w:
 *
 *   y = xh * w + b
 *   dw = sum over samples of dy * xh,  db = sum over samples of dy
 *   dx = (g - (sum g) / D - xh * (sum g * xh) / D) / sqrt(var + eps) */
#include <math.h>

#include "cpu/reference.h"

typedef struct moments {
  double mean, inverse; /* 1 / sqrt(var + eps) */
  int64_t count;
} moments;

static moments moments_of(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  moments m = {.count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_X))};
  double variance = 0;
  for (int64_t i = 0; i < m.count; i++) m.mean += x[i];
  m.mean /= (double)m.count;
  for (int64_t i = 0; i < m.count; i++) variance += (x[i] - m.mean) * (x[i] - m.mean);
  m.inverse = 1 / sqrt(variance / (double)m.count + at->instr->norm.eps);
  return m;
}

static void forward_sample(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  const double *b = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_B);
  double *y = dt_reference_value(at, DT_ARG_Y);
  moments m = moments_of(at);
  for (int64_t i = 0; i < m.count; i++) y[i] = (x[i] - m.mean) * m.inverse * w[i] + b[i];
}

dt_status dt_reference_ln_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, forward_sample);
}

static void backward_sample(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X), *dy = dt_reference_value(at, DT_ARG_DY);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0, along = 0;
  moments m = moments_of(at);
  for (int64_t i = 0; i < m.count; i++) {
    sum += dy[i] * w[i];
    along += dy[i] * w[i] * (x[i] - m.mean) * m.inverse;
  }
  sum /= (double)m.count;
  along /= (double)m.count;
  for (int64_t i = 0; i < m.count; i++) {
    dx[i] = m.inverse * (dy[i] * w[i] - sum - (x[i] - m.mean) * m.inverse * along);
  }
}

static void sample_gradient(const dt_reference_sample *at, double *dw, double *db) {
  const double *x = dt_reference_value(at, DT_ARG_X), *dy = dt_reference_value(at, DT_ARG_DY);
  moments m = moments_of(at);
  for (int64_t i = 0; i < m.count; i++) {
    dw[i] += dy[i] * (x[i] - m.mean) * m.inverse;
    db[i] += dy[i];
  }
}

dt_status dt_reference_ln_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  DT_TRY(dt_reference_map(run, instr, micro, DT_ARG_DX, backward_sample));
  return instr->arg[DT_ARG_DW] < 0 ? DT_OK : dt_reference_sum(run, instr, micro, sample_gradient);
}
