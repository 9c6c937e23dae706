#include "train/objective.h"

#include <math.h>
#include <string.h>

#include "core/numbers.h"
#include "core/program/goals.h"

dt_objective dt_objective_of(dt_job *job) {
  return (dt_objective){.job = job, .count = job->program[0]->trained_elements};
}

static dt_status take_batch(void *context, const dt_in_flight *batch, const dt_step_result *outcome) {
  dt_objective *objective = context;
  DT_TRY(dt_steps_check_signals(objective->job, outcome));
  for (int i = 0; i < objective->job->program[0]->sum_count; i++) objective->sum[i] += outcome->sum[i];
  return DT_OK;
}

static dt_status run_batch(dt_steps *steps) {
  DT_TRY(dt_steps_batch(steps));
  return dt_steps_drain(steps);
}

dt_status dt_objective_evaluate(dt_objective *objective, const double *param, double *out_value, double *gradient) {
  dt_job *job = objective->job;
  const dt_goals *goals = &job->graph->goals;
  dt_steps steps = {.job = job, .taken = take_batch, .flags = dt_steps_raise_signals, .context = objective, .no_update = true};
  memset(objective->sum, 0, sizeof objective->sum);
  DT_TRY(dt_comm_agree(job->comm, dt_executor_write_trained(job->executor[0], param)));
  dt_status status = dt_comm_agree(job->comm, dt_steps_begin(&steps, job->clock.epoch_samples));
  if (status == DT_OK) status = run_batch(&steps);
  objective->samples = steps.samples_begun;
  dt_steps_end(&steps);
  DT_TRY(status);
  DT_TRY(dt_comm_agree(job->comm, dt_executor_take_gradient(job->executor[0], gradient)));
  for (int64_t i = 0; gradient != NULL && i < objective->count; i++) gradient[i] /= (double)objective->samples;
  char text[DT_NUMBER_TEXT];
  *out_value = dt_measure_value(goals, &goals->measure[0], objective->sum, NULL, (double)objective->samples);
  DT_REQUIRE(isfinite(*out_value), DT_NUMERIC, "found the loss %s over the first %lld samples, expected a finite number",
             dt_number_text(*out_value, text), (long long)objective->samples);
  return DT_OK;
}
