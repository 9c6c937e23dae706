/* Penalties of activities: terms of what a layer gives, with no target beside it. */
#include <math.h>

#include "cpu/reference.h"

static void magnitudes(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    sum += fabs(x[e]);
    if (dx != NULL) dx[e] = at->instr->loss.weight / (double)count * (x[e] > 0 ? 1 : x[e] < 0 ? -1 : 0);
  }
  dt_reference_terms(at)[0] = sum / (double)count;
}

static void squares(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    sum += x[e] * x[e];
    if (dx != NULL) dx[e] = at->instr->loss.weight * 2 / (double)count * x[e];
  }
  dt_reference_terms(at)[0] = sum / (double)count;
}

/* Of unit e over the samples of the shard; within the bounds of a logarithm. */
static double mean_activity(const dt_reference_sample *at, int64_t e) {
  const int64_t valid = at->micro->batch->valid[at->shard];
  dt_reference_sample each = *at;
  double sum = 0;
  for (each.position = 0; each.position < valid; each.position++) sum += dt_reference_value(&each, DT_ARG_X)[e];
  const double mean = sum / (double)valid;
  return mean < 0 || mean > 1 ? NAN : mean < 1e-6 ? 1e-6 : mean > 1 - 1e-6 ? 1 - 1e-6 : mean;
}

/* The same of each sample of a shard, but that each has a gradient of its own to fill. */
static void divergence(const dt_reference_sample *at) {
  const double rho = at->instr->loss.param[0];
  double *dx = dt_reference_value(at, DT_ARG_DX), sum = 0;
  const int64_t count = dt_reference_elements(at);
  for (int64_t e = 0; e < count; e++) {
    const double m = mean_activity(at, e);
    sum += rho * log(rho / m) + (1 - rho) * log((1 - rho) / (1 - m));
    if (dx != NULL) dx[e] = at->instr->loss.weight / (double)count * ((1 - rho) / (1 - m) - rho / m);
  }
  dt_reference_terms(at)[0] = sum / (double)count;
}

dt_status dt_reference_activity_l1(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, magnitudes);
}

dt_status dt_reference_activity_l2(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, squares);
}

dt_status dt_reference_activity_kl(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, divergence);
}
