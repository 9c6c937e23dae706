/* Hyper-parameters over time: warm-up, then a decay; never any state. */
#include "core/schedule.h"

#include <math.h>

#include "core/optimizer.h"

int64_t dt_duration_samples(dt_duration duration, const dt_clock *clock) {
  double unit = 1;
  switch (duration.unit) {
    case DT_SAMPLES:
      unit = 1;
      break;
    case DT_STEPS:
      unit = (double)clock->batch_samples;
      break;
    case DT_EPOCHS:
      unit = (double)clock->epoch_samples;
      break;
    case DT_SECONDS:
    case DT_NEVER:
      return INT64_MAX;
  }
  double samples = duration.amount * unit;
  return samples < 0x1p62 ? llround(samples) : INT64_MAX;
}

double dt_schedule_value(const dt_schedule_spec *schedule, const dt_clock *clock, int64_t samples_seen) {
  double warmup = (double)dt_duration_samples(schedule->warmup, clock);
  double peak = schedule->peak, now = (double)samples_seen;
  if (now < warmup) return peak * (schedule->warmup_from + (1.0 - schedule->warmup_from) * now / warmup);
  if (schedule->decay.kind == NULL) return peak;
  const dt_decay *decay = schedule->decay.kind->impl;
  double span = fmax(1.0, (double)clock->total_samples - warmup);
  return decay->value(schedule->decay.attr, clock, fmin(now - warmup, span), span, peak, schedule->final);
}

double dt_scaled_peak(double peak, dt_scaling_rule rule, int64_t global_batch, int64_t base_batch) {
  double ratio = (double)global_batch / (double)base_batch;
  if (rule == DT_SCALE_LINEAR) return peak * ratio;
  if (rule == DT_SCALE_SQRT) return peak * sqrt(ratio);
  return peak;
}

/* A constant where the config gives no schedule. */
static dt_schedule_spec schedule_or_constant(const dt_schedule_spec *given, double value) {
  if (given->given) return *given;
  return (dt_schedule_spec){.peak = value, .warmup = {0, DT_SAMPLES}, .warmup_from = 1, .final = value};
}

static dt_status check_warmup(const char *name, const dt_schedule_spec *schedule, const dt_clock *clock) {
  int64_t warmup = dt_duration_samples(schedule->warmup, clock);
  DT_REQUIRE(warmup <= clock->total_samples, DT_USAGE,
             "schedule.%s.warmup: found %lld samples, expected at most the %lld samples of the training", name,
             (long long)warmup, (long long)clock->total_samples);
  return DT_OK;
}

dt_status dt_schedule_prepare(const dt_spec *spec, const dt_clock *clock, dt_schedule_spec *lr, dt_schedule_spec *momentum,
                              dt_schedule_spec *weight_decay) {
  const dt_optimizer *optimizer = spec->optimizer.kind->impl;
  const void *attr = spec->optimizer.attr;
  dt_scaling_rule rule = (dt_scaling_rule)spec->schedule.scaling.rule;
  int64_t base = spec->schedule.scaling.base_batch;
  *lr = spec->schedule.lr;
  lr->given = true;
  lr->peak = dt_scaled_peak(lr->peak, rule, spec->train.global_batch, base);
  lr->final = dt_scaled_peak(lr->final, rule, spec->train.global_batch, base);
  *momentum = schedule_or_constant(&spec->schedule.momentum, optimizer->momentum != NULL ? optimizer->momentum(attr) : 0);
  *weight_decay =
      schedule_or_constant(&spec->schedule.weight_decay, optimizer->weight_decay != NULL ? optimizer->weight_decay(attr) : 0);
  DT_TRY(check_warmup("lr", lr, clock));
  DT_TRY(check_warmup("momentum", momentum, clock));
  return check_warmup("weight_decay", weight_decay, clock);
}
