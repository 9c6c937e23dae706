/* Hyper-parameters over time, as pure functions of samples seen, and what durations mean in a run. A decay is one row of
 * dt_decay_kinds.
 *
 * A batch never spans two epochs, so the last step of an epoch may be short: a step is not a number of samples. The clock is
 * the one place that turns one into the other. */
#ifndef DT_CORE_OPTIM_SCHEDULE_H
#define DT_CORE_OPTIM_SCHEDULE_H

#include "core/config/kinds.h"
#include "core/config/spec.h"
#include "core/optim/optimizer.h"

/* What durations mean in a run. */
typedef struct dt_clock {
  int64_t epoch_samples; /* samples an epoch counts (last_batch: drop leaves some out) */
  int64_t batch_samples; /* global batch */
  int64_t total_samples; /* of the whole training; the last step may end behind it */
  bool by_steps;         /* train.length is in steps: decays that run to the end of the training count steps */
} dt_clock;

/* total_samples is INT64_MAX where the length is beyond all counting. */
dt_clock dt_clock_make(int64_t epoch_samples, int64_t batch_samples, dt_duration length);
/* Samples seen after so many steps from the beginning; INT64_MAX where that is beyond all counting. */
int64_t dt_clock_samples(const dt_clock *clock, int64_t steps);
/* The fewest steps after which so many samples are seen: the inverse of dt_clock_samples, and the number of the step (from 0
 * on) that starts at or after `samples`. */
int64_t dt_clock_steps(const dt_clock *clock, int64_t samples);
/* Samples that a duration stands for, counted from the beginning; seconds and never give INT64_MAX. Fractions of epochs round
 * to the nearest sample. */
int64_t dt_duration_samples(dt_duration duration, const dt_clock *clock);

/* Where a step stands behind the warm-up, in samples and in steps. */
typedef struct dt_moment {
  const dt_clock *clock;
  int64_t samples, steps;           /* since the end of the warm-up */
  int64_t span_samples, span_steps; /* from there to the end of the training; 1 or more */
} dt_moment;

/* A decay: the value of the step that starts at a moment, 0 <= samples <= span_samples. */
typedef struct dt_decay {
  double (*value)(const void *attr, const dt_moment *at, double peak, double final);
} dt_decay;

/* Value at samples_seen. Warm-up is linear from warmup_from * peak, in steps where it is given in steps, else in samples; the
 * value belongs to the step that starts at samples_seen. */
double dt_schedule_value(const dt_schedule_spec *schedule, const dt_clock *clock, int64_t samples_seen);
/* Peak after the scaling rule: linear peak * B/base, sqrt peak * sqrt(B/base). */
double dt_scaled_peak(double peak, dt_scaling_rule rule, int64_t global_batch, int64_t base_batch);

/* The schedules of all hyper-parameters of a config's optimizer, in its order. */
typedef struct dt_schedules {
  const char *name[DT_HYPER_MAX];
  dt_schedule_spec hyper[DT_HYPER_MAX];
  int count;
} dt_schedules;

/* The scaling rule is applied; a hyper-parameter without a schedule stays as it is in optimizer. DT_USAGE where a warm-up is
 * longer than the training. */
dt_status dt_schedules_make(const dt_spec *spec, const dt_clock *clock, dt_schedules *out);
/* The most that a hyper-parameter may be in any step of a training. */
double dt_hyper_largest(const dt_spec *spec, int index);

#endif
