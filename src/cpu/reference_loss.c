/* Softmax and cross-entropy over the classes: p[k] = exp(x[k]) / sum exp(x), loss = -log p[label], dloss/dx = p - onehot.
 * The largest logit is taken out of the exponents first, which changes nothing but their range. */
#include <math.h>
#include <string.h>

#include "cpu/reference.h"

static int64_t class_count(const dt_reference_sample *at) {
  return dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_X));
}

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
  int64_t label = at->pass->batch->labels[at->shard * at->run->program->shard_slots + at->slot];
  DT_ASSERT(label >= 0 && label < class_count(at));
  return label;
}

static double loss_of(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  return log_sum_exp(x, class_count(at)) - x[label_of(at)];
}

static bool is_correct(const dt_reference_sample *at) {
  return largest(dt_reference_value(at, DT_ARG_X), class_count(at)) == label_of(at);
}

static void softmax_sample(const dt_reference_sample *at) {
  softmax(dt_reference_value(at, DT_ARG_X), class_count(at), dt_reference_value(at, DT_ARG_Y));
}

static void loss_gradient(const dt_reference_sample *at) {
  double *dx = dt_reference_value(at, DT_ARG_DX);
  softmax(dt_reference_value(at, DT_ARG_X), class_count(at), dx);
  dx[label_of(at)] -= 1;
}

/* Adds a sample to its shard's row of the tail. */
static void count_sample(const dt_reference_sample *at, double *tail) {
  double loss = loss_of(at);
  tail[DT_TAIL_LOSS] += loss;
  tail[DT_TAIL_CORRECT] += is_correct(at) ? 1 : 0;
  tail[DT_TAIL_SAMPLES] += 1;
  tail[DT_TAIL_NONFINITE] += isfinite(loss) ? 0 : 1;
}

dt_status dt_reference_softmax(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return dt_reference_map(run, instr, pass, DT_ARG_Y, softmax_sample);
}

dt_status dt_reference_loss(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  double *tails = dt_reference_block(run, instr, pass, DT_ARG_WORK); /* [shards][DT_TAIL_COUNT] */
  DT_ASSERT(dt_shape_count(dt_reference_shape(run, instr, DT_ARG_STAT)) == DT_TAIL_COUNT);
  memset(tails, 0, (size_t)pass->shard_count * DT_TAIL_COUNT * sizeof(double));
  for (int shard = 0; shard < pass->shard_count; shard++) {
    for (int64_t slot = 0; slot < pass->batch->filled[shard]; slot++) {
      dt_reference_sample at = {.run = run, .instr = instr, .pass = pass, .shard = shard, .slot = slot};
      count_sample(&at, tails + shard * DT_TAIL_COUNT);
    }
  }
  dt_reference_fold(tails, pass->shard_count, DT_TAIL_COUNT);
  for (int i = DT_TAIL_STOP; i <= DT_TAIL_FAIL && pass->index == 0; i++) tails[i] = run->step->flags[i];
  memcpy(dt_reference_block(run, instr, pass, DT_ARG_STAT), tails, DT_TAIL_COUNT * sizeof(double));
  return dt_reference_map(run, instr, pass, DT_ARG_DX, loss_gradient);
}

static void score_sample(const dt_reference_sample *at) {
  dt_score *score = at->run->score;
  double loss = loss_of(at);
  score->samples++;
  score->correct += is_correct(at) ? 1 : 0;
  if (isfinite(loss))
    score->loss += llround(loss * 0x1p20);
  else
    score->nonfinite++;
}

dt_status dt_reference_score(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  for (int shard = 0; shard < pass->shard_count; shard++) {
    for (int64_t slot = 0; slot < pass->batch->filled[shard]; slot++) {
      dt_reference_sample at = {.run = run, .instr = instr, .pass = pass, .shard = shard, .slot = slot};
      score_sample(&at);
    }
  }
  return DT_OK;
}
