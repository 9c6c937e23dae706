/* data.label_noise: how many labels are changed, into what, and what keeps its own. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "data/sets.h"
#include "support/unit.h"

enum { SAMPLES = 8000, CLASSES = 4 };

static void load(const char *more, const char *label, dt_status expected, dt_dataset **train, dt_dataset **eval) {
  char text[1024];
  dt_config *config;
  snprintf(text, sizeof text,
           "name: noise\ndata:\n  train: {synthetic: {samples: %d, fields: {input: {shape: [2], dtype: f32},\n"
           "    %s: {shape: [], dtype: i32, classes: %d}}}}\n  split: 0.25\n%s"
           "model: {input: [2], layers: [linear: 4]}\ntrain: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
           SAMPLES, label, CLASSES, more);
  if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  dt_error_clear();
  assert_int_equal(dt_sets_load(dt_config_spec(config), train, eval), expected);
  dt_config_destroy(&config);
}

static const int32_t *labels_of(const dt_dataset *set) {
  return set->data[dt_dataset_find(set, "label")].values;
}

static void test_labels(void **state) {
  dt_dataset *clean, *noisy, *again, *other, *eval, *noisy_eval;
  int changed = 0, to[CLASSES] = {0}, both = 0;
  char note[80];
  load("", "label", DT_OK, &clean, &eval);
  load("  label_noise: 0.3\n", "label", DT_OK, &noisy, &noisy_eval);
  assert_int_equal(noisy->count, SAMPLES * 3 / 4);
  assert_memory_equal(labels_of(eval), labels_of(noisy_eval), (size_t)eval->count * sizeof(int32_t));
  dt_dataset_destroy(&noisy_eval);
  load("  label_noise: 0.3\n", "label", DT_OK, &again, &noisy_eval);
  dt_dataset_destroy(&noisy_eval);
  load("  label_noise: 0.3\nseed: 2\n", "label", DT_OK, &other, &noisy_eval);
  for (int64_t i = 0; i < noisy->count; i++) {
    const int32_t label = labels_of(noisy)[i];
    const int away = (label - labels_of(clean)[i] + CLASSES) % CLASSES;
    assert_true(label >= 0 && label < CLASSES);
    changed += away != 0;
    to[away]++;
    both += away != 0 && labels_of(other)[i] != labels_of(clean)[i];
  }
  const double part = changed / (double)noisy->count;
  assert_true(fabs(part - 0.3) < 0.02);
  for (int c = 1; c < CLASSES; c++) assert_true(fabs(to[c] / (double)noisy->count - 0.1) < 0.015);
  assert_true(fabs(both / (double)noisy->count - 0.09) < 0.015); /* another seed changes others */
  assert_memory_equal(labels_of(noisy), labels_of(again), (size_t)noisy->count * sizeof(int32_t));
  assert_true(noisy->hash == again->hash && noisy->hash != clean->hash && noisy->hash != other->hash);
  snprintf(note, sizeof note, "1,%03d of 6,000 labels are changed by data.label_noise", changed - 1000);
  assert_string_equal(noisy->note, note);
  assert_null(clean->note);
  dt_dataset *sets[] = {clean, noisy, again, other, eval, noisy_eval};
  for (int i = 0; i < 6; i++) dt_dataset_destroy(&sets[i]);
}

static void test_without_labels(void **state) {
  dt_dataset *train, *eval;
  load("  label_noise: 0.3\n", "other", DT_USAGE, &train, &eval);
  assert_non_null(strstr(dt_error_text(), "data.label_noise: found no field label of one class a sample"));
  assert_null(train);
  assert_null(eval);
  dt_error_clear();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels), cmocka_unit_test(test_without_labels)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
