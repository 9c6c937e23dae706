/* data.split: the two parts are the data set, in all layouts of fields, and nothing but seed and number decides who goes where.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sets.h"
#include "support/columns.h"
#include "support/unit.h"

enum { SAMPLES = 203 };

static dt_config *config_of(const char *more) {
  char text[2048];
  dt_config *config;
  snprintf(text, sizeof text,
           "name: split\ndata:\n  train: {synthetic: {samples: %d, fields: {input: {shape: [5], dtype: f32},\n"
           "    words: {shape: [7], dtype: i32, classes: 9, shortest: 1}, rows: {shape: [40], dtype: f32, entries: 6},\n"
           "    label: {shape: [], dtype: i32, classes: 4}}}}\n%s"
           "model: {input: [5], layers: [linear: 4]}\ntrain: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
           SAMPLES, more);
  if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  return config;
}

static void load(const char *more, dt_dataset **train, dt_dataset **eval) {
  dt_config *config = config_of(more);
  dt_error_clear();
  if (dt_sets_load(dt_config_spec(config), train, eval) != DT_OK) fail_msg("%s", dt_error_text());
  dt_config_destroy(&config);
}

/* Whether two samples are equal in every field. */
static bool same(const dt_dataset *a, int64_t i, const dt_dataset *b, int64_t j) {
  for (int f = 0; f < a->fields.count; f++) {
    const dt_field *field = &a->fields.field[f];
    const dt_column *x = &a->data[f], *y = &b->data[f];
    const bool dense = field->layout == DT_FIELD_DENSE;
    const size_t bytes = dt_dtype_bytes(field->dtype) * (dense ? (size_t)dt_shape_count(&field->shape) : 1);
    const int64_t from = dense ? i : x->offset[i], rows = dense ? 1 : x->offset[i + 1] - from;
    const int64_t at = dense ? j : y->offset[j], others = dense ? 1 : y->offset[j + 1] - at;
    if (rows != others) return false;
    if (memcmp((char *)x->values + (size_t)from * bytes, (char *)y->values + (size_t)at * bytes, (size_t)rows * bytes) != 0)
      return false;
    if (x->column != NULL && memcmp(x->column + from, y->column + at, (size_t)rows * sizeof *x->column) != 0) return false;
  }
  return true;
}

/* Both parts are in the order of the whole, and each of its samples is in one of them. */
static void check_parts(const dt_dataset *whole, const dt_dataset *train, const dt_dataset *eval) {
  int64_t t = 0, e = 0;
  for (int64_t i = 0; i < whole->count; i++) {
    const bool in_train = t < train->count && same(whole, i, train, t), in_eval = e < eval->count && same(whole, i, eval, e);
    if (in_train == in_eval) fail_msg("sample %lld is in %s", (long long)i, in_train ? "both" : "none");
    t += in_train;
    e += in_eval;
  }
  assert_int_equal(t, train->count);
  assert_int_equal(e, eval->count);
}

static void test_parts(void **state) {
  static const struct {
    const char *split;
    int64_t eval;
  } cases[] = {{"  split: 0.1\n", 20}, {"  split: 0.5\n", 102}, {"  split: 0.005\n", 1}};
  dt_dataset *whole, *train, *eval;
  load("", &whole, &eval);
  assert_null(eval);
  for (int c = 0; c < 3; c++) {
    load(cases[c].split, &train, &eval);
    assert_int_equal(eval->count, cases[c].eval);
    check_parts(whole, train, eval);
    assert_true(train->hash != whole->hash && eval->hash != whole->hash && train->hash != eval->hash);
    dt_dataset_destroy(&train);
    dt_dataset_destroy(&eval);
  }
  dt_dataset_destroy(&whole);
}

/* Of each class the rounded share. */
static void test_stratified(void **state) {
  dt_dataset *whole, *train, *eval, *none;
  load("", &whole, &none);
  load("  split: {fraction: 0.3, stratified: true}\n", &train, &eval);
  check_parts(whole, train, eval);
  for (int c = 0; c < 4; c++) {
    int all = 0, part = 0;
    for (int64_t i = 0; i < whole->count; i++) all += data_labels(whole)[i] == c;
    for (int64_t i = 0; i < eval->count; i++) part += data_labels(eval)[i] == c;
    assert_int_equal(part, (int)(0.3 * all + 0.5));
  }
  dt_dataset_destroy(&whole);
  dt_dataset_destroy(&train);
  dt_dataset_destroy(&eval);
}

/* The split's seed decides, the config's does not; a part alone is the same part. */
static void test_seeds(void **state) {
  dt_dataset *train, *eval, *other, *alone;
  load("  split: 0.2\n", &train, &eval);
  load("  split: 0.2\nseed: 99\n", NULL, &other);
  assert_int_equal(other->hash, eval->hash);
  load("  split: 0.2\n", &alone, NULL);
  assert_int_equal(alone->hash, train->hash);
  dt_dataset_destroy(&other);
  load("  split: {fraction: 0.2, seed: 2}\n", NULL, &other);
  assert_true(other->hash != eval->hash);
  dt_dataset_destroy(&train);
  dt_dataset_destroy(&eval);
  dt_dataset_destroy(&other);
  dt_dataset_destroy(&alone);
}

/* What is inspected is what is loaded. */
static void test_inspect(void **state) {
  dt_config *config = config_of("  split: 0.1\n");
  dt_data_info info;
  assert_int_equal(dt_set_inspect(dt_config_spec(config), DT_SET_TRAIN, true, &info), DT_OK);
  assert_int_equal(info.count, 183);
  assert_int_equal(dt_set_inspect(dt_config_spec(config), DT_SET_EVAL, true, &info), DT_OK);
  assert_int_equal(info.count, 20);
  assert_true(dt_set_is_there(dt_config_spec(config), DT_SET_EVAL));
  dt_config_destroy(&config);
}

static void test_refused(void **state) {
  dt_config *config = config_of("  split: {fraction: 0.999, seed: 7}\n");
  dt_dataset *train, *eval;
  assert_int_equal(dt_sets_load(dt_config_spec(config), &train, &eval), DT_USAGE);
  assert_non_null(
      strstr(dt_error_text(), "data.split: found 0.999 of 203 samples, which is 203, expected one or more in each part"));
  assert_null(train);
  assert_null(eval);
  dt_config_destroy(&config);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_parts),   cmocka_unit_test(test_stratified), cmocka_unit_test(test_seeds),
      cmocka_unit_test(test_inspect), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
