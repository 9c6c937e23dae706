#include "train/steps.h"

#include "core/optim/average.h"
#include "train/signals.h"

static dt_status next_batch(void *context, const dt_batch **out) {
  return dt_loader_next(context, out);
}

static const dt_solver *solver_of(const dt_steps *s) {
  return s->job->spec->solver.kind->impl;
}

dt_status dt_steps_begin(dt_steps *s, int64_t end_samples) {
  const int64_t epoch = s->job->clock.epoch_samples;
  s->samples_begun = s->samples_seen;
  if (solver_of(s)->whole && end_samples % epoch != 0 && end_samples < INT64_MAX - epoch) {
    end_samples += epoch - end_samples % epoch; /* the last step takes what is left of its epoch */
  }
  return dt_job_loader(s->job, true, s->samples_seen, end_samples, &s->loader);
}

void dt_steps_end(dt_steps *s) {
  dt_loader_destroy(&s->loader);
}

/* Samples of the step that begins at samples_seen. */
static int64_t step_samples(const dt_steps *s) {
  const int64_t epoch = s->job->clock.epoch_samples;
  return solver_of(s)->whole ? epoch - s->samples_seen % epoch : dt_sampler_plan(&s->job->sampler, s->samples_seen).count;
}

static void set_step(const dt_steps *s, const dt_in_flight *batch) {
  const dt_job *job = s->job;
  dt_step *step = dt_executor_run_state(job->executor[0])->step;
  *step = (dt_step){.samples_seen = s->samples_begun,
                    .batch_samples = batch->samples,
                    .number = batch->step,
                    .partial = batch->partial,
                    .ascent = solver_of(s)->ascent != NULL ? solver_of(s)->ascent(job->spec->solver.attr) : 0,
                    .clip_norm = job->spec->train.clip_norm,
                    .clip_value = job->spec->train.clip_value,
                    .clip_units = job->spec->train.clip_units,
                    .max_norm = job->spec->train.max_norm,
                    .l1 = job->spec->train.l1,
                    .l2 = job->spec->train.l2,
                    .scale = 1.0 / (double)batch->samples};
  const dt_average_step at = {
      .clock = &job->clock, .number = batch->step, .before = s->samples_seen, .after = s->samples_seen + batch->samples};
  step->average = dt_average_weight(job->spec, &at);
  for (int i = 0; i < job->schedules.count; i++) {
    step->hyper[i] = dt_schedule_value(&job->schedules.hyper[i], &job->clock, s->samples_seen);
  }
}

/* Takes outcomes until at most `left` batches are in flight. */
static dt_status take(dt_steps *s, int left) {
  while (s->in_flight > left) {
    const double *statistic = s->outcome.statistic;
    DT_TRY(dt_executor_result(s->job->executor[0], &s->outcome));
    DT_TRY(s->taken(s->context, &s->flight[0], &s->outcome));
    if (s->flight[0].partial && !s->flight[0].again &&
        (statistic[DT_STATISTIC_STOP] > 0 || statistic[DT_STATISTIC_PREEMPT] > 0))
      s->called_off = true;
    s->flight[0] = s->flight[1];
    s->in_flight--;
  }
  if (s->in_flight == 0) dt_rank_enter(&s->job->comm->state, DT_RANK_TOGETHER);
  return DT_OK;
}

void dt_steps_raise_signals(void *context, double *flags) {
  flags[DT_STATISTIC_STOP] = dt_signal_stop() || dt_signal_preempt();
}

dt_status dt_steps_check_signals(const dt_job *job, const dt_step_result *outcome) {
  if (outcome->statistic[DT_STATISTIC_STOP] == 0) return DT_OK;
  dt_rank_enter(&job->comm->state, DT_RANK_TOGETHER); /* every rank has seen the flag */
  DT_RAISE(DT_INTERRUPTED, "stopped by a signal; nothing was to be saved");
}

dt_status dt_steps_drain(dt_steps *s) {
  return take(s, 0);
}

dt_status dt_steps_batch(dt_steps *s) {
  dt_executor *executor = s->job->executor[0];
  const int64_t samples = step_samples(s), batch = dt_sampler_plan(&s->job->sampler, s->samples_begun).count;
  const int64_t begun = s->samples_begun + batch;
  dt_in_flight flight = {.step = s->step + 1,
                         .samples_before = s->samples_seen,
                         .samples = samples,
                         .partial = s->no_update || s->again || begun < s->samples_seen + samples,
                         .again = s->again};
  double flags[DT_STATISTIC_COUNT] = {0};
  if (s->flags != NULL) s->flags(s->context, flags);
  set_step(s, &flight);
  /* Until all started batches have ended on this rank, the others may be waiting for it. */
  dt_rank_enter(&s->job->comm->state, DT_RANK_DIVERGED);
  DT_TRY(dt_executor_step(executor, next_batch, s->loader, flags));
  s->flight[s->in_flight++] = flight;
  DT_TRY(take(s, dt_executor_depth(executor)));
  if (flight.again) return DT_OK;
  s->samples_begun = begun;
  if (flight.partial) return DT_OK;
  s->samples_before = s->samples_seen;
  s->samples_seen = begun;
  s->batch_samples = samples;
  s->step++;
  return DT_OK;
}

dt_status dt_steps_advance(dt_steps *s) {
  return solver_of(s)->advance(s);
}
