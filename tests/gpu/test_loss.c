/* CROSS_ENTROPY, TALLY and SCORE on logits that the test chooses: few and many classes, batches of one block and of several,
 * ties, and logits that are not finite. The input is the logits, so that the numbers expected here are computed from them in
 * double. */
#include <math.h>

#include "gpu/device.h"
#include "support/fill.h"
#include "support/net.h"
#include "support/unit.h"

static device_create *create;

typedef struct loss_case {
  const char *name;
  int classes, samples, batch;
  bool odd;     /* with ties, NaN and infinity */
  double scale; /* of the logits; 0 = 8 */
} loss_case;

static const loss_case cases[] = {
    {"ten classes", 10, 37, 40, false},
    {"two classes", 2, 1, 1, false},
    {"as many classes as lanes keep", 256, 5, 6, false},
    {"a class more", 257, 5, 6, false},
    {"seventeen classes, two blocks", 17, 300, 303, true},
    {"hundred classes", 100, 9, 16, false},
    {"thousand classes, many blocks", 1000, 40, 64, false},
    {"ten classes, many samples", 10, 1200, 1201, false},
    {"ties and NaN", 10, 30, 33, true},
    {"huge losses", 10, 50, 64, false, 6e34},
    {"losses beyond 2^43", 4, 30, 33, false, 5.6e17},
};

typedef struct expected_sums {
  double loss, units; /* of finite samples in units; NaN in loss where one is not */
  int64_t correct, nonfinite;
} expected_sums;

static float logit_of(const loss_case *row, int64_t sample, int64_t k) {
  double value = fill_value(fill_key(row->name), sample * row->classes + k);
  if (!row->odd) return (float)((row->scale > 0 ? row->scale : 8) * value);
  if (sample == 3 && k == 0) return NAN;
  if (sample == 5 && k == 4) return NAN;
  if (sample == 7 && k == 2) return INFINITY;
  if (sample == 9) return 1;
  return (float)floor(3 * value);
}

/* A third of the samples is labelled with what is found. */
static int32_t label_of(const loss_case *row, int64_t sample, int64_t best) {
  return (int32_t)(sample % 3 == 0 ? best : (sample * 5 + 1) % row->classes);
}

/* The first largest; NaN is not larger than anything, and nothing is larger than NaN. */
static int64_t best_of(const float *x, int64_t classes) {
  int64_t best = 0;
  for (int64_t k = 1; k < classes; k++) best = x[k] > x[best] ? k : best;
  return best;
}

static void add_sample(const float *x, int64_t classes, int32_t label, expected_sums *e) {
  int64_t best = best_of(x, classes);
  double sum = 0;
  for (int64_t k = 0; k < classes; k++) sum += exp((double)x[k] - (double)x[best]);
  double loss = (double)x[best] + log(sum) - (double)x[label];
  e->loss += loss;
  e->correct += best == label;
  if (isfinite(loss)) {
    e->units += loss;
  } else {
    e->nonfinite++;
  }
}

static dt_status next_batch(void *context, const dt_batch **out) {
  net *n = context;
  *out = &n->batch;
  return DT_OK;
}

static expected_sums fill_batch(net *n, const loss_case *row) {
  expected_sums e = {0};
  int32_t *label = net_field(n, "label");
  for (int64_t s = 0; s < row->batch; s++) {
    float *x = (float *)net_field(n, "input") + s * row->classes;
    for (int64_t k = 0; k < row->classes; k++) x[k] = logit_of(row, s, k);
    label[s] = label_of(row, s, best_of(x, row->classes));
    if (s < row->samples) add_sample(x, row->classes, label[s], &e);
  }
  n->filled[0] = row->samples;
  n->place[0] = 0;
  n->batch.samples = row->samples;
  return e;
}

static void assert_near(double got, double expected, double tolerance) {
  if (isnan(expected) && isnan(got)) return;
  if (!(fabs(got - expected) <= tolerance)) fail_msg("found %.9g, expected %.9g", got, expected);
}

static void check_statistics(net *n, const loss_case *row, const expected_sums *e) {
  double flags[DT_STATISTIC_COUNT] = {0};
  flags[DT_STATISTIC_STOP] = 1;
  flags[DT_STATISTIC_FAIL] = 2;
  dt_step_result got;
  dt_executor_run_state(n->trainer)->step->batch_samples = row->samples;
  NET_OK(dt_executor_step(n->trainer, next_batch, n, flags));
  NET_OK(dt_executor_result(n->trainer, &got));
  const int loss = dt_sum_find(n->train, "loss");
  assert_near(got.sum[loss], e->loss, 2e-6 * fabs(e->loss));
  assert_int_equal((int64_t)got.sum[dt_sum_find(n->train, "correct")], e->correct);
  assert_int_equal((int64_t)got.statistic[DT_STATISTIC_SAMPLES], row->samples);
  assert_int_equal((int64_t)got.nonfinite[loss], e->nonfinite);
  assert_int_equal((int)got.statistic[DT_STATISTIC_STOP], 1);
  assert_int_equal((int)got.statistic[DT_STATISTIC_SAVE], 0);
  assert_int_equal((int)got.statistic[DT_STATISTIC_FAIL], 2);
}

/* Each sample is within a unit or two of float's rounding. */
static void check_score(net *n, const loss_case *row, const expected_sums *e) {
  int64_t *got = net_memory((size_t)n->eval->score_words * sizeof *got);
  for (int micro = 0; micro < 2; micro++) NET_OK(dt_executor_run_micro_batch(n->scorer, 0, &n->batch));
  NET_OK(dt_executor_score(n->scorer, got));
  assert_int_equal(got[0], 2 * row->samples);
  assert_int_equal((int64_t)net_score(n, got, "correct"), 2 * e->correct);
  assert_int_equal(dt_sum_nonfinite(&n->eval->sum[dt_sum_find(n->eval, "loss")], got), 2 * e->nonfinite);
  assert_near(net_score(n, got, "loss"), 2 * e->units, 4e-6 * ((double)row->samples + e->units));
  free(got);
}

/* A convolution of every channel with 1: a net needs parameters, and this one lets a NaN stay where it is. */
static void fill_params(net *n) {
  for (int p = 0; p < n->train->param_count; p++) {
    const dt_param *param = &n->train->param[p];
    double *value = net_memory((size_t)param->count * sizeof(double));
    for (int64_t i = 0; i < param->count; i++) value[i] = strstr(param->name, ".weight") != NULL ? 1 : 0;
    net_write(n, NET_PARAM, param->offset, param->count, value);
    free(value);
  }
}

static void test_sums(void **state) {
  const loss_case *row = *state;
  char input[32], layers[96];
  net n;
  snprintf(input, sizeof input, "%d, 1, 1", row->classes);
  snprintf(layers, sizeof layers, "[{conv: {filters: %d, kernel: 1, groups: %d}}, flatten]", row->classes, row->classes);
  net_open(&n, &(net_options){.input = input, .layers = layers, .global_batch = row->batch, .shards = 1, .device = create});
  fill_params(&n);
  expected_sums e = fill_batch(&n, row);
  check_score(&n, row, &e);
  check_statistics(&n, row, &e);
  net_close(&n);
}

int main(int argc, char **argv) {
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[COUNT];
  create = device_wanted(argc, argv);
  int missing = device_missing(create, "gpu.loss");
  if (missing != 0) return missing;
  for (int i = 0; i < COUNT; i++) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_sums, .initial_state = (void *)&cases[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
