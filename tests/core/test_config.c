/* The config reader: what it takes, what it refuses, and what it says. */
#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "configs.h"

/* The base config with one piece of text replaced by another. */
static char *replaced(const char *old_text, const char *new_text) {
  const char *at = strstr(base, old_text);
  if (at == NULL) fail_msg("the base config has no \"%s\"", old_text);
  char *text = NULL;
  assert_true(asprintf(&text, "%.*s%s%s", (int)(at - base), base, new_text, at + strlen(old_text)) > 0);
  return text;
}

static int count_text(const char *text, const char *word) {
  int count = 0;
  for (const char *p = text; (p = strstr(p, word)) != NULL; p++) count++;
  return count;
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
  assert_int_equal(spec->model.inputs.count, 1);
  assert_string_equal(spec->model.inputs.name[0], "input");
  assert_int_equal(dt_spec_input(spec, 0)->shape.count, 3);
  assert_int_equal(dt_spec_input(spec, 0)->shape.value[2], 28);
  assert_string_equal(dt_spec_input_field(spec, 0), "input");
  assert_int_equal(spec->model.layers.count, 6);
  assert_string_equal(spec->model.layers.item[2].kind->name, "residual");
  assert_int_equal(spec->model.layers.item[2].origin.line, 12);
  assert_int_equal(spec->model.layers.item[2].origin.column, 7);
  assert_string_equal(spec->model.loss.item[0].kind->name, "cross_entropy");
  assert_int_equal(spec->model.loss.count, 1);
  assert_int_equal(spec->train.global_batch, 256);
  assert_int_equal(spec->train.shards, 8);
  assert_true(spec->train.length.amount == 10 && spec->train.length.unit == DT_EPOCHS);
  assert_true(spec->train.clip_norm == 0);
  assert_string_equal(spec->optimizer.kind->name, "sgd");
  assert_true(spec->schedule.lr.peak == 0.1);
  assert_true(spec->schedule.lr.warmup.amount == 1 && spec->schedule.lr.warmup.unit == DT_EPOCHS);
  assert_string_equal(spec->schedule.lr.decay.kind->name, "cosine");
  assert_int_equal(spec->schedule.other.count, 1);
  assert_string_equal(spec->schedule.other.item[0].name, "momentum");
  const dt_schedule_spec *momentum = spec->schedule.other.item[0].value;
  assert_true(momentum->peak == 0.9);
  assert_string_equal(momentum->decay.kind->name, "constant");
  assert_true(spec->checkpoint.every.amount == 300 && spec->checkpoint.every.unit == DT_SECONDS);
  dt_config_destroy(&config);
  assert_null(config);
}

/* Each number of a flat input has a mean of its own. */
static void test_statistics_of_flat_input(void **state) {
  const char *sets[] = {"model.input=[3]", "data.augment=[]", "data.mean=[0.1, 0.2, 0.3]", "data.std=[1, 1, 1]"};
  dt_config *config = parse_well(base, sets, 4);
  assert_int_equal(dt_config_spec(config)->data.mean.count, 3);
  dt_config_destroy(&config);
}

/* Names of the user's own, each with the options of one kind; `input` is short for the only one. */
static void test_named_inputs(void **state) {
  static const struct {
    const char *sets[3], *expected;
  } bad[] = {
      {{"model.inputs={extra: [2, 2, 2, 2, 2, 2, 2]}"},
       "model.inputs.extra: found 7 numbers, expected 1 to 6: [length], [channels, height, width] or the like"},
      {{"model.inputs={1st: 7}"}, "model.inputs: found the name \"1st\", expected at most 48 letters"},
      {{"model.inputs={extra: {form: 7}}"},
       "model.inputs.extra.form: found an unknown key, expected shape, field, mean or std"},
      {{"model.inputs={extra: [7]}", "data.mean=[0.5]", "data.std=[1]"},
       "data.mean: found numbers for a network of 2 inputs, expected them at each: model.inputs.input.mean"},
      {{"model.inputs={extra: {shape: 7, mean: [0.5], std: [1]}}"}, "model.inputs.extra.mean: found 1 number, expected 7"},
      {{"model.inputs.input.mean=[200]", "model.inputs.input.std=[1]"},
       "model.inputs.input.mean: found 200, expected at most 1"},
      {{"model.inputs.input=null"}, "model.inputs: found"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    int count = 0;
    while (count < 3 && bad[i].sets[count] != NULL) count++;
    assert_null(parse(base, (const char **)bad[i].sets, count));
    if (strstr(dt_error_text(), bad[i].expected) == NULL) fail_msg("%s, expected %s", dt_error_text(), bad[i].expected);
  }
  const char *sets[] = {"model.inputs={extra: {shape: [7], field: other}}", "model.inputs.extra.shape=9"};
  dt_config *config = parse_well(base, sets, 2);
  const dt_spec *spec = dt_config_spec(config);
  assert_int_equal(spec->model.inputs.count, 2);
  assert_string_equal(spec->model.inputs.name[1], "extra");
  assert_int_equal(dt_spec_input(spec, 1)->shape.value[0], 9);
  assert_string_equal(dt_spec_input_field(spec, 1), "other");
  dt_config_destroy(&config);
}

/* What the shape of a sample forbids is known before any data is read. */
static void test_augment_against_input(void **state) {
  static const struct {
    const char *input, *augment, *expected;
  } bad[] = {
      {"model.input=[784]", "data.augment=[flip]", "data.augment: found flip for samples that are no images of bytes"},
      {"model.input=[784]", "data.augment=[{shift: 2}]", "data.augment: found shift for samples that are no images of bytes"},
      {"model.input=[1, 28, 20]", "data.augment=[flip, {shift: 20}]", "found 20 pixels, expected fewer than 20"},
      {"model.input=[1, 28, 20]", "data.augment=[{crop: {pad: 28}}]", "found 28 pixels, expected fewer than 20"},
      {"model.input=[1, 28, 20]", "data.augment=[{colour: {brightness: 0.2, hue: 0.1}}]",
       "data.augment.0.colour: found 1 channel, expected 3 for hue"},
      {"model.input=[2, 28, 20]", "data.augment=[{colour: {contrast: 0.2}}]", "found 2 channels, expected 1 or 3"},
      {"model.input=[4, 28, 20]", "data.augment=[flip, randaugment]",
       "data.augment.1.randaugment: found 4 channels, expected 1 or 3"},
      {"model.input=[1, 28, 20]", "data.augment=[{cutout: 40}]", "found 40 pixels, expected fewer than 40"},
      {"model.input=[1, 28, 20]", "data.augment=[{scale: [1.2, 0.8]}]", "found 1.2 before 0.8 in \"range\""},
      {"model.input=[1, 28, 20]", "data.augment=[{erase: {scale: 0.5}}]", "found 1 number in \"scale\""},
      {"model.input=[3, 28, 20]", "data.augment=[{colour: {hue: 0.6}}]", "hue: found \"0.6\", expected decimal numbers"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    const char *sets[] = {bad[i].input, bad[i].augment};
    assert_null(parse(base, sets, 2));
    if (strstr(dt_error_text(), bad[i].expected) == NULL) fail_msg("%s, expected %s", dt_error_text(), bad[i].expected);
  }
  const char *most[] = {"model.input=[1, 28, 20]", "data.augment=[{shift: 19}, {crop: {pad: 19}}, flip, {cutout: 39}]"};
  dt_config *config = parse_well(base, most, 2);
  dt_config_destroy(&config);
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
    {"epochs: 10", "epochs: 1e9", "c.yaml:22:11:", "train.length: found \"1e9 epochs\", expected at most 1000000 epochs"},
    {"epochs: 10", "length: 1e13 steps", "c.yaml:22:11:", "expected at most 1000000000000 steps"},
    {"every: 5 min", "every: 1e9 h", "c.yaml:27:21:", "expected at most 277777.77777777775 h"},
    {"dir: /usr", "dir: ~/usr",
     "c.yaml:3:8:", "data.dir: found \"~/usr/share/datasets/fashion-mnist\", expected a path; ~ is not expanded: write $HOME"},
    {"images: train-images", "images: ~/train-images", "c.yaml:4:25:", "~ is not expanded"},
    {"name: fashion-lenet", "name: fashion-lenet\noutput: $HOME/runs",
     "c.yaml:2:9:", "variables are expanded in data.dir alone"},
    {"data:\n", "device: cuda\ndata:\n", "c.yaml:2:9:", "(did you mean \"gpu\"?)"},
    {"  epochs: 10\n", "  lr: 0.1\n  epochs: 10\n", "c.yaml:22:3:", "(did you mean \"schedule.lr\"?)"},
    {"  epochs: 10\n", "  Num-Epochs: 10\n", "c.yaml:22:3:", "(did you mean \"epochs\"?)"},
    {"data:\n", "momentum: 0.9\ndata:\n", "c.yaml:2:1:", "(did you mean \"optimizer.sgd.momentum\"?)"},
    {"data:\n", "shuffle: true\ndata:\n", "c.yaml:2:1:", "(did you mean \"data.shuffle\"?)"},
    {"filters: 32, kernel: 5", "out_channels: 32, kernel: 5", "c.yaml:10:14:", "(did you mean \"filters\"?)"},
    {"kernel: 5, pad: 2", "kernel: 5, padding: 2", "c.yaml:10:38:", "(did you mean \"pad\"?)"},
    {"kernel: 5, pad: 2", "kernel: 5, p: 2", "c.yaml:10:38:", "found an unknown key"},
    {"kernel: 5, pad: 2", "kernel: 5, activation: relu", "c.yaml:10:38:", "(did you mean \"relu\" in model.layers?)"},
    {"kernel: 5, pad: 2", "kernel: 5, pad:2", "c.yaml:10:38:", "(did you mean \"pad: 2\", with a colon and a space?)"},
    {"- dropout: 0.5", "- dropout: {rate: 0.5}", "c.yaml:18:17:", "(did you mean \"p\"?)"},
    {"- linear: 10", "- dense: 10", "c.yaml:19:7:", "(did you mean \"linear\"?)"},
    {"- linear: 10", "- nn.Linear: 10", "c.yaml:19:7:", "expected one of conv, linear"},
    {"- relu\n", "- BatchNorm2d\n", "c.yaml:11:7:", "(did you mean \"batchnorm\"?)"},
    {"decay: cosine", "decay: CosineAnnealingLR", "c.yaml:25:43:", "(did you mean \"cosine\"?)"},
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
    {"warmup: 1 epoch", "warmup: 20 epochs",
     "c.yaml:25:16:", "lr.warmup: found 20 epochs, expected at most train.length, which is 10 epochs"},
    {"epochs: 10", "length: 0.5 epoch", "c.yaml:25:16:", "found 1 epoch, expected at most train.length, which is 0.5 epochs"},
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
    {"[1, 28, 28]", "[1, 1, 1, 1, 1, 28, 28]",
     "c.yaml:8:10:", "found 7 numbers, expected 1 to 6: [length], [channels, height, width]"},
    {"[1, 28, 28]", "[1048576, 1048576, 1048576]", "c.yaml:8:10:", "numbers a sample"},
    {"[1, 28, 28]", "[]", "c.yaml:8:10:", "found a list"},
    {"dir: /usr", "output: /usr\n  dir: /usr", "c.yaml:3:3:", "unknown key"},
    {"global_batch: 256", "global_batch: 7", "c.yaml:21:17:", "expected at least train.shards, whose default is 8"},
    {"dir: /usr/share/datasets/fashion-mnist", "dir: runs", "c.yaml:3:8:", "data.dir: found \"runs\", which is output"},
    {"  augment", "  mean: [0.1]\n  augment", "c.yaml:6:9:", "expected equally many"},
    {"  augment", "  mean: [0.1, 0.2]\n  std: [1, 1]\n  augment",
     "c.yaml:6:9:", "found 2 numbers, expected 1, one for each channel"},
    {"  augment", "  mean: [0.1]\n  std: [0]\n  augment", "c.yaml:7:9:", "above 0"},
    {"  augment", "  mean: [127]\n  std: [1]\n  augment",
     "c.yaml:6:9:", "the unit is pixel / 255, in which a mean of 127 is 0.498"},
    {"{shift: 2}", "{shift: 28}", "c.yaml:6:14:", "data.augment.0.shift: found 28 pixels, expected fewer than 28"},
    {"flip", "{crop: 40}", "c.yaml:6:26:", "data.augment.1.crop: found 40 pixels, expected fewer than 28"},
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
    {"keep: 3}\n", "keep: 3}\n---\na: 1\n", "c.yaml:", "second document"},
    {"data:\n", "data:\n\tx: 1\n", "c.yaml:3:1:", "not YAML: found a tab in the indentation, expected spaces"},
    {"  epochs: 10", " \tepochs: 10", "c.yaml:22:3:", "not YAML: found a tab in the indentation, expected spaces"},
    {"keep: 3}\n", "keep: 3", "c.yaml:27:13:", "not YAML: found \"{\" without its \"}\", expected that before the next key"},
    {"[1, 28, 28]", "[1, 28, 28", "c.yaml:8:10:", "not YAML: found \"[\" without its \"]\""},
    {"[1, 28, 28]", "[1, 28, 28}", "c.yaml:8:", "not YAML: found a closing bracket of the other kind"},
    {"[1, 28, 28]", "[1, 28, 28]]", "c.yaml:8:", "not YAML: found a closing bracket that nothing opened"},
    {"[1, 28, 28]", "[,1, 28, 28]", "c.yaml:8:11:", "not YAML: found a comma without an item before it"},
    {"[1, 28, 28]", "[1, 28, 28] 3", "c.yaml:8:", "not YAML: found text behind a value, expected the end of the line"},
    {"keep: 3}", "keep: 3 x: 3}", "c.yaml:27:", "not YAML: found two items without a comma between them"},
    {"name: fashion-lenet\n", "just text\n", "c.yaml:1:1:", "not YAML: found \"just text\", expected \"key: value\""},
    {"  epochs: 10", "  epochs 10", "c.yaml:22:3:", "not YAML: found \"epochs 10\", expected \"key: value\""},
    {"  epochs: 10", "  epochs = 10", "c.yaml:22:3:", "not YAML: found \"epochs = 10\", expected a colon: \"epochs: ...\""},
    {"  epochs: 10", "  epochs:10", "c.yaml:22:3:", "not YAML: found \"epochs:10\", expected a space behind the colon"},
    {"  epochs: 10", "  epochs: 10: 3", "c.yaml:22:", "not YAML: found a second colon in a line"},
    {"  epochs: 10", " epochs: 10", "c.yaml:22:2:", "not YAML: found a key in a column where no map has its keys"},
    {"  epochs: 10", "   epochs: 10", "c.yaml:21:", "not YAML: found a value that goes on in the next line as a key"},
    {"  epochs: 10", "  epochs: 10\n  - relu", "c.yaml:23:3:", "not YAML: found a list item among keys"},
    {"    - linear: 10", "   - linear: 10", "c.yaml:19:4:", "not YAML: found an item indented less than its list"},
    {"    - linear: 10", "    -linear: 10", "c.yaml:19:", "not YAML: found \"-linear: 10\", expected a space behind the dash"},
    {"    - linear: 10", "    linear: 10", "c.yaml:19:5:", "not YAML: found a key among the items of a list"},
    {"  layers:\n    - conv", "  layers: - conv", "c.yaml:9:11:", "not YAML: found a list item behind a key"},
    {"name: fashion-lenet", "name: \"fashion-lenet", "c.yaml:1:7:", "not YAML: found an opening quote without its closing one"},
    {"name: fashion-lenet", "name: 'fashion-lenet", "c.yaml:1:7:", "not YAML: found an opening quote without its closing one"},
    {"keep: 3}\n", "keep: 3}\noutput: 'x", "c.yaml:28:", "not YAML: found an opening quote without its closing one"},
    {"name: fashion-lenet", "name: \"fashion\"-lenet", "c.yaml:1:", "not YAML: found text behind a closing quote"},
    {"name: fashion-lenet", "name: \"fashion\"#lenet", "c.yaml:1:", "not YAML: found # right behind a value"},
    {"name: fashion-lenet", "name: \"\\q\"", "c.yaml:1:", "not YAML: found a backslash that begins no escape"},
    {"name: fashion-lenet", "name: \"\\xzz\"", "c.yaml:1:", "not YAML: found an escape without its hexadecimal digits"},
    {"name: fashion-lenet", "name: @x", "c.yaml:1:7:", "not YAML: found a value that begins with a character that YAML keeps"},
    {"name: fashion-lenet", "name: *", "c.yaml:1:", "not YAML: found \"*\" without a name, expected no aliases"},
    {"name: fashion-lenet", "name: |x", "c.yaml:1:", "not YAML: found text of several lines"},
    {"name: fashion-lenet", "name: a: b", "c.yaml:1:", "not YAML: found a second colon in a line"},
    {"keep: 3}\n", "keep: 3}\n: 3\n", "c.yaml:", "found an empty key"},
    {"keep: 3}\n", "keep: 3}\nfoo", "c.yaml:28:1:", "not YAML: found \"foo\", expected \"key: value\""},
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
      {"dir: /usr/share/datasets/fashion-mnist", "dir: ./~/x/../y"},
      {"name: fashion-lenet", "name: fashion-lenet\noutput: ./$HOME"},
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
      {"{shift: 2}", "{shift: 27}"},
      {"  augment", "  mean: [1]\n  std: [1]\n  augment"},
  };
  for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
    char *text = replaced(good[i].old_text, good[i].new_text);
    dt_config *config = parse(text, NULL, 0);
    if (config == NULL) fail_msg("\"%s\" was refused: %s", good[i].new_text, dt_error_text());
    dt_config_destroy(&config);
    free(text);
  }
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

static void test_error_at(void **state) {
  dt_config *config = parse_well(base, NULL, 0);
  dt_error_clear();
  assert_int_equal(
      dt_config_error_at(config, dt_config_spec(config)->model.layers.item[0].origin, "found %d, expected %d", 1, 2), DT_USAGE);
  assert_string_equal(dt_error_text(),
                      "c.yaml:10:7: error: found 1, expected 2\n      - conv: {filters: 32, kernel: 5, pad: 2}\n        ^");
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_example),
      cmocka_unit_test(test_statistics_of_flat_input),
      cmocka_unit_test(test_named_inputs),
      cmocka_unit_test(test_augment_against_input),
      cmocka_unit_test(test_bad_values),
      cmocka_unit_test(test_good_values),
      cmocka_unit_test(test_all_errors_at_once),
      cmocka_unit_test(test_errors_are_capped),
      cmocka_unit_test(test_empty),
      cmocka_unit_test(test_nul_and_utf16),
      cmocka_unit_test(test_large),
      cmocka_unit_test(test_nesting),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_error_at),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
