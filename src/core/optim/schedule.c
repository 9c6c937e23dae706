/* Hyper-parameters over time: warm-up, then a decay; never any state. */
#include "core/optim/schedule.h"

#include <math.h>
#include <string.h>

/* --- the clock --- */

static int64_t epoch_steps(const dt_clock *clock) {
  return (clock->epoch_samples - 1) / clock->batch_samples + 1;
}

int64_t dt_clock_samples(const dt_clock *clock, int64_t steps) {
  int64_t epochs = steps / epoch_steps(clock), rest = steps % epoch_steps(clock), whole, samples;
  if (__builtin_mul_overflow(epochs, clock->epoch_samples, &whole)) return INT64_MAX;
  if (__builtin_add_overflow(whole, rest * clock->batch_samples, &samples)) return INT64_MAX;
  return samples;
}

int64_t dt_clock_steps(const dt_clock *clock, int64_t samples) {
  int64_t epochs = samples / clock->epoch_samples, rest = samples % clock->epoch_samples;
  return epochs * epoch_steps(clock) + (rest > 0 ? (rest - 1) / clock->batch_samples + 1 : 0);
}

int64_t dt_duration_samples(dt_duration duration, const dt_clock *clock) {
  double samples = duration.amount;
  switch (duration.unit) {
    case DT_SAMPLES:
      break;
    case DT_STEPS:
      return dt_clock_samples(clock, duration.amount < 0x1p62 ? (int64_t)ceil(duration.amount) : INT64_MAX);
    case DT_EPOCHS:
      samples *= (double)clock->epoch_samples;
      break;
    case DT_SECONDS:
    case DT_NEVER:
      return INT64_MAX;
  }
  return samples < 0x1p62 ? llround(samples) : INT64_MAX;
}

dt_clock dt_clock_make(int64_t epoch_samples, int64_t batch_samples, dt_duration length) {
  dt_clock clock = {.epoch_samples = epoch_samples, .batch_samples = batch_samples, .by_steps = length.unit == DT_STEPS};
  clock.total_samples = dt_duration_samples(length, &clock);
  return clock;
}

/* --- values --- */

static double rise(const dt_schedule_spec *schedule, int64_t now, int64_t warmup) {
  return schedule->peak * (schedule->warmup_from + (1.0 - schedule->warmup_from) * (double)now / (double)warmup);
}

static int64_t at_least_one(int64_t count) {
  return count > 1 ? count : 1;
}

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

double dt_schedule_value(const dt_schedule_spec *schedule, const dt_clock *clock, int64_t samples_seen) {
  int64_t warmup = dt_duration_samples(schedule->warmup, clock), warmup_steps = dt_clock_steps(clock, warmup);
  int64_t step = dt_clock_steps(clock, samples_seen);
  if (samples_seen < warmup) {
    return schedule->warmup.unit == DT_STEPS ? rise(schedule, step, warmup_steps) : rise(schedule, samples_seen, warmup);
  }
  if (schedule->decay.kind == NULL) return schedule->peak;
  dt_moment at = {.clock = clock,
                  .span_samples = at_least_one(clock->total_samples - warmup),
                  .span_steps = at_least_one(dt_clock_steps(clock, clock->total_samples) - warmup_steps)};
  at.samples = smaller(samples_seen - warmup, at.span_samples);
  at.steps = smaller(step - warmup_steps, at.span_steps);
  const dt_decay *decay = schedule->decay.kind->impl;
  return decay->value(schedule->decay.attr, &at, schedule->peak, schedule->final);
}

double dt_scaled_peak(double peak, dt_scaling_rule rule, int64_t global_batch, int64_t base_batch) {
  double ratio = (double)global_batch / (double)base_batch;
  if (rule == DT_SCALE_LINEAR) return peak * ratio;
  if (rule == DT_SCALE_SQRT) return peak * sqrt(ratio);
  return peak;
}

/* In the units that were written; what is in one unit was compared when the config was read. */
static dt_status check_warmup(const char *name, const dt_schedule_spec *schedule, const dt_spec *spec, const dt_clock *clock) {
  char warmup[DT_DURATION_TEXT], length[DT_DURATION_TEXT];
  int64_t samples = dt_duration_samples(schedule->warmup, clock);
  DT_REQUIRE(samples <= clock->total_samples, DT_USAGE,
             "schedule.%s.warmup: found %s (%lld samples), expected at most train.length, which is %s (%lld samples)", name,
             dt_duration_text(schedule->warmup, warmup), (long long)samples, dt_duration_text(spec->train.length, length),
             (long long)clock->total_samples);
  return DT_OK;
}

static dt_schedule_spec constant(double value) {
  return (dt_schedule_spec){.peak = value, .warmup = {0, DT_SAMPLES}, .warmup_from = 1, .final = value};
}

static dt_schedule_spec scaled_lr(const dt_spec *spec) {
  dt_scaling_rule rule = (dt_scaling_rule)spec->schedule.scaling.rule;
  int64_t batch = spec->train.global_batch, base = spec->schedule.scaling.base_batch;
  dt_schedule_spec lr = spec->schedule.lr;
  lr.peak = dt_scaled_peak(lr.peak, rule, batch, base);
  lr.final = dt_scaled_peak(lr.final, rule, batch, base);
  return lr;
}

static dt_schedule_spec schedule_of(const dt_spec *spec, const dt_option *hyper) {
  const dt_others *other = &spec->schedule.other;
  for (int i = 0; i < other->count; i++) {
    if (strcmp(other->item[i].name, hyper->name) == 0) return *(const dt_schedule_spec *)other->item[i].value;
  }
  return constant(*(const double *)((const char *)spec->optimizer.attr + hyper->offset));
}

double dt_hyper_largest(const dt_spec *spec, int index) {
  dt_schedule_spec schedule =
      index == DT_HYPER_LR ? scaled_lr(spec) : schedule_of(spec, dt_hyper_get(spec->optimizer.kind, index));
  return fmax(schedule.peak, schedule.final);
}

dt_status dt_schedules_make(const dt_spec *spec, const dt_clock *clock, dt_schedules *out) {
  out->count = dt_hyper_count(spec->optimizer.kind);
  for (int i = 0; i < out->count; i++) {
    const dt_option *hyper = dt_hyper_get(spec->optimizer.kind, i);
    out->name[i] = hyper->name;
    out->hyper[i] = i == DT_HYPER_LR ? scaled_lr(spec) : schedule_of(spec, hyper);
    DT_TRY(check_warmup(hyper->name, &out->hyper[i], spec, clock));
  }
  return DT_OK;
}
