/* Schedules against PyTorch's numbers (tests/oracles/schedules.py) and against what they promise at their ends. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/optim/schedule.h"
#include "data/data.h"
#include "support/unit.h"

static const char base[] =
    "name: s\n"
    "data: {train: {idx: {images: a, labels: b}}}\n"
    "model: {input: [4], layers: [{linear: 2}]}\n"
    "train: {global_batch: 512, epochs: 10}\n"
    "optimizer: {sgd: {momentum: 0.9, weight_decay: 5e-4}}\n"
    "schedule: {lr: 0.1}\n";

static dt_config *parse(const char *const *sets, int set_count) {
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("s.yaml", base, strlen(base), sets, set_count, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

static dt_config *parse_lr(const char *lr) {
  char set[512];
  snprintf(set, sizeof set, "schedule.lr=%s", lr);
  const char *sets[] = {set};
  return parse(sets, 1);
}

static void assert_near(double found, double expected, const char *what, int64_t at) {
  if (fabs(found - expected) > 1e-12 * fmax(1, fabs(expected)))
    fail_msg("%s at %lld: found %.17g, expected %.17g", what, (long long)at, found, expected);
}

/* Samples that the step after so many samples has: what a loader hands out. */
static int64_t batch_at(const dt_clock *clock, int64_t samples_seen) {
  int64_t left = clock->epoch_samples - samples_seen % clock->epoch_samples;
  return left < clock->batch_samples ? left : clock->batch_samples;
}

/* The rate of every step of a training, beside the expected ones; exactly as many steps as there are rates. */
static void check_rates(const char *lr, dt_clock clock, char *rates) {
  char *rest = rates;
  dt_config *config = parse_lr(lr);
  int64_t seen = 0;
  for (int64_t step = 0; seen < clock.total_samples; step++) {
    const char *expected = strtok_r(NULL, "\t\n", &rest);
    if (expected == NULL) fail_msg("%s: step %lld: found one more than there are", lr, (long long)step);
    assert_near(dt_schedule_value(&dt_config_spec(config)->schedule.lr, &clock, seen), strtod(expected, NULL), lr, step);
    seen += batch_at(&clock, seen);
  }
  assert_null(strtok_r(NULL, "\t\n", &rest));
  dt_config_destroy(&config);
}

/* Full batches, short last ones (and only short ones), one step an epoch. */
static const struct { int64_t epoch, batch; } in_steps[] = {{16, 8}, {20, 8}, {23, 4}, {5, 8}, {7, 7}, {1000, 3}, {1, 1}};

/* One line of the data: a config, the length of the training, the rate of each step. */
static void check_line(char *line) {
  char *rest, *lr = strtok_r(line, "\t", &rest), *length = strtok_r(NULL, "\t", &rest), unit[16], *again;
  double amount;
  assert_int_equal(sscanf(length, "%lf %15s", &amount, unit), 2);
  if (strcmp(unit, "samples") == 0) {
    check_rates(lr, dt_clock_make(10, 1, (dt_duration){amount, DT_SAMPLES}), rest);
  } else if (strcmp(unit, "epochs") == 0) {
    check_rates(lr, dt_clock_make(20, 8, (dt_duration){amount, DT_EPOCHS}), rest);
  } else {
    for (size_t i = 0; i < sizeof in_steps / sizeof in_steps[0]; i++) {
      assert_non_null(again = strdup(rest));
      check_rates(lr, dt_clock_make(in_steps[i].epoch, in_steps[i].batch, (dt_duration){amount, DT_STEPS}), again);
      free(again);
    }
  }
}

static void test_torch(void **state) {
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/core/data/schedules.txt", "r");
  assert_non_null(file);
  char *line = NULL;
  size_t bytes = 0;
  int lines = 0;
  while (getline(&line, &bytes, file) > 0) {
    if (line[0] == '#') continue;
    check_line(line);
    lines++;
  }
  assert_int_equal(lines, 32);
  free(line);
  fclose(file);
}

/* Every decay: peak (or where it starts) after warm-up, the stated end, finite in between and beyond. */
static void test_ends(void **state) {
  static const struct {
    const char *decay;
    double first, last;
  } ends[] = {
      {"constant", 2, 2},
      {"{step: {every: 30 samples, factor: 0.5}}", 2, 0.25},
      {"{multistep: {at: [1, 2], factor: 0.5}}", 1, 0.5},
      {"{exponential: {every: 45 samples, factor: 0.5}}", 2, 0.5},
      {"{inverse: {every: 90 samples, rate: 1}}", 2, 1},
      {"polynomial", 2, 0.125},
      {"linear", 2, 0.125},
      {"cosine", 2, 0.125},
      {"{one_cycle: {start: 0.5}}", 1, 0.125},
      {"warmup_stable_decay", 2, 0.125},
      {"{warmup_stable_decay: {shape: cosine}}", 2, 0.125},
      {"{warmup_stable_decay: {shape: sqrt}}", 2, 0.125},
  };
  dt_clock clock = {.epoch_samples = 10, .batch_samples = 1, .total_samples = 100};
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    char lr[256];
    snprintf(lr, sizeof lr, "{peak: 2, warmup: 10 steps, warmup_from: 0.5, final: 0.125, decay: %s}", ends[i].decay);
    dt_config *config = parse_lr(lr);
    const dt_schedule_spec *schedule = &dt_config_spec(config)->schedule.lr;
    assert_near(dt_schedule_value(schedule, &clock, 0), 1, ends[i].decay, 0);
    assert_near(dt_schedule_value(schedule, &clock, 5), 1.5, ends[i].decay, 5);
    assert_near(dt_schedule_value(schedule, &clock, 10), ends[i].first, ends[i].decay, 10);
    assert_near(dt_schedule_value(schedule, &clock, 100), ends[i].last, ends[i].decay, 100);
    assert_near(dt_schedule_value(schedule, &clock, 1000), ends[i].last, ends[i].decay, 1000);
    for (int64_t at = 0; at < 100; at++) assert_true(dt_schedule_value(schedule, &clock, at) <= 2);
    dt_config_destroy(&config);
  }
}

/* The middle of the decays that PyTorch does not have. */
static void test_stable_shapes(void **state) {
  dt_clock clock = {.epoch_samples = 10, .batch_samples = 1, .total_samples = 100};
  dt_config *config = parse_lr("{peak: 1, decay: {warmup_stable_decay: {fall: 0.4, shape: sqrt}}}");
  const dt_schedule_spec *schedule = &dt_config_spec(config)->schedule.lr;
  assert_near(dt_schedule_value(schedule, &clock, 60), 1, "sqrt", 60);
  assert_near(dt_schedule_value(schedule, &clock, 70), 0.5, "sqrt", 70);
  dt_config_destroy(&config);
  config = parse_lr("{peak: 1, decay: {warmup_stable_decay: {fall: 0.4, shape: cosine}}}");
  assert_near(dt_schedule_value(&dt_config_spec(config)->schedule.lr, &clock, 80), 0.5, "cosine", 80);
  dt_config_destroy(&config);
}

static void test_durations(void **state) {
  dt_clock clock = {.epoch_samples = 60000, .batch_samples = 256, .total_samples = 600000};
  assert_int_equal(dt_duration_samples((dt_duration){1.5, DT_EPOCHS}, &clock), 90000);
  assert_int_equal(dt_duration_samples((dt_duration){3, DT_STEPS}, &clock), 768);
  assert_int_equal(dt_duration_samples((dt_duration){2.5, DT_STEPS}, &clock), 768);   /* no step is divided */
  assert_int_equal(dt_duration_samples((dt_duration){235, DT_STEPS}, &clock), 60000); /* the last one of 96 samples */
  assert_int_equal(dt_duration_samples((dt_duration){236, DT_STEPS}, &clock), 60256);
  assert_int_equal(dt_duration_samples((dt_duration){2.5, DT_SAMPLES}, &clock), 3);
  assert_true(dt_duration_samples((dt_duration){1, DT_SECONDS}, &clock) == INT64_MAX);
  assert_true(dt_duration_samples((dt_duration){0, DT_NEVER}, &clock) == INT64_MAX);
  assert_true(dt_duration_samples((dt_duration){0x1p53, DT_EPOCHS}, &clock) == INT64_MAX);
  dt_clock large = {.epoch_samples = INT64_C(1) << 40, .batch_samples = 1 << 24};
  assert_true(dt_duration_samples((dt_duration){1e12, DT_STEPS}, &large) == INT64_MAX);
  assert_int_equal(dt_clock_steps(&large, INT64_MAX), INT64_C(1) << 39);
}

/* A training of n steps has n steps, whatever they hold. */
static void check_steps(dt_sampler sampler, int64_t n) {
  dt_clock clock = dt_clock_make(dt_sampler_epoch_samples(&sampler), sampler.global_batch, (dt_duration){(double)n, DT_STEPS});
  int64_t seen = 0, steps = 0;
  for (; seen < clock.total_samples; steps++) {
    assert_int_equal(dt_clock_samples(&clock, steps), seen);
    assert_int_equal(dt_clock_steps(&clock, seen), steps);
    int64_t count = dt_sampler_plan(&sampler, seen).count;
    if (count > 1) assert_int_equal(dt_clock_steps(&clock, seen + 1), steps + 1);
    seen += count;
  }
  if (steps != n || seen != clock.total_samples)
    fail_msg("%lld samples, batch %lld, last_batch %d: found %lld steps, expected %lld", (long long)sampler.dataset_count,
             (long long)sampler.global_batch, sampler.last_batch, (long long)steps, (long long)n);
}

static void test_steps_are_steps(void **state) {
  static const int64_t lengths[] = {1, 2, 3, 4, 7, 100};
  for (int64_t samples = 1; samples <= 24; samples++) {
    for (int64_t batch = 1; batch <= 26; batch++) {
      for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        dt_sampler sampler = {.dataset_count = samples, .global_batch = batch, .last_batch = DT_LAST_SHORT};
        check_steps(sampler, lengths[i]);
        sampler.last_batch = DT_LAST_DROP;
        if (dt_sampler_epoch_samples(&sampler) > 0) check_steps(sampler, lengths[i]);
      }
    }
  }
}

static void test_prepare(void **state) {
  static const char *const sets[] = {"schedule.lr={peak: 0.1, decay: cosine, final: 0.01}", "schedule.scaling=linear",
                                     "schedule.momentum=0.5"};
  dt_clock clock = {.epoch_samples = 1000, .batch_samples = 512, .total_samples = 10000};
  dt_config *config = parse(sets, 3);
  dt_schedules all;
  assert_int_equal(dt_schedules_make(dt_config_spec(config), &clock, &all), DT_OK);
  assert_int_equal(all.count, 3);
  assert_string_equal(all.name[1], "momentum");
  assert_string_equal(all.name[2], "weight_decay");
  assert_near(dt_schedule_value(&all.hyper[0], &clock, 0), 0.2, "lr", 0);
  assert_near(dt_schedule_value(&all.hyper[0], &clock, 10000), 0.02, "lr", 10000);
  assert_near(dt_schedule_value(&all.hyper[1], &clock, 77), 0.5, "momentum", 77);
  assert_near(dt_schedule_value(&all.hyper[2], &clock, 77), 5e-4, "weight_decay", 77);
  dt_config_destroy(&config);
  assert_near(dt_scaled_peak(0.1, DT_SCALE_SQRT, 1024, 256), 0.2, "sqrt", 0);
  assert_near(dt_scaled_peak(0.1, DT_SCALE_NONE, 1024, 256), 0.1, "none", 0);
}

static void test_warmup_too_long(void **state) {
  static const struct {
    const char *warmup, *length, *expected;
  } cases[] = {
      {"500 steps", "2 epochs",
       "schedule.lr.warmup: found 500 steps (250000 samples), expected at most train.length, which is 2 epochs (2000 samples)"},
      {"11 epochs", "1 step",
       "schedule.lr.warmup: found 11 epochs (11000 samples), expected at most train.length, which is 1 step (512 samples)"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    char lr[128], length[128];
    snprintf(lr, sizeof lr, "schedule.lr={peak: 0.1, warmup: %s}", cases[i].warmup);
    snprintf(length, sizeof length, "train={global_batch: 512, length: %s}", cases[i].length);
    dt_config *config = parse((const char *const[]){lr, length}, 2);
    const dt_spec *spec = dt_config_spec(config);
    dt_clock clock = dt_clock_make(1000, 512, spec->train.length);
    dt_schedules all;
    dt_error_clear();
    assert_int_equal(dt_schedules_make(spec, &clock, &all), DT_USAGE);
    assert_string_equal(dt_error_text(), cases[i].expected);
    dt_config_destroy(&config);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_torch),           cmocka_unit_test(test_ends),
      cmocka_unit_test(test_stable_shapes),   cmocka_unit_test(test_durations),
      cmocka_unit_test(test_steps_are_steps), cmocka_unit_test(test_prepare),
      cmocka_unit_test(test_warmup_too_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
