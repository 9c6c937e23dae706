/* SGD against PyTorch's numbers (tests/oracles/sgd.py). */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/optimizer.h"
#include "core/spec.h"
#include "support/unit.h"

enum { COUNT = 9, STEPS = 5 };

typedef struct parameters {
  double p[COUNT], v[COUNT];
  float pf[COUNT], vf[COUNT];
} parameters;

static dt_config *parse(bool nesterov) {
  char text[512];
  snprintf(text, sizeof text,
           "name: s\ndata: {train: {idx: {images: a, labels: b}}}\nmodel: {input: [4], layers: [{linear: 2}]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\noptimizer: {sgd: {nesterov: %s}}\n",
           nesterov ? "true" : "false");
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("s.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

static void read_numbers(FILE *file, double *out, int count) {
  for (int i = 0; i < count; i++) assert_int_equal(fscanf(file, "%lf", &out[i]), 1);
}

/* The gradients come as sums over four samples, which scale makes means again. */
static void update(const dt_choice *choice, const dt_step *step, const double *gradient, parameters *w) {
  const dt_optimizer *sgd = choice->kind->impl;
  double sum[COUNT];
  float sum_f[COUNT];
  for (int i = 0; i < COUNT; i++) sum_f[i] = (float)(sum[i] = 4 * gradient[i]);
  sgd->update_f64(choice->attr, step, 0.25, COUNT, w->p, sum, (double *const[]){w->v});
  sgd->update_f32(choice->attr, step, 0.25, COUNT, w->pf, sum_f, (float *const[]){w->vf});
}

static bool check_case(FILE *file) {
  double momentum, decay, lr;
  int nesterov;
  if (fscanf(file, "%lf %d %lf %lf", &momentum, &nesterov, &decay, &lr) != 4) return false;
  dt_step step = {.lr = lr, .momentum = momentum, .weight_decay = decay};
  dt_config *config = parse(nesterov);
  parameters w = {0};
  for (int i = 0; i < COUNT; i++) w.pf[i] = (float)(w.p[i] = -2 + 0.5 * i);
  for (int k = 0; k < STEPS; k++) {
    double gradient[COUNT], expected[COUNT];
    read_numbers(file, gradient, COUNT);
    read_numbers(file, expected, COUNT);
    update(&dt_config_spec(config)->optimizer, &step, gradient, &w);
    for (int i = 0; i < COUNT; i++) {
      if (fabs(w.p[i] - expected[i]) > 1e-14) fail_msg("step %d: found %.17g, expected %.17g", k, w.p[i], expected[i]);
      if (fabs(w.pf[i] - expected[i]) > 4e-6) fail_msg("step %d: found %.9g, expected %.9g", k, w.pf[i], expected[i]);
    }
  }
  dt_config_destroy(&config);
  return true;
}

static void test_torch(void **state) {
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/core/data/sgd.txt", "r");
  assert_non_null(file);
  int c = 0, cases = 0;
  while (c != '\n' && c != EOF) c = fgetc(file); /* the comment */
  while (check_case(file)) cases++;
  assert_int_equal(cases, 5);
  fclose(file);
}

/* An element's result depends on itself alone: the same bits alone and in the middle of many, at any place. */
static void test_bits_do_not_depend_on_place(void **state) {
  enum { MANY = 1003 };
  static float p[MANY], v[MANY], g[MANY];
  dt_config *config = parse(true);
  const dt_choice *choice = &dt_config_spec(config)->optimizer;
  const dt_optimizer *sgd = choice->kind->impl;
  dt_step step = {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-4};
  for (int i = 0; i < MANY; i++) {
    p[i] = sinf((float)i);
    v[i] = cosf((float)i);
    g[i] = sinf(3.0f * (float)i);
  }
  for (int i = 0; i < MANY; i += 97) {
    float alone_p = p[i], alone_v = v[i], all_p[MANY], all_v[MANY];
    memcpy(all_p, p, sizeof p);
    memcpy(all_v, v, sizeof v);
    sgd->update_f32(choice->attr, &step, 1.0 / 3, 1, &alone_p, &g[i], (float *const[]){&alone_v});
    sgd->update_f32(choice->attr, &step, 1.0 / 3, MANY, all_p, g, (float *const[]){all_v});
    assert_memory_equal(&alone_p, &all_p[i], sizeof alone_p);
    assert_memory_equal(&alone_v, &all_v[i], sizeof alone_v);
  }
  dt_config_destroy(&config);
}

static void test_configured(void **state) {
  dt_config *config = parse(false);
  const dt_choice *choice = &dt_config_spec(config)->optimizer;
  const dt_optimizer *sgd = choice->kind->impl;
  assert_int_equal(sgd->slots, 1);
  assert_true(sgd->momentum(choice->attr) == 0 && sgd->weight_decay(choice->attr) == 0);
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_torch),
      cmocka_unit_test(test_bits_do_not_depend_on_place),
      cmocka_unit_test(test_configured),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
