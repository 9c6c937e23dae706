/* Overrides with --set: what they change and what they keep, what they tell, and what is refused. */
#include "configs.h"

static void test_sets(void **state) {
  const char *sets[] = {"train.length=100 steps",
                        "model.layers.5.linear.bias=false",
                        "model.layers.0.conv.filters=8",
                        "optimizer.sgd.momentum=0.5",
                        "data.augment=[]",
                        "schedule.weight_decay=1e-3",
                        "model.layers.1=tanh"};
  dt_config *config = parse_well(base, sets, 7);
  const dt_spec *spec = dt_config_spec(config);
  assert_true(spec->train.length.amount == 100 && spec->train.length.unit == DT_STEPS);
  assert_int_equal(spec->data.augment.count, 0);
  assert_int_equal(spec->schedule.other.count, 2);
  assert_string_equal(spec->schedule.other.item[1].name, "weight_decay");
  assert_true(((const dt_schedule_spec *)spec->schedule.other.item[1].value)->peak == 1e-3);
  assert_string_equal(spec->model.layers.item[1].kind->name, "tanh");
  char *text = print(config, false);
  assert_non_null(strstr(text, "units: 10\n        bias: false"));
  assert_non_null(strstr(text, "filters: 8\n"));
  assert_non_null(strstr(text, "momentum: 0.5\n    nesterov: true"));
  free(text);
  dt_config_destroy(&config);
  const char *epochs[] = {"train.length=100 steps", "train.epochs=3"};
  config = parse_well(base, epochs, 2);
  assert_true(dt_config_spec(config)->train.length.amount == 3 && dt_config_spec(config)->train.length.unit == DT_EPOCHS);
  dt_config_destroy(&config);
}

/* An override changes what it names and keeps the rest. Each row is a config with the override, and a line of the resolved
 * config that it must have; the line "-x" is one that must be gone. */
static void test_sets_keep(void **state) {
  static const struct {
    const char *set, *line[4];
  } row[] = {
      {"schedule.lr=0.02", {"    peak: 0.02\n", "    warmup: 1 epochs\n", "    decay: cosine\n"}},
      {"schedule={lr: 0.02}", {"    peak: 0.02\n", "    decay: cosine\n", "  momentum:\n    peak: 0.9\n"}},
      {"optimizer=sgd", {"    momentum: 0.9\n    nesterov: true\n    weight_decay: 0.0005\n"}},
      {"optimizer={sgd: {momentum: 0.5}}", {"    momentum: 0.5\n    nesterov: true\n"}},
      {"optimizer={momentum: 0.5}", {"    momentum: 0.5\n    nesterov: true\n"}},
      {"optimizer.momentum=0.5", {"    momentum: 0.5\n    nesterov: true\n"}},
      {"optimizer={sgd: {momentum: null}}", {"    momentum: 0\n    nesterov: true\n"}},
      {"optimizer=null", {"    momentum: 0\n    nesterov: false\n"}},
      {"train={shards: 4}", {"  global_batch: 256\n  shards: 4\n", "  length: 10 epochs\n"}},
      {"train={epochs: 4}", {"  global_batch: 256\n", "  length: 4 epochs\n"}},
      {"data.eval=null", {"-test-images", "images: train-images"}},
      {"data.eval=~", {"-test-images"}},
      {"data={eval: null, augment: null}", {"-test-images", "  augment: []\n"}},
      {"data.eval={idx: {images: other, labels: null}}", {"images: other\n", "-labels: test-labels"}},
      {"data.eval.idx=other", {"images: other\n", "labels: test-labels"}},
      {"data.eval.images=other", {"images: other\n", "labels: test-labels"}},
      {"data.eval={synthetic: [1, 28, 28]}", {"    synthetic:\n      shape: [1, 28, 28]", "-test-images"}},
      {"schedule.momentum=null", {"-  momentum:\n    peak: 0.9"}},
      {"schedule.weight_decay.warmup=null", {"-  weight_decay:\n    peak"}},
      {"checkpoint=null", {"checkpoint:\n  every: 300 s\n"}},
      {"schedule.lr.decay=linear", {"    decay: linear\n", "    peak: 0.1\n"}},
      {"schedule.lr.decay={step: {every: 2 epochs}}", {"      step:\n        every: 2 epochs\n        factor: 0.1\n"}},
      {"model.layers.conv1.filters=8", {"        filters: 8\n        kernel: [5]\n"}},
      {"model.layers.0.filters=8", {"        filters: 8\n        kernel: [5]\n"}},
      {"model.layers.conv1.conv.filters=8", {"        filters: 8\n        kernel: [5]\n"}},
      {"model.layers.conv1={filters: 8}", {"        filters: 8\n        kernel: [5]\n"}},
      {"model.layers={conv1: {filters: 8}, linear1: 12}", {"        filters: 8\n        kernel: [5]\n", "        units: 12\n"}},
      {"model.layers.residual1.conv1.filters=7", {"              filters: 7\n              kernel: [3]\n"}},
      {"model.layers.2.0.filters=7", {"              filters: 7\n              kernel: [3]\n"}},
      {"model.layers.residual1.body.0.conv.filters=7", {"              filters: 7\n              kernel: [3]\n"}},
      {"model.layers.residual1.bn1.eps=0.25", {"eps: 0.25\n", "filters: 32\n"}},
      {"model.layers.branches1.b2.conv1.filters=7", {"filters: 7\n", "filters: 16\n"}},
      {"model.layers.3.1.0.filters=7", {"filters: 7\n", "filters: 16\n"}},
      {"model.layers.linear1=12", {"        units: 12\n"}},
      {"model.layers.dropout1=0.25", {"        p: 0.25\n"}},
      {"model.layers.dropout1=null", {"-dropout", "units: 10"}},
      {"model.layers.relu1=tanh", {"    - tanh\n"}},
      {"data.augment.shift1=1", {"        max: 1\n", "    - flip:\n        axis: horizontal\n"}},
      {"data.augment=[flip, {crop: 2}]", {"        p: 0.5\n    - crop:\n        pad: 2\n", "-shift"}},
      {"model.input.1=30", {"  inputs:\n    input:\n      shape: [1, 30, 28]\n"}},
      {"model.inputs.input.shape.1=30", {"      shape: [1, 30, 28]\n"}},
      {"model.inputs={extra: [7]}", {"    input:\n      shape: [1, 28, 28]\n    extra:\n      shape: [7]\n"}},
      {"model.inputs.input.field=pixels", {"      shape: [1, 28, 28]\n      field: pixels\n"}},
      {"name=\"run #1\"", {"name: \"run #1\"\n"}},
      {"name=a#1", {"name: \"a#1\"\n"}},
      {"name=a=b|c,d@e%f*g?h", {"name: \"a=b|c,d@e%f*g?h\"\n"}},
      {"name=\xe6\x9d\x8e\xe6\x98\x8e", {"name: \"\xe6\x9d\x8e\xe6\x98\x8e\"\n"}},
      {"schedule.lr=1e-3", {"    peak: 0.001\n", "    decay: cosine\n"}},
  };
  for (size_t i = 0; i < sizeof row / sizeof row[0]; i++) {
    dt_config *config = parse(base, &row[i].set, 1);
    if (config == NULL) fail_msg("--set %s: %s", row[i].set, dt_error_text());
    char *text = print(config, false);
    for (int l = 0; l < 4 && row[i].line[l] != NULL; l++) {
      const char *line = row[i].line[l];
      if (line[0] == '-' ? strstr(text, line + 1) != NULL : strstr(text, line) == NULL)
        fail_msg("--set %s: expected \"%s\" in\n%s", row[i].set, line, text);
    }
    free(text);
    dt_config_destroy(&config);
  }
}

/* What an override replaces with all that belonged to it is told; what it merges is not. */
static void test_sets_tell(void **state) {
  const char *sets[] = {"schedule.lr.decay={step: {every: 2 epochs}}", "schedule.lr.decay=linear", "schedule.lr=0.02",
                        "data.eval={cifar10: x}"};
  dt_config *config = parse_well(base, sets, 4);
  const dt_strings *replaced = &dt_config_spec(config)->replaced;
  assert_int_equal(replaced->count, 2);
  assert_string_equal(replaced->value[0], "--set schedule.lr.decay=linear replaces step and its every");
  assert_string_equal(replaced->value[1], "--set data.eval={cifar10: x} replaces idx and its images, labels");
  dt_config_destroy(&config);
}

/* What an override has done to a layer is shown in the override; where each value came from stays the file. */
static void test_set_origin(void **state) {
  const char *sets[] = {"model.layers.conv1.kernel=99"};
  dt_config *config = parse_well(base, sets, 1);
  dt_error_clear();
  assert_int_equal(dt_config_error_at(config, dt_config_spec(config)->model.layers.item[0].origin, "too large"), DT_USAGE);
  assert_string_equal(dt_error_text(),
                      "--set: error: too large\n  --set model.layers.conv1.kernel=99\n                                  ^");
  dt_error_clear();
  assert_int_equal(dt_config_error_at(config, (dt_origin){0}, "nowhere"), DT_USAGE);
  assert_string_equal(dt_error_text(), "c.yaml: error: nowhere");
  char *text = print(config, true);
  assert_non_null(strstr(text, "- conv:  # c.yaml:10:7\n"));
  assert_non_null(strstr(text, "kernel: [99]  # --set model.layers.conv1.kernel=99\n"));
  free(text);
  dt_config_destroy(&config);
}

static void test_bad_sets(void **state) {
  static const struct {
    const char *set, *message;
  } bad[] = {
      {"train.shards", "found no value, expected key.key=value\n  --set train.shards\n        ^"},
      {"=3", "expected key.key=value"},
      {"train..shards=3", "found an empty name"},
      {"model.layers.6.relu=1",
       "found \"6\" for a list of 6 items, expected an index below that or a name: conv1, relu1, resid"},
      {"model.layers.x=relu", "found \"x\" for a list"},
      {"train.shard=3", "train.shard: found an unknown key"},
      {"train.shards=[1", "not YAML: found \"[\" without its \"]\""},
      {"train.shards=&a 3", "an anchor"},
      {"train.shards=512", "found 512, expected at most train.global_batch, which is 256"},
      {"name=", "name: found nothing, expected a value, or null to take it out\n  --set name=\n             ^"},
      {"checkpoint=", "checkpoint: found nothing"},
      {"name=run #1",
       "found # behind a space, which begins a comment, expected a value with # in quotes\n  --set name=run #1\n               "
       "  ^"},
      {"name=#1", "found # behind a space"},
      {"name=%x", "found a value that begins with %, expected it in quotes"},
      {"data.eval=none", "data.eval: found \"none\", expected a value, or null to take it out"},
      {"train.global_batch=4", "train.global_batch: found 4, expected at least train.shards, whose default is 8\n  --set"},
      {"output=/usr/share/datasets/fashion-mnist", "which is output, expected another folder\n  --set output="},
      {"name=null", "name: found null, expected a value: the key is required"},
      {"train.epochs=null", "train.epochs: found null, expected a value: the key is required"},
      {"schedule=null", "schedule: found null, expected a value: the key is required"},
      {"train={shards: null, global_batch: null}", "train.global_batch: found null"},
      {"optimizer.sgd=null", "found null for a kind"},
      {"trian.x=null", "(did you mean \"train\"?)"},
      {"model.layers.conv9.filters=8", "found \"conv9\" for a list of 6 items"},
      {"model.layers.conv9.filters=8", "(did you mean \"conv1\"?)"},
      {"model.layers.conv1=8", "; or a key of the conv that is there: filters, kernel, stride, pad"},
      {"model.layers.conv1.units=8", "(did you mean \"filters\"?)"},
      {"model.layers.relu1=tahn", "(did you mean \"tanh\"?)"},
      {"optimizer.momentun=0.5", "(did you mean \"momentum\"?)"},
      {"optimizer.adan.lr=1", "optimizer.adan: found \"adan\", expected one of sgd, "},
      {"schedule.momentun=0.5",
       "schedule.momentun: found no hyper-parameter of sgd, expected lr, momentum, weight_decay or scaling (did you mean "
       "\"momentum\"?)"},
      {"schedule.beta1=0.5", "schedule.beta1: found no hyper-parameter of sgd"},
      {"schedule.nesterov=1", "schedule.nesterov: found no hyper-parameter of sgd"},
      {"schedule.momentum=1", "schedule.momentum.peak: found 1, expected a decimal number from 0 to below 1"},
      {"schedule.momentum={peak: 0.5, decay: linear, final: 1.5}", "schedule.momentum.final: found 1.5, expected"},
      {"schedule.momentum={warmup: 11 epochs, peak: 0.5}", "schedule.momentum.warmup: found 11 epochs"},
      {"schedule.lr=abc", "schedule.lr.peak: found \"abc\""},
      {"seed.x=3", "seed: found a map"},
      {"--device=tpu", "--device: error: device: found \"tpu\""},
      {"name=\xc3\xbc/",
       "name: found \"\xc3\xbc/\", expected the name of a folder, without a slash\n  --set name=\xc3\xbc/\n             ^"},
      {"model.layers.conv1.kernel=[3, x]", "\n                                      ^"},
      {"train={shards: 0}", "--set train={shards: 0}\n                       ^"},
      {"lr=0.1", "(did you mean \"schedule.lr\"?)"},
      {"optimizer={adamm: {}}", "found \"adamm\", expected one of sgd"},
      {"a\nb=1", "--set: error: a?b: found an unknown key"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    dt_config *config = parse(base, &bad[i].set, 1);
    assert_null(config);
    if (strncmp(dt_error_text(), bad[i].set[0] == '-' ? "--device: " : "--set: ", 7) != 0 ||
        strstr(dt_error_text(), bad[i].message) == NULL)
      fail_msg("--set %s said: %s", bad[i].set, dt_error_text());
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_sets),       cmocka_unit_test(test_sets_keep), cmocka_unit_test(test_sets_tell),
      cmocka_unit_test(test_set_origin), cmocka_unit_test(test_bad_sets),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
