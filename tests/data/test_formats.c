/* Every format and augmentation as a config names it, in each form of writing. */
#include <stdio.h>
#include <string.h>

#include "data/data.h"
#include "support/columns.h"
#include "support/digits.h"
#include "support/files.h"
#include "support/unit.h"

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK && dt_test_write_digits(dir, 30, 10, 12) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

static dt_status parse(const char *train, const char *augment, dt_config **out) {
  char text[4096];
  snprintf(text, sizeof text,
           "name: formats\ndata:\n  dir: %s\n  train: %s\n  augment: %s\n"
           "model:\n  input: [1, 12, 12]\n  layers: [linear: 10]\n"
           "train: {global_batch: 8, epochs: 1}\noptimizer: sgd\nschedule: {lr: 0.1}\n",
           dir, train, augment);
  dt_error_clear();
  return dt_config_parse("c.yaml", text, strlen(text), NULL, 0, out);
}

static dt_config *parse_well(const char *train, const char *augment) {
  dt_config *config = NULL;
  if (parse(train, augment, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

/* A format says its fields before it reads: those that it then has, and as many bytes. */
static void check_info(const dt_data_info *info, const dt_dataset *dataset) {
  dt_data_info loaded;
  dt_dataset_info(dataset, &loaded);
  assert_int_equal(info->fields.count, dataset->fields.count);
  assert_int_equal(dt_dataset_bytes(info), dt_dataset_bytes(&loaded));
  for (int f = 0; f < info->fields.count; f++) {
    const dt_field *said = &info->fields.field[f], *found = &dataset->fields.field[f];
    assert_string_equal(said->name, found->name);
    assert_int_equal(said->dtype, found->dtype);
    assert_int_equal(said->layout, found->layout);
    assert_int_equal(said->entries, found->entries);
    assert_true(dt_shape_equal(&said->shape, &found->shape));
  }
}

static void test_idx(void **state) {
  static const char *const forms[] = {
      "{idx: {images: train-images-idx3-ubyte, labels: train-labels-idx1-ubyte}}",
      "{idx: train-images-idx3-ubyte}",
  };
  for (int i = 0; i < 2; i++) {
    dt_config *config = parse_well(forms[i], "[]");
    const dt_spec *spec = dt_config_spec(config);
    dt_dataset *dataset;
    assert_int_equal(dt_dataset_load(&spec->data.train, &(dt_data_request){.dir = spec->data.dir}, &dataset), DT_OK);
    assert_int_equal(dataset->count, 30);
    dt_data_info info;
    assert_int_equal(dt_dataset_inspect(&spec->data.train, &(dt_data_request){.dir = spec->data.dir}, false, &info), DT_OK);
    assert_int_equal(info.count, 30);
    assert_true((data_labels(dataset) != NULL) == (i == 0));
    check_info(&info, dataset);
    dt_dataset_destroy(&dataset);
    dt_config_destroy(&config);
  }
}

static void test_cifar10(void **state) {
  enum { RECORD = 3073 };
  static uint8_t bytes[2 * RECORD];
  bytes[RECORD] = 7;
  assert_int_equal(dt_test_write_file(dir, "one.bin", bytes, RECORD), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "two.bin", bytes + RECORD, RECORD), DT_OK);
  static const struct {
    const char *text;
    int64_t count;
  } forms[] = {{"{cifar10: {files: [one.bin, two.bin]}}", 2}, {"{cifar10: [two.bin, one.bin]}", 2}, {"{cifar10: two.bin}", 1}};
  for (int i = 0; i < 3; i++) {
    dt_config *config = parse_well(forms[i].text, "[]");
    const dt_spec *spec = dt_config_spec(config);
    dt_dataset *dataset;
    assert_int_equal(dt_dataset_load(&spec->data.train, &(dt_data_request){.dir = spec->data.dir}, &dataset), DT_OK);
    assert_int_equal(dataset->count, forms[i].count);
    dt_data_info info;
    assert_int_equal(dt_dataset_inspect(&spec->data.train, &(dt_data_request){.dir = spec->data.dir}, true, &info), DT_OK);
    assert_int_equal(info.count, forms[i].count);
    assert_int_equal(data_labels(dataset)[0], i == 0 ? 0 : 7);
    check_info(&info, dataset);
    dt_dataset_destroy(&dataset);
    dt_config_destroy(&config);
  }
  dt_config *config = NULL;
  assert_int_equal(parse("{cifar10: []}", "[]", &config), DT_USAGE);
}

static void test_augmentations(void **state) {
  dt_config *config =
      parse_well("{idx: train-images-idx3-ubyte}", "[{shift: 2}, flip, {crop: {pad: 3}}, crop, {shift: {max: 1}}]");
  const dt_choices *augment = &dt_config_spec(config)->data.augment;
  static const int64_t pixels[] = {2, -1, 3, 4, 1};
  assert_int_equal(augment->count, 5);
  for (int i = 0; i < 5; i++) {
    if (pixels[i] >= 0) assert_int_equal(*(int64_t *)augment->item[i].attr, pixels[i]);
    assert_non_null(((const dt_augment *)augment->item[i].kind->impl)->draw);
  }
  dt_config_destroy(&config);
  assert_int_equal(parse("{idx: x}", "[shift]", &config), DT_USAGE);
  assert_int_equal(parse("{idx: x}", "[{shift: -1}]", &config), DT_USAGE);
  assert_int_equal(parse("{idx: x}", "[{flip: 1}]", &config), DT_USAGE);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_idx),
      cmocka_unit_test(test_cifar10),
      cmocka_unit_test(test_augmentations),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
