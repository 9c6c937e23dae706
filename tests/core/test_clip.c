/* Clipping by value and by units on the devices that compute in host memory: what is left of a gradient, read off a step of
 * plain gradient descent, against the formula in plain doubles. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support/net.h"
#include "support/unit.h"

enum { SAMPLES = 6 };
static const double rate = 0.5;

typedef dt_status device_create_fn(const dt_device_options *options, dt_device **out);

static void open_net(net *n, device_create_fn *device, const char *train) {
  const net_options how = {.input = "2, 6, 6",
                           .layers = "[{conv: {filters: 4, kernel: 3}}, batchnorm, relu, flatten, {linear: 3}]",
                           .train = train,
                           .global_batch = SAMPLES,
                           .shards = 2,
                           .lr = rate,
                           .device = device,
                           .threads = 2};
  net_open(n, &how);
  net_fill(n);
}

/* Parameters before a step, and the mean gradient that it takes: [param_elements] each. */
static void gradient_of_step(device_create_fn *device, const char *train, double *before, double *gradient, dt_param *list,
                             int *count) {
  net n;
  net_sums sums;
  open_net(&n, device, train);
  const int64_t elements = n.train->param_elements;
  net_read(&n, NET_PARAM, 0, elements, before);
  net_step(&n, "s", SAMPLES, 0, &sums);
  net_read(&n, NET_PARAM, 0, elements, gradient);
  for (int64_t i = 0; i < elements; i++) gradient[i] = (before[i] - gradient[i]) / rate;
  *count = n.train->param_count;
  memcpy(list, n.train->param, (size_t)*count * sizeof *list);
  net_close(&n);
}

enum { ELEMENTS = 4096, PARAMS = 16 };
typedef struct taken {
  double before[ELEMENTS], whole[ELEMENTS], clipped[ELEMENTS];
  dt_param param[PARAMS];
  int count;
  double tolerance;
} taken;

static void take(device_create_fn *device, const char *train, taken *t) {
  gradient_of_step(device, "", t->before, t->whole, t->param, &t->count);
  gradient_of_step(device, train, t->before, t->clipped, t->param, &t->count);
  t->tolerance = device == dt_reference_create ? 1e-12 : 2e-6; /* of numbers near 1 */
}

static void require(const taken *t, int64_t i, double expected) {
  if (!(fabs(t->clipped[i] - expected) <= t->tolerance))
    fail_msg("element %d: found %.12g, expected %.12g of %.12g", (int)i, t->clipped[i], expected, t->whole[i]);
}

static void check_value(device_create_fn *device) {
  static taken t;
  int clipped = 0, spared = 0;
  take(device, ", clip_value: 0.02", &t);
  for (int p = 0; p < t.count; p++) {
    for (int64_t i = t.param[p].offset; i < t.param[p].offset + t.param[p].count; i++) {
      const double expected = fmax(-0.02, fmin(0.02, t.whole[i]));
      expected == t.whole[i] ? spared++ : clipped++;
      require(&t, i, expected);
    }
  }
  assert_true(clipped > 20 && spared > 20);
}

static void check_units(device_create_fn *device) {
  static taken t;
  int clipped = 0, spared = 0;
  take(device, ", clip_units: 0.08", &t);
  for (int p = 0; p < t.count; p++) {
    const dt_param *param = &t.param[p];
    const int64_t units = param->shape.ndim > 1 ? param->shape.dim[0] : 1, each = param->count / units;
    for (int64_t u = param->offset; u < param->offset + param->count; u += each) {
      double w = 0, g = 0;
      for (int64_t i = u; i < u + each; i++) w += t.before[i] * t.before[i], g += t.whole[i] * t.whole[i];
      const double factor = fmin(1, 0.08 * fmax(1e-3, sqrt(w)) / sqrt(g));
      factor < 1 ? clipped++ : spared++;
      for (int64_t i = u; i < u + each; i++) require(&t, i, factor * t.whole[i]);
    }
  }
  assert_true(clipped >= 2 && spared >= 2);
}

static void test_value(void **state) {
  check_value(dt_reference_create);
  check_value(dt_cpu_create);
}

static void test_units(void **state) {
  check_units(dt_reference_create);
  check_units(dt_cpu_create);
}

/* LARS goes by whole gradients; LAMB's norms are of directions, which know of the clipping. */
static void test_refused(void **state) {
  static const char text[] =
      "name: s\ndata: {train: {idx: {images: a, labels: b}}}\nmodel: {input: [4], layers: [{linear: 2}]}\n"
      "train: {global_batch: 8, epochs: 1, clip_value: 1}\nschedule: {lr: 0.1}\n";
  const char *lars = "optimizer=lars", *lamb = "optimizer=lamb";
  dt_config *config = NULL;
  assert_int_equal(dt_config_parse("s.yaml", text, sizeof text - 1, &lars, 1, &config), DT_USAGE);
  assert_non_null(strstr(dt_error_text(), "train.clip_value: found 1 with the optimizer lars"));
  dt_error_clear();
  const char *const with[][2] = {{"optimizer=nesterov", "train.max_norm: found 3 with the optimizer nesterov"},
                                 {"average=ema", "train.max_norm: found 3 with average: ema"}};
  for (int i = 0; i < 2; i++) {
    const char *const set[] = {with[i][0], "train.max_norm=3"};
    assert_int_equal(dt_config_parse("s.yaml", text, sizeof text - 1, set, 2, &config), DT_USAGE);
    if (strstr(dt_error_text(), with[i][1]) == NULL) fail_msg("%s", dt_error_text());
    dt_error_clear();
  }
  assert_int_equal(dt_config_parse("s.yaml", text, sizeof text - 1, &lamb, 1, &config), DT_OK);
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_value), cmocka_unit_test(test_units),
                                     cmocka_unit_test(test_refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
