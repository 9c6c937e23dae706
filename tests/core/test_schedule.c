/* Schedules against PyTorch's numbers (tests/oracles/schedules.py) and against what they promise at their ends. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/schedule.h"
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

/* One line of the data: a config, the number of samples, a rate for each. */
static void check_line(char *line) {
  char *rest, *lr = strtok_r(line, "\t", &rest);
  int64_t samples = strtoll(strtok_r(NULL, "\t", &rest), NULL, 10);
  dt_clock clock = {.epoch_samples = 10, .batch_samples = 1, .total_samples = samples};
  dt_config *config = parse_lr(lr);
  for (int64_t i = 0; i < samples; i++) {
    const char *expected = strtok_r(NULL, "\t\n", &rest);
    assert_non_null(expected);
    assert_near(dt_schedule_value(&dt_config_spec(config)->schedule.lr, &clock, i), strtod(expected, NULL), lr, i);
  }
  dt_config_destroy(&config);
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
  assert_int_equal(lines, 12);
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
  assert_int_equal(dt_duration_samples((dt_duration){2.5, DT_SAMPLES}, &clock), 3);
  assert_true(dt_duration_samples((dt_duration){1, DT_SECONDS}, &clock) == INT64_MAX);
  assert_true(dt_duration_samples((dt_duration){0, DT_NEVER}, &clock) == INT64_MAX);
  assert_true(dt_duration_samples((dt_duration){0x1p53, DT_EPOCHS}, &clock) == INT64_MAX);
}

static void test_prepare(void **state) {
  static const char *const sets[] = {"schedule.lr={peak: 0.1, decay: cosine, final: 0.01}", "schedule.scaling=linear",
                                     "schedule.momentum=0.5"};
  dt_clock clock = {.epoch_samples = 1000, .batch_samples = 512, .total_samples = 10000};
  dt_config *config = parse(sets, 3);
  dt_schedule_spec lr, momentum, decay;
  assert_int_equal(dt_schedule_prepare(dt_config_spec(config), &clock, &lr, &momentum, &decay), DT_OK);
  assert_near(dt_schedule_value(&lr, &clock, 0), 0.2, "lr", 0);
  assert_near(dt_schedule_value(&lr, &clock, 10000), 0.02, "lr", 10000);
  assert_near(dt_schedule_value(&momentum, &clock, 77), 0.5, "momentum", 77);
  assert_near(dt_schedule_value(&decay, &clock, 77), 5e-4, "weight_decay", 77);
  dt_config_destroy(&config);
  assert_near(dt_scaled_peak(0.1, DT_SCALE_SQRT, 1024, 256), 0.2, "sqrt", 0);
  assert_near(dt_scaled_peak(0.1, DT_SCALE_NONE, 1024, 256), 0.1, "none", 0);
}

static void test_warmup_too_long(void **state) {
  static const char *const sets[] = {"schedule.lr={peak: 0.1, warmup: 11 epochs}"};
  dt_clock clock = {.epoch_samples = 1000, .batch_samples = 512, .total_samples = 10000};
  dt_config *config = parse(sets, 1);
  dt_schedule_spec lr, momentum, decay;
  dt_error_clear();
  assert_int_equal(dt_schedule_prepare(dt_config_spec(config), &clock, &lr, &momentum, &decay), DT_USAGE);
  assert_string_equal(dt_error_text(),
                      "schedule.lr.warmup: found 11000 samples, expected at most the 10000 samples of the training");
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_torch),     cmocka_unit_test(test_ends),    cmocka_unit_test(test_stable_shapes),
      cmocka_unit_test(test_durations), cmocka_unit_test(test_prepare), cmocka_unit_test(test_warmup_too_long),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
