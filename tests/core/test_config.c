/* The config reader: what it takes, what it refuses, and what it says. */
#include <fcntl.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/config_internal.h"
#include "support/unit.h"

static const char base[] =
    "name: fashion-lenet\n"
    "data:\n"
    "  dir: /usr/share/datasets/fashion-mnist\n"
    "  train: {idx: {images: train-images, labels: train-labels}}\n"
    "  eval: {idx: {images: test-images, labels: test-labels}}\n"
    "  augment: [{shift: 2}, flip]\n"
    "model:\n"
    "  input: [1, 28, 28]\n"
    "  layers:\n"
    "    - conv: {filters: 32, kernel: 5, pad: 2}\n"
    "    - relu\n"
    "    - residual:\n"
    "        - conv: {filters: 32, kernel: 3, pad: 1, bias: false}\n"
    "        - batchnorm\n"
    "    - branches:\n"
    "        - [{conv: {filters: 16, kernel: 1}}]\n"
    "        - [{conv: {filters: 16, kernel: 3, pad: 1}}, relu]\n"
    "    - dropout: 0.5\n"
    "    - linear: 10\n"
    "train:\n"
    "  global_batch: 256\n"
    "  epochs: 10\n"
    "optimizer: {sgd: {momentum: 0.9, nesterov: true, weight_decay: 5e-4}}\n"
    "schedule:\n"
    "  lr: {warmup: 1 epoch, peak: 0.1, decay: cosine, final: 0}\n"
    "  momentum: 0.9\n"
    "checkpoint: {every: 5 min, keep: 3}\n";

static dt_config *parse(const char *text, const char *const *sets, int set_count) {
  dt_config *config = NULL;
  dt_error_clear();
  if (dt_config_parse("c.yaml", text, strlen(text), sets, set_count, &config) != DT_OK) return NULL;
  return config;
}

static dt_config *parse_well(const char *text, const char *const *sets, int set_count) {
  dt_config *config = parse(text, sets, set_count);
  if (config == NULL) fail_msg("%s", dt_error_text());
  return config;
}

static char *print(const dt_config *config, bool origins) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  assert_int_equal(dt_config_print(config, origins, out), DT_OK);
  fclose(out);
  return text;
}

/* The base config with one piece of text replaced by another. */
static char *replaced(const char *old_text, const char *new_text) {
  const char *at = strstr(base, old_text);
  if (at == NULL) fail_msg("the base config has no \"%s\"", old_text);
  char *text = NULL;
  assert_true(asprintf(&text, "%.*s%s%s", (int)(at - base), base, new_text, at + strlen(old_text)) > 0);
  return text;
}

static void test_example(void **state) {
  dt_config *config = parse_well(base, NULL, 0);
  const dt_spec *spec = dt_config_spec(config);
  assert_string_equal(spec->name, "fashion-lenet");
  assert_string_equal(spec->output, "runs");
  assert_true(spec->seed == 1);
  assert_int_equal(spec->device, DT_DEVICE_AUTO);
  assert_int_equal(spec->threads, 0);
  assert_string_equal(spec->data.train.kind->name, "idx");
  assert_int_equal(spec->data.augment.count, 2);
  assert_string_equal(spec->data.augment.item[1].kind->name, "flip");
  assert_int_equal(spec->model.input.count, 3);
  assert_int_equal(spec->model.input.value[2], 28);
  assert_int_equal(spec->model.layers.count, 6);
  assert_string_equal(spec->model.layers.item[2].kind->name, "residual");
  assert_int_equal(spec->model.layers.item[2].origin.line, 12);
  assert_int_equal(spec->model.layers.item[2].origin.column, 7);
  assert_string_equal(spec->model.loss.kind->name, "cross_entropy");
  assert_int_equal(spec->train.global_batch, 256);
  assert_int_equal(spec->train.shards, 8);
  assert_true(spec->train.length.amount == 10 && spec->train.length.unit == DT_EPOCHS);
  assert_true(spec->train.clip_norm == 0);
  assert_string_equal(spec->optimizer.kind->name, "sgd");
  assert_true(spec->schedule.lr.given && spec->schedule.lr.peak == 0.1);
  assert_true(spec->schedule.lr.warmup.amount == 1 && spec->schedule.lr.warmup.unit == DT_EPOCHS);
  assert_string_equal(spec->schedule.lr.decay.kind->name, "cosine");
  assert_true(spec->schedule.momentum.given && spec->schedule.momentum.peak == 0.9);
  assert_string_equal(spec->schedule.momentum.decay.kind->name, "constant");
  assert_false(spec->schedule.weight_decay.given);
  assert_true(spec->checkpoint.every.amount == 300 && spec->checkpoint.every.unit == DT_SECONDS);
  dt_config_destroy(&config);
  assert_null(config);
}

/* Each number of a flat input has a mean of its own. */
static void test_statistics_of_flat_input(void **state) {
  const char *sets[] = {"model.input=[3]", "data.mean=[0.1, 0.2, 0.3]", "data.std=[1, 1, 1]"};
  dt_config *config = parse_well(base, sets, 3);
  assert_int_equal(dt_config_spec(config)->data.mean.count, 3);
  dt_config_destroy(&config);
}

/* What is printed loads to the same spec: it prints the same again. */
static void test_round_trip(void **state) {
  const char *sets[] = {"schedule.lr.peak=0.1234567890123456789",
                        "name=\"a \\\"quoted\\\" \\\\ name: #1\"",
                        "seed=18446744073709551615",
                        "checkpoint.every=never",
                        "target.accuracy=0.9",
                        "data.mean=[-1e-7]",
                        "data.std=0.1"};
  dt_config *config = parse_well(base, sets, 7);
  char *first = print(config, false), *with_origins = print(config, true);
  dt_config *again = parse_well(with_origins, NULL, 0);
  char *second = print(again, false);
  assert_string_equal(first, second);
  assert_true(dt_config_spec(again)->schedule.lr.peak == 0.1234567890123456789);
  assert_true(dt_config_spec(again)->seed == UINT64_MAX);
  assert_string_equal(dt_config_spec(again)->name, "a \"quoted\" \\ name: #1");
  assert_non_null(strstr(with_origins, "filters: 32  # c.yaml:10:23"));
  assert_non_null(strstr(with_origins, "seed: 18446744073709551615  # --set seed="));
  assert_non_null(strstr(with_origins, "output: runs  # default"));
  free(first);
  free(with_origins);
  free(second);
  dt_config_destroy(&config);
  dt_config_destroy(&again);
}

static void test_real_text(void **state) {
  char text[32];
  assert_string_equal(dt_real_text(0.1, text), "0.1");
  assert_string_equal(dt_real_text(5e-4, text), "0.0005");
  assert_string_equal(dt_real_text(300, text), "300");
  uint64_t bits = 88172645463325252u;
  for (int i = 0; i < 20000; i++) {
    bits ^= bits << 13;
    bits ^= bits >> 7;
    bits ^= bits << 17;
    double value;
    memcpy(&value, &bits, sizeof value);
    if (isfinite(value)) assert_true(strtod(dt_real_text(value, text), NULL) == value);
  }
}

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
  assert_true(spec->schedule.weight_decay.given && spec->schedule.weight_decay.peak == 1e-3);
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

static void test_bad_sets(void **state) {
  static const struct {
    const char *set, *message;
  } bad[] = {
      {"train.shards", "expected key.key=value"},
      {"=3", "expected key.key=value"},
      {"train..shards=3", "found an empty name"},
      {"model.layers.6.relu=1", "found \"6\" for a list of 6 items"},
      {"model.layers.x=relu", "found \"x\" for a list"},
      {"train.shard=3", "train.shard: found an unknown key"},
      {"train.shards=[1", "not YAML"},
      {"train.shards=&a 3", "an anchor"},
      {"train.shards=512", "found 512, expected at most train.global_batch, which is 256"},
      {"name=", "name: found nothing"},
      {"optimizer={adamm: {}}", "found \"adamm\", expected one of sgd"},
      {"a\nb=1", "--set a?b=1: error: a?b: found an unknown key"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    dt_config *config = parse(base, &bad[i].set, 1);
    assert_null(config);
    if (strncmp(dt_error_text(), "--set ", 6) != 0 || strstr(dt_error_text(), bad[i].message) == NULL)
      fail_msg("--set %s said: %s", bad[i].set, dt_error_text());
  }
}

/* Each row changes one piece of the base config and names the place and the words of the one complaint that must follow. */
static const struct {
  const char *old_text, *new_text, *place, *message;
} bad_values[] = {
    {"name: fashion-lenet", "nmae: fashion-lenet", "c.yaml:1:1:", "(did you mean \"name\"?)"},
    {"name: fashion-lenet", "name: a/b", "c.yaml:1:7:", "without a slash"},
    {"name: fashion-lenet", "name: ..", "c.yaml:1:7:", "without a slash"},
    {"name: fashion-lenet", "name: \"a\\nb\"", "c.yaml:1:7:", "without control characters"},
    {"  global_batch: 256", "  global_batch:", "c.yaml:21:3:", "global_batch: found nothing"},
    {"name: fashion-lenet", "name:", "c.yaml:1:1:", "name: found nothing"},
    {"name: fashion-lenet\n", "", "c.yaml:1:1:", "name: found nothing, expected text"},
    {"train:\n", "Train:\n", "c.yaml:20:1:", "(did you mean \"train\"?)"},
    {"  epochs: 10\n", "  epochs: 10\n  Epochs: 5\n", "c.yaml:23:3:", "(did you mean \"epochs\"?)"},
    {"  epochs: 10\n", "  epochs: 10\n  epochs: 5\n", "c.yaml:23:3:", "twice, expected it once; the first is on line 22"},
    {"  epochs: 10\n", "  epochs: 10\n  length: 5 epochs\n", "c.yaml:22:3:", "expected one of them"},
    {"  epochs: 10\n", "", "c.yaml:21:3:", "train.length: found nothing"},
    {"global_batch: 256", "global_batch: 0", "c.yaml:21:17:", "found \"0\", expected an integer from 1 to 16777216"},
    {"global_batch: 256", "global_batch: -1", "c.yaml:21:17:", "found \"-1\""},
    {"global_batch: 256", "global_batch: 4294967296", "c.yaml:21:17:", "found \"4294967296\""},
    {"global_batch: 256", "global_batch: 99999999999999999999", "c.yaml:21:17:", "found \"99999999999999999999\""},
    {"global_batch: 256", "global_batch: 2.5", "c.yaml:21:17:", "expected an integer"},
    {"global_batch: 256", "global_batch: 0256", "c.yaml:21:17:", "expected an integer"},
    {"global_batch: 256", "global_batch: \"256\"", "c.yaml:21:17:", "found the quoted text"},
    {"global_batch: 256", "global_batch: [256]", "c.yaml:21:17:", "found a list"},
    {"epochs: 10", "epochs: 1e9", "c.yaml:22:11:", "train.length: found \"1e9 epochs\""},
    {"epochs: 10", "epochs: 0", "c.yaml:22:11:", "above 0"},
    {"epochs: 10", "length: 5 minutes", "c.yaml:22:11:", "expected a duration above 0 in samples, steps or epochs"},
    {"epochs: 10", "length: 5 min", "c.yaml:22:11:", "expected a duration above 0 in samples, steps or epochs"},
    {"epochs: 10", "length: never", "c.yaml:22:11:", "expected a duration above 0"},
    {"epochs: 10", "length: 10", "c.yaml:22:11:", "such as \"10 epochs\""},
    {"peak: 0.1", "peak: nan", "c.yaml:25:31:", "expected a decimal number"},
    {"peak: 0.1", "peak: .nan", "c.yaml:25:31:", "expected a decimal number"},
    {"peak: 0.1", "peak: inf", "c.yaml:25:31:", "expected a decimal number"},
    {"peak: 0.1", "peak: .inf", "c.yaml:25:31:", "expected a decimal number"},
    {"peak: 0.1", "peak: -0.1", "c.yaml:25:31:", "found \"-0.1\""},
    {"peak: 0.1", "peak: 1e400", "c.yaml:25:31:", "found \"1e400\""},
    {"peak: 0.1", "peak: 1e-400", "c.yaml:25:31:", "found \"1e-400\""},
    {"peak: 0.1", "peak: 0x1p-3", "c.yaml:25:31:", "found \"0x1p-3\""},
    {"peak: 0.1", "peak: 0.1f", "c.yaml:25:31:", "found \"0.1f\""},
    {"peak: 0.1", "peak: \"1,5\"", "c.yaml:25:31:", "found the quoted text \"1,5\""},
    {"{warmup: 1 epoch, peak: 0.1, decay: cosine, final: 0}", "1,5",
     "c.yaml:25:7:", "found \"1,5\", expected a decimal number"},
    {"peak: 0.1, ", "", "c.yaml:25:7:", "schedule.lr.peak: found nothing"},
    {"warmup: 1 epoch", "warmup: -5 s", "c.yaml:25:16:", "found \"-5 s\""},
    {"decay: cosine", "decay: cosin", "c.yaml:25:43:", "(did you mean \"cosine\"?)"},
    {"decay: cosine", "decay: {multistep: [3, 2]}", "c.yaml:25:44:", "expected rising epochs"},
    {"  lr:", "  lrr:", "c.yaml:25:3:", "(did you mean \"lr\"?)"},
    {"optimizer: {sgd:", "optimizer: {adan:", "c.yaml:23:13:", "expected one of sgd"},
    {"momentum: 0.9,", "momentum: 1.0,", "c.yaml:23:29:", "from 0 to below 1"},
    {"weight_decay: 5e-4", "weight_decay: -1", "c.yaml:23:64:", "found \"-1\""},
    {"nesterov: true", "nesterov: yes", "c.yaml:23:44:", "expected true or false"},
    {"dropout: 0.5", "dropout: 1.0", "c.yaml:18:16:", "found \"1.0\""},
    {"dropout: 0.5", "dropout: -0.1", "c.yaml:18:16:", "found \"-0.1\""},
    {"dropout: 0.5", "dropout: 1.1", "c.yaml:18:16:", "found \"1.1\""},
    {"- relu\n", "- rleu\n", "c.yaml:11:7:", "(did you mean \"relu\"?)"},
    {"- relu\n", "- relu: 3\n", "c.yaml:11:13:", "relu has no options"},
    {"- relu\n", "- [relu]\n", "c.yaml:11:7:", "found a list, expected one of"},
    {"- relu\n", "- {relu: , tanh: }\n", "c.yaml:11:7:", "found a map of 2 kinds, expected one"},
    {"- linear: 10", "- linear: 0", "c.yaml:19:15:", "found \"0\""},
    {"- linear: 10", "- linear: 2147483648", "c.yaml:19:15:", "found \"2147483648\""},
    {"- linear: 10", "- linear", "c.yaml:19:7:", "units: found nothing"},
    {"[1, 28, 28]", "[1, 28]", "c.yaml:8:10:", "expected [channels, height, width] or [length]"},
    {"[1, 28, 28]", "[1048576, 1048576, 1048576]", "c.yaml:8:10:", "numbers a sample"},
    {"[1, 28, 28]", "[]", "c.yaml:8:10:", "found a list"},
    {"dir: /usr", "output: /usr\n  dir: /usr", "c.yaml:3:3:", "unknown key"},
    {"global_batch: 256", "global_batch: 7", "c.yaml:21:17:", "expected at least train.shards, whose default is 8"},
    {"dir: /usr/share/datasets/fashion-mnist", "dir: runs", "c.yaml:3:8:", "data.dir: found \"runs\", which is output"},
    {"  augment", "  mean: [0.1]\n  augment", "c.yaml:6:9:", "expected equally many"},
    {"  augment", "  mean: [0.1, 0.2]\n  std: [1, 1]\n  augment", "c.yaml:6:9:", "one for each of 1 channels"},
    {"  augment", "  mean: [0.1]\n  std: [0]\n  augment", "c.yaml:7:9:", "above 0"},
    {"keep: 3", "keep: 1", "c.yaml:27:34:", "found \"1\""},
    {"every: 5 min", "every: 0 s", "c.yaml:27:21:", "above 0"},
    {"data:\n", "seed: -1\ndata:\n", "c.yaml:2:7:", "18446744073709551615"},
    {"data:\n", "seed: 18446744073709551616\ndata:\n", "c.yaml:2:7:", "18446744073709551615"},
    {"data:\n", "threads: 0\ndata:\n", "c.yaml:2:10:", "from 1 to 1024, or auto"},
    {"data:\n", "device: cpuu\ndata:\n", "c.yaml:2:9:", "(did you mean \"cpu\"?)"},
    {"data:\n", "comm: fast\ndata:\n", "c.yaml:2:7:", "found \"fast\", expected a map"},
    {"data:\n", "output: &a runs\ndata:\n", "c.yaml:2:", "an anchor"},
    {"data:\n", "output: *a\ndata:\n", "c.yaml:2:", "an alias"},
    {"data:\n", "output: !!str runs\ndata:\n", "c.yaml:2:", "a tag"},
    {"data:\n", "<<: {}\ndata:\n", "c.yaml:2:1:", "unknown key"},
    {"data:\n", "? [a]\n: b\ndata:\n", "c.yaml:2:3:", "found a list as a key"},
    {"data:\n", "data:\n\tx: 1\n", "c.yaml:3:", "not YAML"},
    {"keep: 3}\n", "keep: 3}\n---\na: 1\n", "c.yaml:", "second document"},
    {"keep: 3}", "keep: 3", "c.yaml:", "not YAML"},
    {"name: fashion-lenet\n", "just text\n", "c.yaml:", "not YAML"},
    {"name: fashion", "name: \xff", "c.yaml:1:7:", "found the byte 0xFF, expected UTF-8"},
    {"name: fashion", "name: \xc0\xaf", "c.yaml:1:7:", "expected UTF-8"},
    {"name: fashion", "name: \xed\xa0\x80", "c.yaml:1:7:", "expected UTF-8"},
    {"name: fashion", "name: a\x07", "c.yaml:1:8:", "control character 0x07"},
    {"name: fashion", "name: a\rb", "c.yaml:1:8:", "control character 0x0D"},
};

static void test_bad_values(void **state) {
  for (size_t i = 0; i < sizeof bad_values / sizeof bad_values[0]; i++) {
    char *text = replaced(bad_values[i].old_text, bad_values[i].new_text);
    dt_config *config = parse(text, NULL, 0);
    if (config != NULL) fail_msg("\"%s\" was taken", bad_values[i].new_text);
    const char *said = dt_error_text();
    if (strncmp(said, bad_values[i].place, strlen(bad_values[i].place)) != 0 || strstr(said, bad_values[i].message) == NULL)
      fail_msg("\"%s\" expected \"%s ... %s\" and said:\n%s", bad_values[i].new_text, bad_values[i].place,
               bad_values[i].message, said);
    if (strlen(bad_values[i].place) > 9 && strstr(said, "control character") == NULL && strstr(said, "UTF-8") == NULL)
      assert_non_null(strstr(said, "^"));
    free(text);
  }
}

static void test_good_values(void **state) {
  static const struct {
    const char *old_text, *new_text;
  } good[] = {
      {"name: fashion-lenet\n", "\xef\xbb\xbfname: fashion-lenet\r\n"},
      {"name: fashion-lenet", "name: m\xc3\xbcnchen"},
      {"name: fashion-lenet", "name: $(rm -rf) `x` %n%s ~; a"},
      {"name: fashion-lenet", "name: 12"},
      {"dir: /usr/share/datasets/fashion-mnist", "dir: ~/x/../y"},
      {"global_batch: 256", "global_batch: +256"},
      {"peak: 0.1", "peak: 1e-1"},
      {"peak: 0.1", "peak: .5"},
      {"- relu\n", "- {relu: {}}\n"},
      {"- relu\n", "- relu:\n"},
      {"keep: 3}\n", "keep: 3}"},
      {"keep: 3}\n", "keep: 3}\n..."},
      {"name:", "---\nname:"},
      {"decay: cosine", "decay: {multistep: [2, 3.5]}"},
      {"decay: cosine", "decay: {step: 2 epochs}"},
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    char *text = replaced(good[i].old_text, good[i].new_text);
    dt_config *config = parse(text, NULL, 0);
    if (config == NULL) fail_msg("\"%s\" was refused: %s", good[i].new_text, dt_error_text());
    dt_config_destroy(&config);
    free(text);
  }
}

static int count_text(const char *text, const char *word) {
  int count = 0;
  for (const char *p = text; (p = strstr(p, word)) != NULL; p++) count++;
  return count;
}

static void test_all_errors_at_once(void **state) {
  assert_null(parse("nmae: x\ntrain: {global_batch: 0, epochs: ten}\nschedule: {lr: x}\n", NULL, 0));
  /* nmae, name, data.train, input, layers, global_batch, length, lr */
  assert_int_equal(count_text(dt_error_text(), ": error: "), 8);
  assert_non_null(strstr(dt_error_text(), "\n  train: {global_batch: 0, epochs: ten}\n                        ^"));
}

static void test_errors_are_capped(void **state) {
  char text[4096] = "";
  for (int i = 0; i < 100; i++) snprintf(text + strlen(text), sizeof text - strlen(text), "wrong%d: 1\n", i);
  assert_null(parse(text, NULL, 0));
  assert_int_equal(count_text(dt_error_text(), ": error: "), DT_CONFIG_ERRORS_SHOWN);
  assert_non_null(strstr(dt_error_text(), "errors in all, the first 20 are shown"));
}

static void test_empty(void **state) {
  static const char *const empty[] = {"", "\n", "# nothing\n", "---\n", "{}", "[]", "3", "\xef\xbb\xbf"};
  for (size_t i = 0; i < sizeof empty / sizeof empty[0]; i++) {
    assert_null(parse(empty[i], NULL, 0));
    assert_non_null(strstr(dt_error_text(), "c.yaml:"));
  }
}

static void test_nul_and_utf16(void **state) {
  dt_config *config = NULL;
  dt_error_clear();
  assert_int_equal(dt_config_parse("c.yaml", "name: a\0b\n", 10, NULL, 0, &config), DT_USAGE);
  assert_string_equal(dt_error_text(), "c.yaml:1:8: found the control character 0x00, expected text");
  dt_error_clear();
  assert_int_equal(dt_config_parse("c.yaml", "\xff\xfen\0a\0", 6, NULL, 0, &config), DT_USAGE);
  assert_string_equal(dt_error_text(), "c.yaml:1:1: found UTF-16 text, expected UTF-8");
  dt_error_clear();
  assert_null(parse("name: \"a\\0b\"\n", NULL, 0));
  assert_non_null(strstr(dt_error_text(), "c.yaml:1:7: error: found a NUL character"));
}

/* Hostile sizes: each must end at once with an error, whatever it is. */
static void test_large(void **state) {
  enum { BYTES = DT_CONFIG_BYTES_MAX };
  static const char *const unit[] = {"[",  "{a: ", "- ", "a: ",  "- relu\n", "a\n",     "[relu, ",
                                     "\"", "? ",   "x",  "- - ", "#",        "a b\n\n", "k: v\n"};
  char *text = malloc(BYTES + 1);
  for (size_t u = 0; u < sizeof unit / sizeof unit[0]; u++) {
    size_t step = strlen(unit[u]);
    for (size_t i = 0; i + step <= BYTES; i += step) memcpy(text + i, unit[u], step);
    text[BYTES / step * step] = '\0';
    struct timespec before, after;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    assert_null(parse(text, NULL, 0));
    assert_true(dt_error_text()[0] != '\0');
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    if (after.tv_sec - before.tv_sec > 8 * DT_TEST_SLOWDOWN) fail_msg("1 MiB of \"%s\" took more than 8 s", unit[u]);
  }
  free(text);
}

static void test_nesting(void **state) {
  char text[20001];
  for (int i = 0; i < 10000; i++) memcpy(text + 2 * i, "[[", 2);
  text[20000] = '\0';
  assert_null(parse(text, NULL, 0));
  assert_non_null(strstr(dt_error_text(), "nesting deeper than 64"));
}

static const char *scratch(const char *name) {
  static char path[512];
  snprintf(path, sizeof path, "%s/config-test-%d-%s", P_tmpdir, (int)getpid(), name);
  return path;
}

static void assert_load_fails(const char *path, const char *message) {
  dt_config *config = NULL;
  dt_error_clear();
  assert_int_equal(dt_config_load(path, NULL, 0, &config), DT_USAGE);
  if (strstr(dt_error_text(), message) == NULL) fail_msg("%s said: %s", path, dt_error_text());
}

static void test_files(void **state) {
  assert_load_fails("/nowhere/c.yaml", "No such file");
  assert_load_fails("/tmp", "found a directory");
  assert_load_fails("/dev/zero", "found a device");
  assert_load_fails("/dev/null", "found a device");
  const char *path = scratch("fifo");
  assert_int_equal(mkfifo(path, 0600), 0);
  assert_load_fails(path, "found a FIFO");
  unlink(path);
  path = scratch("sparse");
  int fd = open(path, O_CREAT | O_WRONLY | O_EXCL, 0600);
  assert_int_equal(ftruncate(fd, (off_t)2 << 30), 0);
  assert_load_fails(path, "found more than 1048576 bytes");
  assert_int_equal(ftruncate(fd, 0), 0);
  assert_load_fails(path, "expected text");
  assert_true(write(fd, base, strlen(base)) == (ssize_t)strlen(base));
  close(fd);
  dt_config *config = NULL;
  dt_error_clear();
  assert_int_equal(dt_config_load(path, NULL, 0, &config), DT_OK);
  dt_config_destroy(&config);
  unlink(path);
  char *long_path = malloc(10001);
  memset(long_path, 'a', 10000);
  long_path[10000] = '\0';
  assert_load_fails(long_path, "found 10000 bytes");
  free(long_path);
}

/* A locale with a decimal comma: installed, or made here where the system has the sources of locales. */
static bool set_comma_locale(void) {
  if (setlocale(LC_ALL, "de_DE.UTF-8") != NULL) return true;
  const char *folder = DT_TEST_BINARY_DIR "/locale";
  mkdir(folder, 0755);
  int made = system("test -d '" DT_TEST_BINARY_DIR "/locale/de_DE.UTF-8' || localedef -i de_DE -f UTF-8 '" DT_TEST_BINARY_DIR
                    "/locale/de_DE.UTF-8' >/dev/null 2>&1");
  setenv("LOCPATH", folder, 1);
  return made == 0 && setlocale(LC_ALL, "de_DE.UTF-8") != NULL;
}

/* A decimal comma in the user's locale changes nothing. */
static void test_locale(void **state) {
  if (!set_comma_locale()) {
    print_message("no locale with a decimal comma is installed\n");
    skip();
  }
  assert_true(strtod("0,5", NULL) == 0.5);
  dt_config *config = parse_well(base, NULL, 0);
  assert_true(dt_config_spec(config)->schedule.lr.peak == 0.1);
  char *text = print(config, false);
  assert_non_null(strstr(text, "peak: 0.1\n"));
  free(text);
  dt_config_destroy(&config);
  setlocale(LC_ALL, "C");
}

static void test_neutral(void **state) {
  static const char *const neutral[] = {
      "name",      "output",         "device",   "threads",       "train.pass_shards", "checkpoint.every",
      "log.every", "comm.transport", "data.dir", "data.prefetch", "target.accuracy"};
  static const char *const not_neutral[] = {
      "seed", "math", "train.shards", "train", "comm.reduce", "model.layers.0.conv.filters", "schedule.lr.peak", "nothing", ""};
  for (size_t i = 0; i < sizeof neutral / sizeof neutral[0]; i++) assert_true(dt_config_is_neutral(neutral[i]));
  for (size_t i = 0; i < sizeof not_neutral / sizeof not_neutral[0]; i++) assert_false(dt_config_is_neutral(not_neutral[i]));
}

static void test_diff(void **state) {
  const char *sets[] = {"schedule.lr.peak=0.2", "name=other", "model.layers.5.linear=12", "data.augment=[flip]"};
  dt_config *config = parse_well(base, NULL, 0), *changed = parse_well(base, sets, 4);
  char *before = print(config, false), *after = print(changed, true), *lines;
  assert_int_equal(dt_config_diff(before, before, &lines), 0);
  assert_string_equal(lines, "");
  free(lines);
  assert_int_equal(dt_config_diff(before, after, &lines), 4);
  assert_non_null(strstr(lines, "schedule.lr.peak: 0.1 -> 0.2\n"));
  assert_non_null(strstr(lines, "model.layers.5.linear.units: 10 -> 12\n"));
  assert_non_null(strstr(lines, "data.augment.1: flip -> (absent)\n"));
  free(lines);
  assert_int_equal(dt_config_diff(before, "[", &lines), 1);
  assert_non_null(strstr(lines, "not YAML"));
  free(lines);
  free(before);
  free(after);
  dt_config_destroy(&config);
  dt_config_destroy(&changed);
}

static void test_error_at(void **state) {
  dt_config *config = parse_well(base, NULL, 0);
  dt_error_clear();
  assert_int_equal(
      dt_config_error_at(config, dt_config_spec(config)->model.layers.item[0].origin, "found %d, expected %d", 1, 2), DT_USAGE);
  assert_string_equal(dt_error_text(),
                      "c.yaml:10:7: error: found 1, expected 2\n      - conv: {filters: 32, kernel: 5, pad: 2}\n        ^");
  dt_config_destroy(&config);
}

/* Rows that cannot be what their author meant. */
static void check_row(void *context, const char *path, const dt_option *option, const dt_kind *of_kind) {
  if (option == NULL) {
    if (of_kind->doc == NULL || (of_kind->options != NULL) != (of_kind->attr_bytes > 0))
      fail_msg("%s: an incomplete kind", path);
    if (of_kind->positional != NULL &&
        dt_option_find(of_kind->options, of_kind->positional, strlen(of_kind->positional)) == NULL)
      fail_msg("%s: no option \"%s\" for a bare value", path, of_kind->positional);
    return;
  }
  (*(int *)context)++;
  if (option->doc == NULL) fail_msg("%s: no doc", path);
  if (option->doc[strlen(option->doc) - 1] != '.') fail_msg("%s: the doc is no sentence", path);
  if (option->fallback == NULL || option->fallback[0] == '\0' || option->fallback[0] == '[' || option->type > DT_OPT_DURATION)
    return;
  dt_yaml node = {.type = DT_NODE_SCALAR, .text = option->fallback, .plain = true};
  max_align_t value[4];
  if (!dt_value_read(option, &node, value)) fail_msg("%s: its own default \"%s\" does not fit", path, option->fallback);
}

static void test_table(void **state) {
  int count = 0;
  dt_options_visit(dt_spec_options, check_row, &count);
  assert_true(count > 60);
}

static void test_reference_page(void **state) {
  char *text = NULL, page[1 << 16];
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  assert_int_equal(dt_config_reference(out), DT_OK);
  fclose(out);
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/docs/config.md", "r");
  assert_non_null(file);
  size_t got = fread(page, 1, sizeof page - 1, file);
  fclose(file);
  page[got] = '\0';
  if (strcmp(text, page) != 0) {
    file = fopen(DT_TEST_BINARY_DIR "/config.md", "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
    fail_msg("docs/config.md is out of date: copy %s over it", DT_TEST_BINARY_DIR "/config.md");
  }
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_example),
      cmocka_unit_test(test_statistics_of_flat_input),
      cmocka_unit_test(test_round_trip),
      cmocka_unit_test(test_real_text),
      cmocka_unit_test(test_sets),
      cmocka_unit_test(test_bad_sets),
      cmocka_unit_test(test_bad_values),
      cmocka_unit_test(test_good_values),
      cmocka_unit_test(test_all_errors_at_once),
      cmocka_unit_test(test_errors_are_capped),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_nul_and_utf16),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_locale),
      cmocka_unit_test(test_neutral),
      cmocka_unit_test(test_diff),
      cmocka_unit_test(test_error_at),
      cmocka_unit_test(test_table),
      cmocka_unit_test(test_reference_page),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
