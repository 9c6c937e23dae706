/* Images in tar archives: each header here is put together by hand, as POSIX writes it down; nothing is read that lies outside,
 * and nothing is believed that the file does not hold. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/store.h"
#include "data/tar_walk.h"
#include "support/choice.h"
#include "support/columns.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/pictures.h"
#include "support/unit.h"

enum { BLOCK = 512, SIDE = 6, ELEMENTS = 3 * SIDE * SIDE, ROOM = 1 << 20 };

static char dir[DT_TEST_PATH];
static uint8_t tar[ROOM];
static size_t used;

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_tree_remove(dir);
  return 0;
}

static void sum_header(uint8_t *h) {
  unsigned sum = 0;
  memset(h + 148, ' ', 8);
  for (int i = 0; i < BLOCK; i++) sum += h[i];
  snprintf((char *)h + 148, 8, "%06o", sum);
}

/* A header, and its body. Returns where the header is. */
static uint8_t *put(const char *name, char type, const void *body, size_t bytes) {
  uint8_t *h = tar + used;
  memset(h, 0, BLOCK);
  memcpy(h, name, strlen(name) < 100 ? strlen(name) : 100);
  snprintf((char *)h + 100, 8, "0000644");
  snprintf((char *)h + 124, 12, "%011zo", bytes);
  h[156] = (uint8_t)type;
  memcpy(h + 257, "ustar\00000", 8);
  sum_header(h);
  used += BLOCK;
  memset(tar + used, 0, (bytes + BLOCK - 1) / BLOCK * BLOCK);
  if (bytes > 0) memcpy(tar + used, body, bytes);
  used += (bytes + BLOCK - 1) / BLOCK * BLOCK;
  return h;
}

static void put_picture(const char *name, uint8_t colour) {
  dt_image image = {.width = 7, .height = 8, .channels = 3, .pixels = malloc(168)};
  size_t bytes;
  memset(image.pixels, colour, 168);
  uint8_t *png = dt_test_png(&image, &bytes);
  put(name, '0', png, bytes);
  free(png);
  free(image.pixels);
}

static void put_pax(const char *key, const char *value) {
  char text[600];
  int length = (int)(strlen(key) + strlen(value)) + 5; /* two digits, a blank, "=" and the end */
  if (length > 99) length++;
  snprintf(text, sizeof text, "%d %s=%s\n", length, key, value);
  assert_int_equal(strlen(text), length);
  put("PaxHeader", 'x', text, strlen(text));
}

static void end(const char *file) {
  memset(tar + used, 0, 2 * BLOCK);
  assert_int_equal(dt_test_write_file(dir, file, tar, used + 2 * BLOCK), DT_OK);
  used = 0;
}

static dt_status load(const char *const *files, int count, const char *folder, dt_strings classes, bool skip,
                      dt_dataset **out) {
  dt_choice choice = dt_test_choice(dt_format_kinds, "tar");
  int64_t side = SIDE;
  *(dt_strings *)dt_test_choice_value(&choice, "files") = (dt_strings){(const char **)files, count};
  *(const char **)dt_test_choice_value(&choice, "folder") = folder;
  *(dt_ints *)dt_test_choice_value(&choice, "size") = (dt_ints){&side, 1};
  *(int64_t *)dt_test_choice_value(&choice, "channels") = 3;
  *(int *)dt_test_choice_value(&choice, "broken") = skip;
  dt_error_clear();
  const dt_status status = dt_dataset_load(&choice, &(dt_data_request){.dir = dir, .classes = classes}, out);
  dt_test_choice_destroy(&choice);
  return status;
}

static dt_dataset *load_whole(const char *file, const char *folder, dt_strings classes) {
  dt_dataset *set;
  if (load(&file, 1, folder, classes, false, &set) != DT_OK) fail_msg("%s", dt_error_text());
  return set;
}

static void check_refused(const char *file, const char *expected) {
  dt_dataset *set = NULL;
  const dt_status status = load(&file, 1, "", (dt_strings){0}, false, &set);
  if (status != DT_DATA || strstr(dt_error_text(), expected) == NULL)
    fail_msg("status %d: \"%s\" has no \"%s\"", status, dt_error_text(), expected);
}

static void check_samples(const dt_dataset *set, const int *pixels, const int *labels, int count) {
  assert_int_equal(set->count, count);
  for (int i = 0; i < count; i++) {
    uint8_t sample[ELEMENTS];
    if (dt_dataset_read(set, 0, i, 0, sample) != DT_OK) fail_msg("%s", dt_error_text());
    assert_int_equal(sample[0], pixels[i]);
    if (labels != NULL) assert_int_equal(data_labels(set)[i], labels[i]);
  }
}

/* Names of every kind; what is no image, or no regular member, is passed over. */
static void test_names(void **state) {
  static const int pixels[] = {1, 2, 3, 4, 5}, labels[] = {0, 0, 0, 1, 1};
  char deep[300] = "./a/", longer[300] = "b/";
  memset(deep + 4, 'd', 150);
  strcpy(deep + 154, ".png");
  memset(longer + 2, 'e', 200);
  strcpy(longer + 202, ".png");
  put("./", '5', NULL, 0);
  put("./a", '5', NULL, 0);
  put_picture("b/1.png", 4);
  put_pax("path", longer);
  put_picture("b/cut", 5);
  put_picture(".//.///a/1.png", 1);
  put("././@LongLink", 'L', deep, strlen(deep) + 1);
  put_picture("./a/cut", 3);
  uint8_t *h = tar + used; /* the folder in `prefix` */
  put_picture("2.png", 2);
  memcpy(h + 345, "a", 1);
  sum_header(h);
  put("a/notes.txt", '0', "hello", 5);
  put("a/.hidden.png", '0', "hello", 5);
  put("a/link.png", '2', NULL, 0);
  put("a/pipe.png", '6', NULL, 0);
  put("global", 'g', "12 a=b", 0);
  end("names.tar");
  dt_dataset *set = load_whole("names.tar", "", (dt_strings){0});
  check_samples(set, pixels, labels, 5);
  assert_memory_equal(set->classes, "a\0b\0", 5);
  dt_dataset_destroy(&set);
}

static void test_folder_and_files(void **state) {
  static const int pixels[] = {1, 4, 2}, labels[] = {1, 1, 0};
  const char *files[] = {"f0.tar", "f1.tar"}, *names[] = {"y", "x"};
  put_picture("train/x/1.png", 1);
  put_picture("train/y/1.png", 2);
  put_picture("validation/x/1.png", 3);
  end("f0.tar");
  put_picture("train/x/1.png", 4); /* of another archive: another image */
  end("f1.tar");
  dt_dataset *set;
  assert_int_equal(load(files, 2, "train/", (dt_strings){names, 2}, false, &set), DT_OK);
  check_samples(set, pixels, labels, 3);
  dt_dataset_destroy(&set);
}

/* WebDataset: labels are numbers, or names of classes. */
static void test_pairs(void **state) {
  static const int pixels[] = {8, 7, 9}, labels[] = {10, 2, 2}, named[] = {1, 0, 0};
  const char *names[] = {"2", "10"};
  put("000.cls", '0', "2\n", 2);
  put_picture("000.png", 7);
  put_picture("001.seg.png", 8);
  put("001.cls", '0', "10", 2);
  put("002.cls", '0', "2", 1);
  put_picture("002.png", 9);
  put("002.json", '0', "{}", 2);
  const size_t whole = used;
  end("pairs.tar");
  dt_dataset *set = load_whole("pairs.tar", "", (dt_strings){0});
  check_samples(set, pixels, labels, 3);
  assert_null(set->classes);
  dt_dataset_destroy(&set);
  set = load_whole("pairs.tar", "", (dt_strings){names, 2});
  check_samples(set, pixels, named, 3);
  dt_dataset_destroy(&set);
  /* Folders are no classes beside labels, and labels are numbers and no ranks of texts. */
  used = 0;
  put_picture("train/a/000.png", 7);
  put("train/a/000.cls", '0', "10", 2);
  put_picture("train/b/001.png", 8);
  put("train/b/001.cls", '0', "2", 1);
  end("folders.tar");
  set = load_whole("folders.tar", "", (dt_strings){0});
  assert_null(set->classes);
  for (int i = 0; i < 2; i++) {
    const int32_t label = data_labels(set)[i];
    assert_true(label == 10 || label == 2);
  }
  assert_true(data_labels(set)[0] != data_labels(set)[1]);
  dt_dataset_destroy(&set);
  put("000.cls", '0', "2\n", 2);
  put_picture("000.png", 7);
  put_picture("001.seg.png", 8);
  put("001.cls", '0', "10", 2);
  put("002.cls", '0', "2", 1);
  put_picture("002.png", 9);
  put("002.json", '0', "{}", 2);
  put_picture("003.png", 9);
  end("odd.tar");
  check_refused("odd.tar", "odd.tar/003.png: found no member of the same name and .cls beside it");
  used = whole;
  put("003.cls", '0', "2", 1);
  end("odd.tar");
  check_refused("odd.tar", "odd.tar/003.cls: found no image beside it");
  used = whole;
  put("002.cls", '0', "2", 1);
  end("odd.tar");
  check_refused("odd.tar", "odd.tar/002.cls: found twice");
}

static void test_refused_members(void **state) {
  static const struct {
    const char *name, *expected;
    char type;
  } cases[] = {{"../../etc/cron.d/x.png", "found member ../../etc/cron.d/x.png, which lies outside", '0'},
               {"a/../../x", "which lies outside", '2'},
               {"/abs/x.png", "which lies outside", '0'},
               {"a/..", "which lies outside", '5'},
               {"a/holes.png", "with holes (sparse)", 'S'},
               {"a/x.gif", "a.tar/a/x.gif: found a file of the kind GIF", '0'}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    put_picture("a/1.png", 1);
    put(cases[i].name, cases[i].type, "GIF89a..", 8);
    end("a.tar");
    check_refused("a.tar", cases[i].expected);
  }
  put_pax("GNU.sparse.major", "1");
  put_picture("a/1.png", 1);
  end("a.tar");
  check_refused("a.tar", "with holes (sparse)");
  put_picture("a/1.png", 1);
  put_picture("a/1.png", 2);
  end("a.tar");
  check_refused("a.tar", "found a.tar/a/1.png twice");
  put_picture("a/1.png", 1);
  put_picture("2.png", 2);
  end("a.tar");
  check_refused("a.tar", "a.tar/2.png: found an image that is in no folder beside others that are");
  put("a/notes", '0', "hello", 5);
  end("a.tar");
  check_refused("a.tar", "a.tar: found no image");
}

static void test_numbers(void **state) {
  static const struct {
    const char *size, *expected;
    size_t bytes;
  } cases[] = {{"77777777777", "but the archive ends after", 11},
               {"-0000000001", "a size that is no number", 11},
               {"00000000009", "a size that is no number", 11},
               {"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff", "but the archive ends after", 12},
               {"\x80\0\0\0\x80\0\0\0\0\0\0\0", "a size that is no number", 12},
               {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "a size that is no number", 12}};
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    put_picture("a/1.png", 1);
    uint8_t *h = put("a/2.png", '0', "hello", 5);
    memset(h + 124, 0, 12);
    memcpy(h + 124, cases[i].size, cases[i].bytes);
    sum_header(h);
    end("n.tar");
    check_refused("n.tar", cases[i].expected);
  }
  put_pax("size", "99999999999999999999");
  put_picture("a/1.png", 1);
  end("n.tar");
  check_refused("n.tar", "a size that is no number in the extended header");
  put("x", 'x', "nonsense", 8);
  end("n.tar");
  check_refused("n.tar", "that is no list of records");
  static char huge[DT_TAR_NAME_MAX + 100];
  memset(huge, 'h', sizeof huge - 1);
  put("././@LongLink", 'L', huge, sizeof huge);
  end("n.tar");
  check_refused("n.tar", "found a name of 4195 bytes");
  for (int i = 0; i < 100; i++) put("././@LongLink", 'L', "a/name.png", 11); /* the last one counts */
  put_picture("cut", 1);
  end("n.tar");
  dt_dataset *set = load_whole("n.tar", "", (dt_strings){0});
  assert_int_equal(set->count, 1);
  dt_dataset_destroy(&set);
}

static void test_damaged(void **state) {
  put_picture("a/1.png", 1);
  put_picture("a/2.png", 2);
  const size_t whole = used;
  uint8_t copy[5 * BLOCK];
  assert_int_equal(whole, 4 * BLOCK);
  memcpy(copy, tar, whole);
  end("d.tar");
  memset(copy + whole, 0, BLOCK);
  /* One block of zeros is enough; what is cut anywhere before is told. */
  for (size_t cut = 1; cut <= whole; cut += cut + 73 > whole && cut < whole ? whole - cut : 73) {
    assert_int_equal(dt_test_write_file(dir, "d.tar", copy, cut), DT_OK);
    check_refused("d.tar", "cut short");
  }
  assert_int_equal(dt_test_write_file(dir, "d.tar", copy, whole + BLOCK), DT_OK);
  dt_dataset *set = load_whole("d.tar", "", (dt_strings){0});
  assert_int_equal(set->count, 2);
  /* The archive shrinks behind our back. */
  assert_int_equal(dt_test_write_file(dir, "d.tar", copy, 3 * BLOCK + 9), DT_OK);
  uint8_t sample[ELEMENTS];
  assert_int_equal(dt_dataset_read(set, 0, 1, 0, sample), DT_DATA);
  dt_dataset_destroy(&set);
  copy[2 * BLOCK + 3] ^= 1;
  assert_int_equal(dt_test_write_file(dir, "d.tar", copy, whole), DT_OK);
  check_refused("d.tar", "d.tar: found no header of a tar archive at 1024: it is damaged");
  assert_int_equal(dt_test_write_file(dir, "d.tar", "", 0), DT_OK);
  check_refused("d.tar", "d.tar: found an empty file");
  memset(copy, 'x', sizeof copy);
  assert_int_equal(dt_test_write_file(dir, "d.tar", copy, whole), DT_OK);
  check_refused("d.tar", "found no header of a tar archive at 0, expected one");
  assert_int_equal(dt_test_write_gzip(dir, "d.tar", copy, sizeof copy), DT_OK);
  memcpy(copy, "\x1f\x8b\x08\0", 4);
  assert_int_equal(dt_test_write_file(dir, "d.tar", copy, whole), DT_OK);
  check_refused("d.tar", "found an archive packed by gzip, expected a plain one");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names),           cmocka_unit_test(test_folder_and_files), cmocka_unit_test(test_pairs),
      cmocka_unit_test(test_refused_members), cmocka_unit_test(test_numbers),          cmocka_unit_test(test_damaged),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
