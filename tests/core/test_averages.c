/* Averages of weights against PyTorch's numbers (tests/oracles/averages.py). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/config/spec.h"
#include "core/optim/average.h"
#include "support/unit.h"

enum { COUNT = 5 };

static dt_config *parse(const char *average, const char *options) {
  char text[512];
  snprintf(text, sizeof text,
           "name: s\ndata: {train: {idx: {images: a, labels: b}}}\nmodel: {input: [4], layers: [{linear: 2}]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\naverage: {%s: %s}\n",
           average, options);
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("s.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

static bool read_numbers(FILE *file, double *out, int count) {
  for (int i = 0; i < count; i++) {
    if (fscanf(file, "%lf", &out[i]) != 1) return false;
  }
  return true;
}

static void check_average(const char *name, int64_t step, const double *a, const float *af, const double *expected) {
  for (int i = 0; i < COUNT; i++) {
    const double scale = fmax(1, fabs(expected[i]));
    if (!(fabs(a[i] - expected[i]) <= 1e-12 * scale))
      fail_msg("%s, step %d: found %.17g, expected %.17g", name, (int)step, a[i], expected[i]);
    if (!(fabs(af[i] - expected[i]) <= 5e-7 * scale))
      fail_msg("%s, step %d: found %.9g in fp32, expected %.9g", name, (int)step, af[i], expected[i]);
  }
}

/* One case of the file; false at the end. */
static bool check_case(FILE *file, int *cases) {
  char name[32], options[128];
  double form[3], p[COUNT], expected[COUNT], a[COUNT] = {0};
  float pf[COUNT], af[COUNT] = {0};
  if (fscanf(file, " %31s %127[^\n]", name, options) != 2) return false;
  assert_true(read_numbers(file, form, 3));
  const int64_t steps = (int64_t)form[0], batch = (int64_t)form[1], epoch = (int64_t)form[2];
  const dt_clock clock = dt_clock_make(epoch, batch, (dt_duration){(double)steps, DT_STEPS});
  dt_config *config = parse(name, options);
  for (int64_t k = 1; k <= steps; k++) {
    const dt_average_step at = {
        .clock = &clock, .number = k, .before = dt_clock_samples(&clock, k - 1), .after = dt_clock_samples(&clock, k)};
    const double weight = dt_average_weight(dt_config_spec(config), &at);
    assert_true(read_numbers(file, p, COUNT) && read_numbers(file, expected, COUNT));
    for (int i = 0; i < COUNT; i++) pf[i] = (float)p[i];
    dt_average_f64(weight, COUNT, p, a);
    dt_average_f32(weight, COUNT, pf, af);
    check_average(name, k, a, af, expected);
  }
  dt_config_destroy(&config);
  (*cases)++;
  return true;
}

static void test_torch(void **state) {
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/averages.txt", "r");
  int cases = 0;
  assert_non_null(file);
  for (int c = 0; c != '\n' && c != EOF;) c = fgetc(file); /* the comment */
  while (check_case(file, &cases)) continue;
  fclose(file);
  assert_int_equal(cases, 8);
}

/* Points in steps are steps, though the last of an epoch has fewer samples: an epoch of 105 in batches of 10 has 11 of them. */
static void test_steps_of_an_epoch(void **state) {
  const dt_clock clock = dt_clock_make(105, 10, (dt_duration){4, DT_EPOCHS});
  static const int every[] = {1, 10};
  for (int c = 0; c < 2; c++) {
    char options[64];
    snprintf(options, sizeof options, "{start: 15 steps, every: %d steps}", every[c]);
    dt_config *config = parse("swa", options);
    for (int64_t k = 1; k <= 44; k++) {
      const dt_average_step at = {
          .clock = &clock, .number = k, .before = dt_clock_samples(&clock, k - 1), .after = dt_clock_samples(&clock, k)};
      const int64_t past = k > 15 ? k - 15 : 0, points = past / every[c];
      const double expected = points == 0 ? 1 : past % every[c] == 0 ? 1 / (double)points : 0;
      assert_true(dt_average_weight(dt_config_spec(config), &at) == expected);
    }
    dt_config_destroy(&config);
  }
}

/* The optimizer's slots, then the average; what evaluations take changes its name in a checkpoint. */
static void test_slots(void **state) {
  dt_config *config = parse("ema", "0.9");
  const dt_spec *spec = dt_config_spec(config);
  assert_int_equal(dt_slot_count(spec), 2);
  assert_int_equal(dt_slot_evaluated(spec), 1);
  assert_string_equal(dt_slot_name(spec, 0), "momentum");
  assert_string_equal(dt_slot_name(spec, 1), "iterate");
  assert_false(dt_slot_starts_as_param(spec, 0));
  assert_true(dt_slot_starts_as_param(spec, 1));
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_torch), cmocka_unit_test(test_steps_of_an_epoch),
                                     cmocka_unit_test(test_slots)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
