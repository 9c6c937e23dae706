/* Metrics that are made of several sums: ranks of labels, scores in bins, moments of targets, counts of yes and no. */
#include <math.h>
#include <string.h>

#include "cpu/reference.h"

static void rank(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const int64_t classes = dt_reference_elements(at), label = dt_reference_label(at);
  dt_reference_terms(at)[0] = -1;
  if (label < 0 || label >= classes) return;
  int64_t before = 0;
  for (int64_t k = 0; k < classes; k++) {
    const bool behind = x[label] > x[k] || (x[label] == x[k] && label < k);
    before += k != label && !behind;
  }
  dt_reference_terms(at)[0] = (double)before;
}

static double score_of(const double *x, int64_t count, int64_t class) {
  double peak = -INFINITY, sum = 0;
  if (count == 1) return x[0];
  for (int64_t k = 0; k < count; k++) peak = k != class && !(x[k] <= peak) ? x[k] : peak;
  for (int64_t k = 0; k < count; k++) sum += k != class ? exp(x[k] - peak) : 0;
  return x[class] - (peak + log(sum));
}

/* Floats in the order of numbers are unsigned integers in order once negative ones are turned over and the others put above. */
static double score_bin_of(float score) {
  enum { DROPPED = 14 };
  uint32_t bits;
  score += 0.0f; /* -0 is 0 */
  memcpy(&bits, &score, sizeof bits);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return isnan(score) ? -1 : (double)(bits >> DROPPED);
}

static void score_bin(const dt_reference_sample *at) {
  const int64_t count = dt_reference_elements(at), named = (int64_t)at->instr->loss.param[0],
                class = named >= 0 ? named : count - 1;
  const double bin = score_bin_of((float)score_of(dt_reference_value(at, DT_ARG_X), count, class));
  const bool labels = dt_instr_field(at->run->program, at->instr, DT_ARG_TARGET)->dtype == DT_I32;
  const bool own = labels ? dt_reference_label(at) == class : dt_reference_target(at, 0) > 0.5;
  dt_reference_terms(at)[0] = bin < 0 ? -1 : 2 * bin + own;
}

static void moments(const dt_reference_sample *at) {
  const double target = dt_reference_target(at, 0), apart = dt_reference_value(at, DT_ARG_X)[0] - target;
  double *terms = dt_reference_terms(at);
  terms[0] = apart * apart;
  terms[1] = target;
  terms[2] = (float)(target * target);
  terms[3] = target * target - terms[2];
}

static void label_counts(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *terms = dt_reference_terms(at);
  terms[0] = terms[1] = terms[2] = 0;
  for (int64_t e = 0; e < dt_reference_elements(at); e++) {
    const bool yes = x[e] > 0, meant = dt_reference_target(at, e) > 0.5;
    terms[0] += yes && meant;
    terms[1] += yes && !meant;
    terms[2] += meant && !yes;
  }
}

dt_status dt_reference_rank(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, rank);
}

dt_status dt_reference_score_bin(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, score_bin);
}

dt_status dt_reference_moments(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, moments);
}

dt_status dt_reference_label_counts(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, label_counts);
}
