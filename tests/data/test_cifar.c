/* CIFAR-10 and CIFAR-100 batches made on the fly: good ones, and one of each way to be bad. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sets.h"
#include "support/choice.h"
#include "support/columns.h"
#include "support/files.h"
#include "support/unit.h"

enum { RECORD = 3073, RECORDS = 4 };

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

/* RECORDS records that no other batch has; noise, as photographs hardly pack. */
static uint8_t *make_batch(int batch) {
  uint8_t *bytes = malloc(RECORDS * RECORD);
  for (int i = 0; i < RECORDS * RECORD; i++)
    bytes[i] = (uint8_t)dt_rng(1, DT_RNG_INIT, (uint64_t)batch, (uint64_t)i, 0).word[0];
  for (int r = 0; r < RECORDS; r++) bytes[r * RECORD] = (uint8_t)((batch + r) % 10);
  return bytes;
}

static void write_batch(const char *name, const uint8_t *bytes, size_t count) {
  assert_int_equal(dt_test_write_file(dir, name, bytes, count), DT_OK);
}

static dt_status load(const char **names, int count, dt_dataset **out) {
  dt_choice choice = dt_test_choice(dt_format_kinds, "cifar10");
  assert_non_null(choice.kind);
  *(dt_strings *)dt_test_choice_value(&choice, "files") = (dt_strings){names, count};
  dt_error_clear();
  const dt_status status = dt_dataset_load(&choice, &(dt_data_request){.dir = dir}, out);
  dt_test_choice_destroy(&choice);
  return status;
}

static void test_batches_are_joined(void **state) {
  uint8_t *first = make_batch(1), *second = make_batch(2);
  write_batch("one", first, RECORDS * RECORD);
  assert_int_equal(dt_test_write_gzip(dir, "two", second, 3 * RECORD), DT_OK);
  const char *names[] = {"one.gz", "two"}; /* found without .gz */
  dt_dataset *dataset;
  assert_int_equal(load(names, 2, &dataset), DT_OK);
  assert_int_equal(dataset->count, 7);
  assert_int_equal(data_field(dataset, "input")->shape.ndim, 3);
  assert_int_equal(data_field(dataset, "input")->shape.dim[0], 3);
  assert_int_equal(data_field(dataset, "input")->shape.dim[1], 32);
  assert_int_equal(data_field(dataset, "input")->shape.dim[2], 32);
  for (int i = 0; i < 7; i++) {
    const uint8_t *record = i < RECORDS ? first + i * RECORD : second + (i - RECORDS) * RECORD;
    assert_int_equal(data_labels(dataset)[i], record[0]);
    assert_memory_equal(data_pixels(dataset) + i * (RECORD - 1), record + 1, RECORD - 1);
  }
  assert_non_null(strstr(dataset->source, "/one, "));
  dt_dataset_destroy(&dataset);
  free(first);
  free(second);
}

typedef struct bad_case {
  const char *name;
  size_t bytes;       /* of a file that begins like a good batch */
  int label;          /* of its record 2; -1 = as it is */
  const char *second; /* another file of the list; NULL = none */
  bool packed;
  const char *fragments[2];
} bad_case;

static const bad_case bad[] = {
    {"0 bytes", 0, -1, NULL, false, {"/bad: found an empty file", "expected CIFAR-10 records of 3073 bytes"}},
    {"cut",
     RECORDS *RECORD - 1,
     -1,
     NULL,
     false,
     {"/bad: found 12291 bytes (3 records and 3072 bytes)", "expected a multiple of 3073"}},
    {"too long",
     2 * RECORD + 100,
     -1,
     NULL,
     false,
     {"/bad: found 6246 bytes (2 records and 100 bytes)", "expected a multiple of 3073"}},
    {"cifar-100", 3 * 3074, -1, NULL, false, {"/bad: found records of 3074 bytes, as CIFAR-100 has them", "expected CIFAR-10"}},
    {"label 10", 3 * RECORD, 10, NULL, false, {"/bad: found label 10 of record 2 at offset 6146", "expected 0 to 9"}},
    {"label 255", 3 * RECORD, 255, NULL, false, {"/bad: found label 255 of record 2", "expected 0 to 9"}},
    {"same file twice", 3 * RECORD, -1, "bad", false, {"/bad: found the same content as in", "expected every batch once"}},
    {"a copy", RECORDS *RECORD, -1, "copy", false, {"/copy: found the same content as in", "/bad, expected every batch once"}},
    {"packed copy", RECORDS *RECORD, -1, "copy", true, {"/copy: found the same content as in", "/bad, expected"}},
    {"missing", RECORD, -1, "nowhere", false, {"/nowhere: could not be opened: No such file or directory", ""}},
    {"packed: empty", 0, -1, NULL, true, {"/bad: found an empty file", "expected CIFAR-10"}},
    {"packed: cut", RECORD - 1, -1, NULL, true, {"/bad: found 3072 bytes", "expected a multiple of 3073"}},
};

static void expect_refusal(const char *name, dt_status status, const char *const *fragments, int count) {
  if (status != DT_DATA) fail_msg("%s: status %s, message \"%s\"", name, dt_status_name(status), dt_error_text());
  for (int i = 0; i < count; i++) {
    if (strstr(dt_error_text(), fragments[i]) == NULL) fail_msg("%s: \"%s\" lacks \"%s\"", name, dt_error_text(), fragments[i]);
  }
}

static void test_bad_files(void **state) {
  uint8_t *copy = make_batch(1);
  write_batch("copy", copy, RECORDS * RECORD);
  free(copy);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    uint8_t *bytes = make_batch(1);
    if (bad[i].label >= 0) bytes[2 * RECORD] = (uint8_t)bad[i].label;
    if (bad[i].packed) {
      assert_int_equal(dt_test_write_gzip(dir, "bad", bytes, bad[i].bytes), DT_OK);
    } else {
      write_batch("bad", bytes, bad[i].bytes);
    }
    free(bytes);
    const char *names[] = {"bad", bad[i].second};
    dt_dataset *dataset = NULL;
    expect_refusal(bad[i].name, load(names, bad[i].second != NULL ? 2 : 1, &dataset), bad[i].fragments, 2);
    assert_null(dataset);
  }
}

/* Zeros are good labels and good pixels, so that only the size can tell a bomb. */
static void test_gzip_bomb(void **state) {
  static const char *const fragments[] = {"/bomb: found", "bytes of gzip data that unpack to more than",
                                          "expected photographs"};
  const size_t bytes = 8192 * RECORD;
  uint8_t *zeros = calloc(bytes, 1);
  assert_int_equal(dt_test_write_gzip(dir, "bomb", zeros, bytes), DT_OK);
  free(zeros);
  const char *names[] = {"bomb"};
  dt_dataset *dataset = NULL;
  expect_refusal("bomb", load(names, 1, &dataset), fragments, 3);
}

/* Records of a coarse and a fine label; a file of the one format is none of the other. */
static void test_cifar100(void **state) {
  enum { RECORD_100 = RECORD + 1 };
  uint8_t *bytes = calloc(RECORDS, RECORD_100);
  char text[1024];
  for (int r = 0; r < RECORDS; r++) {
    bytes[r * RECORD_100] = (uint8_t)(19 - r);
    bytes[r * RECORD_100 + 1] = (uint8_t)(99 - r);
    for (int i = 2; i < RECORD_100; i++) bytes[r * RECORD_100 + i] = (uint8_t)(r + i);
  }
  for (int form = 0; form < 3; form++) {
    dt_config *config;
    dt_dataset *set = NULL;
    write_batch("train.bin", bytes, RECORDS * RECORD_100);
    snprintf(text, sizeof text,
             "name: c\ndata: {dir: %s, train: {%s}}\nmodel: {input: [3, 32, 32], layers: [flatten, linear: 100]}\n"
             "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
             dir,
             form == 0   ? "cifar100: train.bin"
             : form == 1 ? "cifar100: {files: train.bin, coarse: true}"
                         : "cifar10: train.bin");
    if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
    dt_error_clear();
    const dt_status status = dt_sets_load(dt_config_spec(config), &set, NULL);
    dt_config_destroy(&config);
    if (form == 2) {
      assert_int_equal(status, DT_DATA);
      assert_non_null(
          strstr(dt_error_text(), "found records of 3074 bytes, as CIFAR-100 has them; expected CIFAR-10 records of 3073"));
      break;
    }
    assert_int_equal(status, DT_OK);
    assert_int_equal(set->count, RECORDS);
    for (int r = 0; r < RECORDS; r++) {
      assert_int_equal(data_labels(set)[r], (form == 0 ? 99 : 19) - r);
      assert_memory_equal(data_pixels(set) + r * (RECORD - 1), bytes + r * RECORD_100 + 2, RECORD - 1);
    }
    dt_dataset_destroy(&set);
  }
  free(bytes);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_batches_are_joined),
      cmocka_unit_test(test_bad_files),
      cmocka_unit_test(test_gzip_bomb),
      cmocka_unit_test(test_cifar100),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
