/* Hyper-parameters over time, as pure functions of samples seen. A decay is one row of dt_decay_kinds. */
#ifndef DT_CORE_SCHEDULE_H
#define DT_CORE_SCHEDULE_H

#include "core/spec.h"

/* What durations mean in a run. */
typedef struct dt_clock {
  int64_t epoch_samples; /* samples an epoch counts (last_batch: drop leaves some out) */
  int64_t batch_samples; /* global batch */
  int64_t total_samples; /* of the whole training */
} dt_clock;

/* A decay: value in units of peak at `t` samples after warm-up, of `span` samples left for it. */
typedef struct dt_decay {
  double (*value)(const void *attr, const dt_clock *clock, double t, double span, double peak, double final);
} dt_decay;

extern const dt_kind *const dt_decay_kinds[]; /* constant step multistep exponential inverse polynomial linear cosine one_cycle
                                                 warmup_stable_decay */

/* Samples that a duration stands for; seconds and never give INT64_MAX. Fractions round to nearest. */
int64_t dt_duration_samples(dt_duration duration, const dt_clock *clock);
/* Value at samples_seen. Warm-up is linear from warmup_from * peak; the value belongs to the step that starts at samples_seen.
 */
double dt_schedule_value(const dt_schedule_spec *schedule, const dt_clock *clock, int64_t samples_seen);
/* Peak after the scaling rule: linear peak * B/base, sqrt peak * sqrt(B/base). */
double dt_scaled_peak(double peak, dt_scaling_rule rule, int64_t global_batch, int64_t base_batch);
/* A schedule with its scaling rule applied; the result is used everywhere after. */
dt_status dt_schedule_prepare(const dt_spec *spec, const dt_clock *clock, dt_schedule_spec *lr, dt_schedule_spec *momentum,
                              dt_schedule_spec *weight_decay);

#endif
