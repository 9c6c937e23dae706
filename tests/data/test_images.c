/* Folders of images: classes, labels and order; what is refused; the survey against sums of the samples themselves, for any
 * number of ranks and threads, and its cache. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/image_set.h"
#include "data/survey.h"
#include "support/choice.h"
#include "support/columns.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/pictures.h"
#include "support/unit.h"

enum { SIDE = 8, ELEMENTS = 3 * SIDE * SIDE };

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  if (dt_test_dir_create(dir) != DT_OK) return -1;
  setenv("XDG_CACHE_HOME", dir, 1);
  return 0;
}

static int remove_dir(void **state) {
  dt_test_tree_remove(dir);
  return 0;
}

static void make_folder(const char *name) {
  char path[2 * DT_TEST_PATH];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  mkdir(path, 0700);
}

/* A picture of one colour, so that it tells where it went. */
static void put(const char *name, uint8_t red, uint8_t green, uint8_t blue) {
  const uint8_t colour[] = {red, green, blue};
  dt_image image = {.width = 10, .height = 9, .channels = 3, .pixels = malloc(270)};
  size_t bytes;
  for (int i = 0; i < 270; i++) image.pixels[i] = colour[i % 3];
  uint8_t *png = dt_test_png(&image, &bytes);
  assert_int_equal(dt_test_write_file(dir, name, png, bytes), DT_OK);
  free(png);
  free(image.pixels);
}

static void make_tree(void) {
  const char *const folders[] = {"set", "set/b", "set/a", "set/a/deep", "set/c c"};
  for (int i = 0; i < 5; i++) make_folder(folders[i]);
  put("set/b/2.png", 20, 0, 0);
  put("set/b/10.PNG", 10, 0, 0);
  put("set/a/x.png", 1, 0, 0);
  put("set/a/deep/y.jpg", 2, 0, 0); /* a PNG, whatever its name says */
  put("set/c c/1.png", 3, 0, 0);
  put("set/c c/.hidden.png", 99, 0, 0);
  assert_int_equal(dt_test_write_file(dir, "set/README", "notes", 5), DT_OK);
}

static dt_status load(const char *folder, bool skip, dt_strings classes, dt_dataset **out) {
  dt_choice choice = dt_test_choice(dt_format_kinds, "images");
  int64_t side = SIDE;
  *(const char **)dt_test_choice_value(&choice, "folder") = folder;
  *(dt_ints *)dt_test_choice_value(&choice, "size") = (dt_ints){&side, 1};
  *(int64_t *)dt_test_choice_value(&choice, "channels") = 3;
  *(int *)dt_test_choice_value(&choice, "broken") = skip;
  dt_error_clear();
  const dt_status status = dt_dataset_load(&choice, &(dt_data_request){.dir = dir, .classes = classes}, out);
  dt_test_choice_destroy(&choice);
  return status;
}

static dt_dataset *load_whole(const char *folder, bool skip, dt_strings classes) {
  dt_dataset *set;
  if (load(folder, skip, classes, &set) != DT_OK) fail_msg("%s", dt_error_text());
  return set;
}

static void check_refused(const char *folder, dt_strings classes, const char *expected) {
  dt_dataset *set = NULL;
  assert_int_equal(load(folder, false, classes, &set), DT_DATA);
  if (strstr(dt_error_text(), expected) == NULL) fail_msg("\"%s\" has no \"%s\"", dt_error_text(), expected);
}

static int first_pixel(const dt_dataset *set, int64_t i) {
  uint8_t sample[ELEMENTS];
  assert_int_equal(dt_dataset_read(set, 0, i, 0, sample), DT_OK);
  return sample[0];
}

/* Class by class in the order of bytes, within a class by path; with data.classes the same samples, other labels. */
static void test_classes_and_order(void **state) {
  static const int pixels[] = {2, 1, 10, 20, 3}, labels[] = {0, 0, 1, 1, 2}, listed[] = {3, 3, 0, 0, 1};
  const char *names[] = {"b", "c c", "none", "a"};
  make_tree();
  dt_dataset *set = load_whole("set", false, (dt_strings){0}), *other = load_whole("set", false, (dt_strings){names, 4});
  assert_int_equal(set->count, 5);
  assert_memory_equal(set->classes, "a\0b\0c c\0", 9);
  assert_null(other->classes);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(first_pixel(set, i), pixels[i]);
    assert_int_equal(data_labels(set)[i], labels[i]);
    assert_int_equal(first_pixel(other, i), pixels[i]);
    assert_int_equal(data_labels(other)[i], listed[i]);
  }
  assert_true(set->hash != other->hash);
  dt_dataset_destroy(&other);
  dt_dataset_destroy(&set);
  check_refused("set", (dt_strings){names, 3}, "set: found class a, expected one of the 3 of data.classes");
}

/* More classes than the first table of names has room for, met in any order. */
static void test_many_classes(void **state) {
  dt_image_set set = {.count = 0};
  for (int round = 0; round < 2; round++) {
    for (int c = 0; c < 3000; c++) {
      char name[32];
      int32_t number;
      snprintf(name, sizeof name, "class %d", (c * 7) % 3000);
      assert_int_equal(dt_image_set_class(&set, name, &number), DT_OK);
      assert_int_equal(number, c);
    }
  }
  assert_int_equal(set.class_count, 3000);
  dt_image_set_free(&set);
}

static void test_without_classes(void **state) {
  make_folder("flat");
  put("flat/b.png", 5, 0, 0);
  put("flat/a.png", 6, 0, 0);
  dt_dataset *set = load_whole("flat", false, (dt_strings){0});
  assert_int_equal(set->fields.count, 1);
  assert_int_equal(first_pixel(set, 0), 6);
  assert_int_equal(first_pixel(set, 1), 5);
  dt_dataset_destroy(&set);
}

static void make_link(const char *to, const char *name) {
  char path[2 * DT_TEST_PATH];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  assert_int_equal(symlink(to, path), 0);
}

static void test_refused(void **state) {
  make_folder("odd");
  check_refused("odd", (dt_strings){0}, "odd: found no image, expected one or more");
  check_refused("nowhere", (dt_strings){0}, "nowhere: could not be opened");
  make_folder("odd/k");
  put("odd/k/1.png", 0, 0, 0);
  put("odd/beside.png", 0, 0, 0);
  check_refused("odd", (dt_strings){0}, "odd/beside.png: found an image beside the folders of classes");
  dt_dataset *set;
  char path[2 * DT_TEST_PATH];
  snprintf(path, sizeof path, "%s/odd/beside.png", dir);
  unlink(path);
  make_link("/etc/passwd", "odd/k/out.png");
  check_refused("odd", (dt_strings){0}, "odd/k/out.png: could not be opened: a link that leads out of the folder");
  snprintf(path, sizeof path, "%s/odd/k/out.png", dir);
  unlink(path);
  make_link("1.png", "odd/k/in.png");
  make_link("k", "odd/m");
  check_refused("odd", (dt_strings){0}, "odd/m: found a link, expected a folder for each class");
  snprintf(path, sizeof path, "%s/odd/m", dir);
  unlink(path);
  set = load_whole("odd", false, (dt_strings){0});
  assert_int_equal(set->count, 2);
  dt_dataset_destroy(&set);
  assert_int_equal(dt_test_write_file(dir, "odd/k/anim", "GIF89a..", 8), DT_OK);
  check_refused("odd", (dt_strings){0}, "odd/k/anim: found a file of the kind GIF, expected JPEG and PNG images alone");
  assert_int_equal(dt_test_write_file(dir, "odd/k/anim", "hello", 5), DT_OK);
  check_refused("odd", (dt_strings){0}, "odd/k/anim: found a file that is no image");
}

/* --- the survey --- */

enum { IMAGES = 23 };

/* Of which the fourth, the eleventh and the last are broken. */
static void make_survey_set(void) {
  make_folder("many");
  make_folder("many/one");
  for (int i = 0; i < IMAGES; i++) {
    char name[64];
    snprintf(name, sizeof name, "many/one/%02d.png", i);
    put(name, (uint8_t)(10 * i), (uint8_t)(7 * i + 3), 200);
    if (i == 3) dt_test_write_file(dir, name, "", 0);
    if (i == 10) dt_test_write_file(dir, name, "\xff\xd8\xff\xe0", 4);
    if (i == IMAGES - 1) dt_test_write_file(dir, name, "hello", 5);
  }
}

static void add(dt_survey *sum, const dt_survey *part) {
  for (int64_t w = 0; w < sum->words; w++) sum->word[w] += part->word[w];
}

static dt_survey survey_of(const dt_dataset *set, int size, int threads) {
  dt_survey sum;
  assert_int_equal(dt_survey_create(set, 0, &sum), DT_OK);
  for (int rank = 0; rank < size; rank++) {
    dt_survey part;
    assert_int_equal(dt_survey_create(set, 0, &part), DT_OK);
    assert_int_equal(dt_survey_run(&part, set, 0, rank, size, threads), DT_OK);
    assert_int_equal(part.failed_at, INT64_MAX);
    add(&sum, &part);
    dt_survey_free(&part);
  }
  return sum;
}

static void test_survey_of_any_ranks(void **state) {
  make_survey_set();
  dt_dataset *set = load_whole("many", true, (dt_strings){0});
  dt_survey first = survey_of(set, 1, 1);
  for (int size = 1; size <= 5; size++) {
    dt_survey other = survey_of(set, size, 1 + size % 3);
    assert_memory_equal(first.word, other.word, (size_t)first.words * sizeof *first.word);
    dt_survey_free(&other);
  }
  assert_int_equal(dt_survey_read(&first), IMAGES - 3);
  assert_int_equal(dt_survey_apply(&first, set, 0, "a note"), DT_OK);
  assert_int_equal(set->count, IMAGES - 3);
  double mean[3], std[3], sums[3] = {0};
  dt_dataset_statistics(set, 0, mean, std);
  for (int64_t i = 0; i < set->count; i++) {
    uint8_t sample[ELEMENTS];
    assert_int_equal(dt_dataset_read(set, 0, i, 0, sample), DT_OK);
    for (int c = 0; c < 3; c++) sums[c] += sample[c * SIDE * SIDE] / 255.0 / (IMAGES - 3);
  }
  for (int c = 0; c < 3; c++) assert_true(mean[c] > sums[c] - 1e-9 && mean[c] < sums[c] + 1e-9);
  assert_true(std[2] == 1); /* constant: dividing is safe */
  assert_string_equal(set->note, "a note");
  dt_survey_free(&first);
  dt_dataset_destroy(&set);
}

/* The first of all that fail, whoever reads it. */
static void test_failure(void **state) {
  dt_dataset *set = load_whole("many", false, (dt_strings){0});
  for (int threads = 1; threads <= 4; threads++) {
    dt_survey survey;
    assert_int_equal(dt_survey_create(set, 0, &survey), DT_OK);
    assert_int_equal(dt_survey_run(&survey, set, 0, 0, 1, threads), DT_OK);
    assert_int_equal(survey.failed_at, 3);
    assert_non_null(strstr(survey.failure, "many/one/03.png: found an empty file, expected a whole JPEG or PNG image"));
    dt_survey_free(&survey);
  }
  dt_dataset_destroy(&set);
}

static void test_cache(void **state) {
  dt_dataset *set = load_whole("many", true, (dt_strings){0});
  const uint64_t key = dt_survey_key(set, 0);
  dt_survey made = survey_of(set, 1, 1), found;
  char *note, path[2 * DT_TEST_PATH];
  assert_int_equal(dt_survey_create(set, 0, &found), DT_OK);
  assert_false(dt_survey_recall(&found, key, &note));
  dt_survey_remember(&made, key, "3 are broken");
  assert_false(dt_survey_recall(&found, key + 1, &note));
  assert_true(dt_survey_recall(&found, key, &note));
  assert_string_equal(note, "3 are broken");
  free(note);
  assert_memory_equal(found.word, made.word, (size_t)made.words * sizeof *made.word);
  snprintf(path, sizeof path, "%s/dtrain/survey-%016llx", dir, (unsigned long long)key);
  FILE *file = fopen(path, "r+b");
  assert_non_null(file);
  fseek(file, 0, SEEK_END);
  const long bytes = ftell(file);
  for (long at = 0; at < bytes; at++) { /* every byte of it counts */
    fseek(file, at, SEEK_SET);
    const int byte = fgetc(file);
    fseek(file, at, SEEK_SET);
    fputc(byte ^ 0x10, file);
    fflush(file);
    if (dt_survey_recall(&found, key, &note)) fail_msg("byte %ld was not missed", at);
    fseek(file, at, SEEK_SET);
    fputc(byte, file);
    fflush(file);
  }
  fclose(file);
  assert_true(dt_survey_recall(&found, key, &note));
  free(note);
  assert_int_equal(truncate(path, bytes - 1), 0);
  assert_false(dt_survey_recall(&found, key, &note));
  /* Another time of a file, and the key is another; the hash is not. */
  put("many/one/05.png", 50, 38, 200);
  dt_dataset *later = load_whole("many", true, (dt_strings){0});
  assert_int_equal(later->hash, set->hash);
  assert_true(dt_survey_key(later, 0) != key);
  dt_dataset_destroy(&later);
  dt_survey_free(&made);
  dt_survey_free(&found);
  dt_dataset_destroy(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_many_classes), cmocka_unit_test(test_classes_and_order),   cmocka_unit_test(test_without_classes),
      cmocka_unit_test(test_refused),      cmocka_unit_test(test_survey_of_any_ranks), cmocka_unit_test(test_failure),
      cmocka_unit_test(test_cache),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
