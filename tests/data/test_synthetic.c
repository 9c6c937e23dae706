/* The synthetic data set: the bytes are those of the published Philox, and bad shapes are refused. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "support/columns.h"
#include "support/unit.h"

static dt_status parse(const char *train, dt_config **out) {
  char text[1024];
  snprintf(text, sizeof text,
           "name: synthetic\ndata:\n  train: {synthetic: %s}\nmodel:\n  input: [3, 5, 7]\n  layers: [linear: 4]\n"
           "train: {global_batch: 8, epochs: 1}\noptimizer: sgd\nschedule: {lr: 0.1}\n",
           train);
  dt_error_clear();
  return dt_config_parse("c.yaml", text, strlen(text), NULL, 0, out);
}

static dt_dataset *load(const char *train) {
  dt_config *config = NULL;
  if (parse(train, &config) != DT_OK) fail_msg("%s", dt_error_text());
  dt_dataset *dataset = NULL;
  const dt_spec *spec = dt_config_spec(config);
  assert_int_equal(dt_dataset_load(&spec->data.train, &(dt_data_request){.dir = spec->data.dir}, &dataset), DT_OK);
  dt_config_destroy(&config);
  return dataset;
}

/* Rebuilt from the generator itself, whose known answers test_rng.c has. */
static void test_bytes(void **state) {
  dt_dataset *dataset = load("{shape: [3, 5, 7], classes: 4, samples: 33, seed: 9}");
  const uint64_t key = dt_rng_key(9, DT_RNG_SYNTHETIC);
  const uint32_t key_words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
  assert_int_equal(dataset->count, 33);
  assert_int_equal(data_field(dataset, "input")->dtype, DT_U8);
  assert_int_equal(dt_shape_count(&data_field(dataset, "input")->shape), 105);
  for (uint32_t sample = 0; sample < 33; sample++) {
    for (uint32_t i = 0; i < 105; i++) {
      const uint32_t counter[4] = {i / 16, 0, sample, 0};
      const dt_rng_block block = dt_philox(counter, key_words);
      assert_int_equal(data_pixels(dataset)[sample * 105 + i], block.word[i % 16 / 4] >> 8 * (i % 4) & 255);
    }
  }
  dt_dataset_destroy(&dataset);
}

/* Every label occurs, none lies outside, and a chi-square of the counts is what chance gives (3 degrees of freedom). */
static void test_labels(void **state) {
  dt_dataset *dataset = load("{shape: [1, 1, 1], classes: 4, samples: 4000}");
  double count[4] = {0}, chi = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    assert_in_range(data_labels(dataset)[i], 0, 3);
    count[data_labels(dataset)[i]]++;
  }
  for (int c = 0; c < 4; c++) chi += (count[c] - 1000) * (count[c] - 1000) / 1000;
  assert_true(chi < 16.3);
  dt_dataset_destroy(&dataset);
}

static void test_seeds_and_defaults(void **state) {
  dt_dataset *a = load("[3, 5, 7]"), *b = load("{shape: [3, 5, 7], seed: 1}"), *c = load("{shape: [3, 5, 7], seed: 2}");
  assert_int_equal(a->count, 512);
  assert_true(a->hash == b->hash);
  assert_true(a->hash != c->hash);
  assert_string_equal(c->source, "synthetic, seed 2");
  dt_dataset_destroy(&a);
  dt_dataset_destroy(&b);
  dt_dataset_destroy(&c);
}

/* Any fields: sequences of all lengths that there may be, rows of ascending columns (dt_dataset_load looks), numbers in their
 * ranges, each field independent of the others. */
static void test_fields(void **state) {
  static const char text[] =
      "{samples: 300, fields: {left: [1, 4, 4], y: {shape: 3, dtype: f32}, k: {dtype: i32, classes: 7}, "
      "seq: {shape: [9, 2], dtype: f32, shortest: 4}, rows: {shape: 50, dtype: f32, entries: 6}}}";
  dt_dataset *set = load(text), *alone = load("{samples: 300, fields: {left: [1, 4, 4]}}");
  const dt_field *seq = data_field(set, "seq"), *rows = data_field(set, "rows");
  int lengths[10] = {0}, entries[7] = {0}, classes[7] = {0};
  assert_int_equal(set->fields.count, 5);
  assert_int_equal(seq->layout, DT_FIELD_RAGGED);
  assert_int_equal(rows->layout, DT_FIELD_SPARSE);
  assert_int_equal(rows->entries, 6);
  assert_int_equal(data_field(set, "k")->shape.ndim, 0);
  assert_memory_equal(data_values(set, "left"), data_values(alone, "left"), 300 * 16);
  for (int64_t i = 0; i < 300; i++) {
    const int64_t *step = set->data[dt_dataset_find(set, "seq")].offset, *row = set->data[dt_dataset_find(set, "rows")].offset;
    const float *y = (const float *)data_values(set, "y") + i * 3;
    lengths[step[i + 1] - step[i]]++;
    entries[row[i + 1] - row[i]]++;
    classes[((const int32_t *)data_values(set, "k"))[i]]++;
    for (int k = 0; k < 3; k++) assert_true(y[k] >= -1 && y[k] < 1);
  }
  for (int n = 0; n < 10; n++) assert_true((lengths[n] > 0) == (n >= 4));
  for (int n = 0; n < 7; n++) assert_true((entries[n] > 0) == (n >= 1));
  for (int n = 0; n < 7; n++) assert_true(classes[n] > 20);
  dt_dataset_destroy(&alone);
  dt_dataset_destroy(&set);
}

static void test_refusals(void **state) {
  static const struct {
    const char *train, *fragment;
  } bad[] = {
      {"{shape: [3, 5]}", "found a shape of 2 dimensions, expected [channels, height, width]"},
      {"{shape: 12}", "found a shape of 1 dimensions"},
      {"{shape: [65536, 65536, 65536], samples: 2}", "expected at most 34359738368 bytes in all"},
      {"{shape: [3, 0, 7]}", "shape"},
      {"{shape: [3, 5, 7], samples: 0}", "samples"},
      {"{classes: 3}", "shape"},
      {"{shape: [3, 5, 7], fields: {a: 3}}", "found both shape and fields, expected one of them"},
      {"{fields: {a: {shape: 3, shortest: 4}}}", "found shortest 4, expected a shape of as many steps of time or more"},
      {"{fields: {a: {shape: [3, 4], entries: 2}}}", "found 2 entries, expected a shape [columns]"},
      {"{fields: {a: {shape: 3, dtype: f64}}}", "expected u8, f32 or i32"},
      {"{fields: {}}", "found a shape of 0 dimensions"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    dt_config *config = NULL;
    assert_int_equal(parse(bad[i].train, &config), DT_USAGE);
    if (strstr(dt_error_text(), bad[i].fragment) == NULL)
      fail_msg("%s: \"%s\" lacks \"%s\"", bad[i].train, dt_error_text(), bad[i].fragment);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_bytes),  cmocka_unit_test(test_labels),   cmocka_unit_test(test_seeds_and_defaults),
      cmocka_unit_test(test_fields), cmocka_unit_test(test_refusals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
