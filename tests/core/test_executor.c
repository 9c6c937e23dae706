#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "support/net.h"
#include "support/unit.h"
#include "train/executor.h"

static const char layers[] =
    "[{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm, relu, {maxpool: 2}, {dropout: 0.2}, flatten, {linear: 4}]";

static net_options small_net(int micro_batch_shards, dt_status (*device)(const dt_device_options *options, dt_device **out)) {
  return (net_options){.input = "2, 6, 6",
                       .layers = layers,
                       .optimizer = "{sgd: {momentum: 0.9}}",
                       .global_batch = 22,
                       .shards = 6,
                       .micro_batch_shards = micro_batch_shards,
                       .lr = 0.1,
                       .device = device};
}

typedef struct outcome {
  uint64_t hash;
  net_sums sums;
} outcome;

static outcome train_three_steps(net_options options) {
  net n;
  outcome result;
  net_open(&n, &options);
  NET_OK(dt_executor_init_params(n.trainer));
  for (int step = 0; step < 3; step++) net_step(&n, step == 1 ? "b" : "a", step == 2 ? 19 : 22, 22 * step, &result.sums);
  NET_OK(dt_executor_hash(n.trainer, &result.hash));
  net_close(&n);
  return result;
}

/* How many shards run at once is a matter of memory and speed: neither weights nor losses may show it. */
static void micro_batch_size_changes_no_bit(void **state) {
  dt_status (*const device[])(const dt_device_options *, dt_device **) = {dt_reference_create, dt_cpu_create};
  for (int d = 0; d < 2; d++) {
    outcome whole = train_three_steps(small_net(0, device[d]));
    for (int micro_batch_shards = 1; micro_batch_shards <= 4; micro_batch_shards *= 2) {
      outcome cut = train_three_steps(small_net(micro_batch_shards, device[d]));
      assert_true(cut.hash == whole.hash);
      assert_memory_equal(&cut.sums, &whole.sums, sizeof cut.sums);
    }
    assert_float_equal(whole.sums.statistic[DT_STATISTIC_SAMPLES], 19, 0);
  }
}

/* By hand: PyTorch's bounds for a convolution over 2 channels of 3x3 and a linear layer over 27 numbers; all weights differ. */
static void first_parameters_follow_pytorch(void **state) {
  net n;
  net_options options = small_net(0, dt_cpu_create);
  net_open(&n, &options);
  NET_OK(dt_executor_init_params(n.trainer));
  static const struct {
    const char *name;
    double bound;
  } row[] = {{"conv1.weight", 0.2357022604}, {"conv1.bias", 0.2357022604}, {"linear1.weight", 0.1924500897}};
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    const dt_param *param = net_find(n.train->param, n.train->param_count, row[i].name);
    double *value = net_memory((size_t)param->count * sizeof *value), largest = 0, sum = 0;
    net_read(&n, NET_PARAM, param->offset, param->count, value);
    for (int64_t e = 0; e < param->count; e++) {
      largest = fmax(largest, fabs(value[e]));
      sum += value[e];
      for (int64_t k = 0; k < e; k++) assert_true(value[e] != value[k]);
    }
    assert_true(largest <= row[i].bound);
    /* Of 54 and more uniform numbers the largest is near the bound and the mean near zero. */
    if (param->count >= 54) assert_true(largest > 0.8 * row[i].bound && fabs(sum / (double)param->count) < 0.3 * row[i].bound);
    free(value);
  }
  double ones[3], state_value[6];
  net_read(&n, NET_PARAM, net_find(n.train->param, n.train->param_count, "bn1.weight")->offset, 3, ones);
  net_read(&n, NET_STATE, 0, 6, state_value);
  for (int c = 0; c < 3; c++) {
    assert_float_equal(ones[c], 1, 0);
    assert_float_equal(state_value[c], 0, 0);
    assert_float_equal(state_value[3 + c], 1, 0);
  }
  net_close(&n);
}

/* Initial values go by names: layers that are added behind the others leave these as they are. */
static void first_parameters_stay_where_layers_are_added(void **state) {
  net plain, longer;
  net_options options = small_net(0, dt_cpu_create);
  net_open(&plain, &options);
  options.layers =
      "[{conv: {filters: 3, kernel: 3, pad: 1}}, batchnorm, relu, {maxpool: 2}, {dropout: 0.2}, flatten, {linear: 4},"
      " tanh, {linear: 4}]";
  net_open(&longer, &options);
  NET_OK(dt_executor_init_params(plain.trainer));
  NET_OK(dt_executor_init_params(longer.trainer));
  static const char *const names[] = {"conv1.weight", "conv1.bias", "linear1.weight"};
  for (int i = 0; i < 3; i++) {
    const dt_param *a = net_find(plain.train->param, plain.train->param_count, names[i]);
    const dt_param *b = net_find(longer.train->param, longer.train->param_count, names[i]);
    double *x = net_memory((size_t)a->count * sizeof *x), *y = net_memory((size_t)a->count * sizeof *y);
    net_read(&plain, NET_PARAM, a->offset, a->count, x);
    net_read(&longer, NET_PARAM, b->offset, b->count, y);
    assert_memory_equal(x, y, (size_t)a->count * sizeof *x);
    free(x);
    free(y);
  }
  net_close(&longer);
  net_close(&plain);
}

static void tensors_come_in_the_order_of_layers_and_go_back(void **state) {
  static const char *const model_names[] = {"conv1.weight",     "conv1.bias",      "bn1.weight",     "bn1.bias",
                                            "bn1.running_mean", "bn1.running_var", "linear1.weight", "linear1.bias"};
  net n;
  net_options options = small_net(0, dt_cpu_create);
  net_open(&n, &options);
  NET_OK(dt_executor_init_params(n.trainer));
  net_sums sums;
  net_step(&n, "a", 22, 0, &sums);
  dt_tensor_ref *model, *optimizer;
  int model_count, optimizer_count;
  uint64_t before, changed, after;
  NET_OK(dt_executor_hash(n.trainer, &before));
  NET_OK(dt_executor_download(n.trainer, &model, &model_count, &optimizer, &optimizer_count));
  assert_int_equal(model_count, 8);
  assert_int_equal(optimizer_count, 6);
  for (int i = 0; i < 8; i++) assert_string_equal(model[i].name, model_names[i]);
  assert_string_equal(optimizer[0].name, "conv1.weight.momentum");
  float *slot = optimizer[5].data, saved = *slot;
  *slot += 1;
  NET_OK(dt_executor_upload(n.trainer));
  NET_OK(dt_executor_hash(n.trainer, &changed));
  assert_true(changed != before);
  NET_OK(dt_executor_download(n.trainer, &model, &model_count, &optimizer, &optimizer_count));
  *slot = saved;
  NET_OK(dt_executor_upload(n.trainer));
  NET_OK(dt_executor_hash(n.trainer, &after));
  assert_true(after == before);
  net_close(&n);
}

static dt_status one_empty_batch(void *context, const dt_batch **out) {
  net *n = context;
  *out = &n->batch;
  return DT_OK;
}

/* Flags ride on the reduction once, whatever earlier steps and merges have left where they lie. */
static void flags_arrive_once(void **state) {
  net n;
  net_options options = small_net(1, dt_cpu_create);
  net_open(&n, &options);
  NET_OK(dt_executor_init_params(n.trainer));
  double flags[DT_STATISTIC_COUNT] = {0};
  dt_step_result result;
  dt_executor_run_state(n.trainer)->step->batch_samples = 1;
  flags[DT_STATISTIC_STOP] = 1;
  flags[DT_STATISTIC_FAIL] = 3;
  for (int step = 0; step < 3; step++) {
    NET_OK(dt_executor_step(n.trainer, one_empty_batch, &n, flags));
    NET_OK(dt_executor_result(n.trainer, &result));
    assert_float_equal(result.statistic[DT_STATISTIC_STOP], 1, 0);
    assert_float_equal(result.statistic[DT_STATISTIC_SAVE], 0, 0);
    assert_float_equal(result.statistic[DT_STATISTIC_FAIL], 3, 0);
    assert_float_equal(result.statistic[DT_STATISTIC_SAMPLES], 0, 0);
  }
  memset(flags, 0, sizeof flags);
  NET_OK(dt_executor_step(n.trainer, one_empty_batch, &n, flags));
  NET_OK(dt_executor_result(n.trainer, &result));
  assert_float_equal(result.statistic[DT_STATISTIC_STOP], 0, 0);
  net_close(&n);
}

static dt_status failing_source(void *context, const dt_batch **out) {
  DT_RAISE(DT_DATA, "no more data");
}

static void a_failing_source_ends_the_step(void **state) {
  net n;
  net_options options = small_net(0, dt_cpu_create);
  net_open(&n, &options);
  double flags[DT_STATISTIC_COUNT] = {0};
  assert_int_equal(dt_executor_step(n.trainer, failing_source, NULL, flags), DT_DATA);
  assert_string_equal(dt_error_text(), "no more data");
  dt_error_clear();
  net_close(&n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(micro_batch_size_changes_no_bit),
      cmocka_unit_test(first_parameters_follow_pytorch),
      cmocka_unit_test(first_parameters_stay_where_layers_are_added),
      cmocka_unit_test(tensors_come_in_the_order_of_layers_and_go_back),
      cmocka_unit_test(flags_arrive_once),
      cmocka_unit_test(a_failing_source_ends_the_step),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
