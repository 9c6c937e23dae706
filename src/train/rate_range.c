#include "train/rate_range.h"

#include <math.h>

#include "core/program/goals.h"
#include "train/steps.h"

static const double kept = 0.9, too_much = 4;
enum { LEAD = 10 }; /* steps until the mean of the loss says anything */

typedef struct taken {
  const dt_job *job;
  double loss; /* of the last step */
} taken;

/* Of a step of several batches the last brings the sums over all. */
static dt_status take_batch(void *context, const dt_in_flight *step, const dt_step_result *outcome) {
  taken *t = context;
  DT_TRY(dt_steps_check_signals(t->job, outcome));
  if (step->partial) return DT_OK;
  const dt_goals *goals = &t->job->graph->goals;
  t->loss = dt_measure_value(goals, &goals->measure[0], outcome->sum, NULL, (double)step->samples);
  return DT_OK;
}

static dt_status step_at(dt_steps *steps, double rate) {
  steps->job->schedules.hyper[DT_HYPER_LR] = (dt_schedule_spec){.peak = rate, .warmup = {.unit = DT_SAMPLES}};
  DT_TRY(dt_steps_advance(steps));
  return dt_steps_drain(steps);
}

static double rate_of(const dt_rate_range *range, int64_t step) {
  return range->from * pow(range->to / range->from, (double)step / (double)(range->steps > 1 ? range->steps - 1 : 1));
}

static dt_status run_steps(dt_steps *steps, const taken *t, dt_rate_range *range) {
  double mean = 0, least = INFINITY;
  for (range->count = 0; range->count < range->steps && !range->diverged;) {
    const int64_t i = range->count;
    range->rate[i] = rate_of(range, i);
    DT_TRY(step_at(steps, range->rate[i]));
    range->loss[i] = t->loss;
    mean = kept * mean + (1 - kept) * range->loss[i];
    range->smooth[i] = mean / (1 - pow(kept, (double)i + 1));
    range->diverged = range->not_finite = !isfinite(range->loss[i]);
    if (range->diverged) return DT_OK;
    range->count++;
    if (i < LEAD) continue;
    least = fmin(least, range->smooth[i]);
    range->diverged = range->smooth[i] > too_much * least;
  }
  return DT_OK;
}

void dt_rate_range_mark(dt_rate_range *range) {
  const int64_t first = range->count > 2 * LEAD ? LEAD : 0; /* before it the mean is noise, if there are others */
  double steepest = 0;
  range->lowest = first;
  range->steepest = -1;
  for (int64_t i = first; i < range->count; i++) {
    if (range->smooth[i] < range->smooth[range->lowest]) range->lowest = i;
  }
  /* Rates grow by equal factors: a difference of neighbours is a slope. */
  for (int64_t i = first + 1; i < range->lowest; i++) {
    const double slope = range->smooth[i + 1] - range->smooth[i - 1];
    if (slope >= steepest) continue;
    steepest = slope;
    range->steepest = i;
  }
}

dt_status dt_rate_range_run(dt_job *job, dt_rate_range *range) {
  taken t = {.job = job};
  dt_steps steps = {.job = job, .taken = take_batch, .flags = dt_steps_raise_signals, .context = &t};
  range->diverged = range->not_finite = false;
  dt_status status = dt_comm_agree(job->comm, dt_steps_begin(&steps, INT64_MAX));
  if (status == DT_OK) status = run_steps(&steps, &t, range);
  dt_steps_end(&steps);
  DT_TRY(status);
  dt_rate_range_mark(range);
  return DT_OK;
}
