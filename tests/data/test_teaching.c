/* The problems of a course against their formulas, computed by the C library. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/sets.h"
#include "support/columns.h"
#include "support/unit.h"

static void load(const char *train, dt_dataset **out) {
  char text[1024];
  dt_config *config = NULL;
  snprintf(text, sizeof text,
           "name: t\ndata: {train: %s}\nmodel: {input: [2], layers: [linear: 2]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
           train);
  if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  if (dt_sets_load(dt_config_spec(config), out, NULL) != DT_OK) fail_msg("%s", dt_error_text());
  dt_config_destroy(&config);
}

static const float *input(const dt_dataset *set) {
  return data_values(set, "input");
}

static const double pi = 3.14159265358979323846;

static void test_sine(void **state) {
  dt_dataset *set;
  load("{sine: {samples: 5000, noise: 0}}", &set);
  const float *y = data_values(set, "target");
  double least = 1, most = -1;
  for (int i = 0; i < 5000; i++) {
    const double x = input(set)[i];
    assert_true(x >= -1 && x < 1 && fabs(y[i] - sin(pi * x)) < 3e-7);
    if (x < least) least = x;
    if (x > most) most = x;
  }
  assert_true(least < -0.99 && most > 0.99);
  dt_dataset_destroy(&set);
  /* Noise has mean 0, the deviation that is asked for, and nothing beyond six of them. */
  double sum = 0, squares = 0;
  load("{sine: {samples: 20000, noise: 0.5}}", &set);
  y = data_values(set, "target");
  for (int i = 0; i < 20000; i++) {
    const double noise = y[i] - sin(pi * input(set)[i]);
    sum += noise;
    squares += noise * noise;
    assert_true(fabs(noise) < 3);
  }
  assert_true(fabs(sum / 20000) < 0.015 && fabs(sqrt(squares / 20000) - 0.5) < 0.01);
  dt_dataset_destroy(&set);
}

static void test_xor(void **state) {
  dt_dataset *set;
  int count[2] = {0};
  load("{xor: {samples: 2000, noise: 0}}", &set);
  for (int i = 0; i < 2000; i++) {
    const float *p = input(set) + 2 * i;
    assert_int_equal(data_labels(set)[i], (p[0] < 0) != (p[1] < 0));
    assert_true(fabsf(p[0]) <= 1 && fabsf(p[1]) <= 1);
    count[data_labels(set)[i]]++;
  }
  assert_true(count[0] > 850 && count[1] > 850);
  dt_dataset_destroy(&set);
}

static void test_moons(void **state) {
  dt_dataset *set;
  load("{moons: {samples: 2000, noise: 0}}", &set);
  for (int i = 0; i < 2000; i++) {
    const float *p = input(set) + 2 * i;
    const bool second = data_labels(set)[i] == 1;
    const double x = second ? 1 - p[0] : p[0], y = second ? 0.5 - p[1] : p[1];
    assert_int_equal(second, i % 2);
    assert_true(fabs(x * x + y * y - 1) < 1e-6 && y > -1e-6);
  }
  dt_dataset_destroy(&set);
}

static void test_spirals(void **state) {
  dt_dataset *set;
  load("{spirals: {samples: 3000, noise: 0, classes: 3, turns: 2}}", &set);
  for (int i = 0; i < 3000; i++) {
    const float *p = input(set) + 2 * i;
    const double radius = hypot(p[0], p[1]), angle = 2 * pi * (2 * radius + data_labels(set)[i] / 3.0);
    assert_int_equal(data_labels(set)[i], i % 3);
    assert_true(radius < 1 && fabs(p[0] - radius * cos(angle)) < 5e-6 && fabs(p[1] - radius * sin(angle)) < 5e-6);
  }
  dt_dataset_destroy(&set);
}

/* Seeds differ, and the numbers are the same ones on every machine and in every version: a change of them is a change of
 * results. */
static void test_same_numbers(void **state) {
  static const struct {
    const char *train;
    uint64_t hash;
  } cases[] = {{"{sine: 100}", 0x2f4cb65ef1aec7cc},
               {"{xor: 100}", 0x361caef6dc6912ce},
               {"{moons: 100}", 0xf1e23a34f462e8bd},
               {"{spirals: 100}", 0x7878f093bd3c20b8}};
  for (int i = 0; i < 4; i++) {
    dt_dataset *set, *other;
    char seeded[64];
    load(cases[i].train, &set);
    snprintf(seeded, sizeof seeded, "{%.*s{samples: 100, seed: 2}}", (int)(strchr(cases[i].train, ':') - cases[i].train + 1),
             cases[i].train + 1);
    load(seeded, &other);
    if (set->hash != cases[i].hash) fail_msg("%s: hash 0x%016llx", cases[i].train, (unsigned long long)set->hash);
    assert_true(set->hash != other->hash);
    dt_dataset_destroy(&set);
    dt_dataset_destroy(&other);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sine),    cmocka_unit_test(test_xor),          cmocka_unit_test(test_moons),
      cmocka_unit_test(test_spirals), cmocka_unit_test(test_same_numbers),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
