/* Softmax and cross-entropy over the classes: p[k] = exp(x[k]) / sum exp(x), loss = -sum q[k] log p[k], dloss/dx = p sum q - q,
 * q being 1 for the label and 0 else, or a target of the sample's own, smoothed. The largest logit is taken out of the
 * exponents first, which changes nothing but their range. */
#include <math.h>

#include "cpu/reference.h"

/* The first largest logit; NaN is never larger. */
static int64_t largest(const double *x, int64_t count) {
  int64_t best = 0;
  for (int64_t k = 1; k < count; k++) {
    if (x[k] > x[best]) best = k;
  }
  return best;
}

/* log(sum exp(x)). */
static double log_sum_exp(const double *x, int64_t count) {
  double peak = x[largest(x, count)], sum = 0;
  for (int64_t k = 0; k < count; k++) sum += exp(x[k] - peak);
  return peak + log(sum);
}

static void softmax(const double *x, int64_t count, double *p) {
  double total = log_sum_exp(x, count);
  for (int64_t k = 0; k < count; k++) p[k] = exp(x[k] - total);
}

static int64_t label_of(const dt_reference_sample *at) {
  const int64_t label = dt_reference_label(at);
  DT_ASSERT(label >= 0 && label < dt_reference_elements(at));
  return label;
}

static bool is_soft(const dt_reference_sample *at) {
  return dt_instr_field(at->run->program, at->instr, DT_ARG_TARGET)->dtype != DT_I32;
}

/* Probability q[k], before it is smoothed. */
static double target_of(const dt_reference_sample *at, int64_t k) {
  return is_soft(at) ? dt_reference_target(at, k) : k == label_of(at);
}

static double smoothed(const dt_reference_sample *at, int64_t k) {
  const double smoothing = at->instr->loss.param[0];
  return (1 - smoothing) * target_of(at, k) + smoothing / (double)dt_reference_elements(at);
}

static double loss_of(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X), total = log_sum_exp(x, dt_reference_elements(at));
  if (!is_soft(at) && at->instr->loss.param[0] == 0) return total - x[label_of(at)];
  double loss = 0;
  for (int64_t k = 0; k < dt_reference_elements(at); k++) loss += smoothed(at, k) * (total - x[k]);
  return loss;
}

/* The class of a target that is none is the first that it gives most. */
static int64_t class_of(const dt_reference_sample *at) {
  if (!is_soft(at)) return label_of(at);
  int64_t best = 0;
  for (int64_t k = 1; k < dt_reference_elements(at); k++) {
    if (target_of(at, k) > target_of(at, best)) best = k;
  }
  return best;
}

static bool is_correct(const dt_reference_sample *at) {
  return largest(dt_reference_value(at, DT_ARG_X), dt_reference_elements(at)) == class_of(at);
}

static void softmax_sample(const dt_reference_sample *at) {
  softmax(dt_reference_value(at, DT_ARG_X), dt_reference_elements(at), dt_reference_value(at, DT_ARG_Y));
}

static void gradient(const dt_reference_sample *at, double *dx) {
  double sum = 0;
  softmax(dt_reference_value(at, DT_ARG_X), dt_reference_elements(at), dx);
  for (int64_t k = 0; k < dt_reference_elements(at); k++) sum += smoothed(at, k);
  if (!is_soft(at)) sum = 1;
  for (int64_t k = 0; k < dt_reference_elements(at); k++) dx[k] = at->instr->loss.weight * (dx[k] * sum - smoothed(at, k));
}

static void measure_sample(const dt_reference_sample *at) {
  double *term = dt_reference_value(at, DT_ARG_TERMS) + at->instr->loss.column;
  term[0] = loss_of(at);
  term[1] = is_correct(at) ? 1 : 0;
  if (at->instr->arg[DT_ARG_DX] >= 0) gradient(at, dt_reference_value(at, DT_ARG_DX));
}

dt_status dt_reference_softmax(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, softmax_sample);
}

dt_status dt_reference_cross_entropy(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, measure_sample);
}
