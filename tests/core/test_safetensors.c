/* safetensors against a file written by hand from the specification, and against headers that lie. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checkpoint/checkpoint.h"
#include "core/file.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

enum { ROOM = 4096 };

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_tree_remove(dir);
  return 0;
}

static int clear_error(void **state) {
  dt_error_clear();
  return 0;
}

/* The 8-byte length, the header, the data: what the specification says, and nothing of the code under test. */
static size_t build(const char *header, const void *data, size_t bytes, uint8_t out[ROOM]) {
  size_t length = strlen(header);
  memset(out, 0, 8);
  out[0] = (uint8_t)(length & 255);
  out[1] = (uint8_t)(length >> 8);
  memcpy(out + 8, header, length);
  if (data != NULL) memcpy(out + 8 + length, data, bytes);
  if (data == NULL) memset(out + 8 + length, 0, bytes);
  return 8 + length + bytes;
}

/* Blanks up to a multiple of 8 follow in the file. */
static const char known_header[] =
    "{\"m.bias\":{\"dtype\":\"F64\",\"shape\":[1],\"data_offsets\":[0,8]},"
    "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[8,16]}}";
static const uint8_t known_data[16] = {0, 0, 0, 0, 0, 0, 0xf0, 0x3f, 0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0}; /* 1.0; 1.0f, -2.0f */

static size_t known_file(uint8_t out[ROOM]) {
  char padded[ROOM];
  snprintf(padded, sizeof padded, "%s", known_header);
  while (strlen(padded) % 8 != 0) strcat(padded, " ");
  return build(padded, known_data, sizeof known_data, out);
}

static void writes_what_the_specification_says(void **state) {
  float a[2] = {1, -2};
  double b = 1;
  dt_tensor_ref refs[] = {{.name = "a", .dtype = DT_F32, .shape = {2, {2, 1}}, .data = a},
                          {.name = "m.bias", .dtype = DT_F64, .shape = {1, {1}}, .data = &b}};
  uint8_t expected[ROOM], *found;
  size_t bytes;
  int fd = open(dir, O_RDONLY | O_DIRECTORY);
  assert_int_equal(dt_safetensors_write(fd, "one", refs, 2), DT_OK);
  assert_int_equal(dt_file_read(fd, "one", ROOM, &found, &bytes), DT_OK);
  assert_int_equal(bytes, known_file(expected));
  assert_memory_equal(found, expected, bytes);
  free(found);
  close(fd);
}

static void reads_what_the_specification_says(void **state) {
  uint8_t file[ROOM];
  dt_tensor_ref *refs;
  int count;
  float a[2];
  size_t bytes = known_file(file);
  assert_int_equal(dt_safetensors_parse("known", file, bytes, &refs, &count), DT_OK);
  assert_int_equal(count, 2);
  assert_string_equal(refs[0].name, "m.bias");
  assert_string_equal(refs[1].name, "a");
  assert_int_equal(refs[1].shape.ndim, 2);
  assert_int_equal(refs[1].shape.dim[0], 2);
  memcpy(a, refs[1].data, sizeof a);
  assert_true(a[0] == 1 && a[1] == -2);
  free(refs);
}

static void accepts_metadata_and_no_tensors(void **state) {
  uint8_t file[ROOM];
  dt_tensor_ref *refs;
  int count;
  size_t bytes = build("{\"__metadata__\":{\"format\":\"pt\"}}", NULL, 0, file);
  assert_int_equal(dt_safetensors_parse("empty", file, bytes, &refs, &count), DT_OK);
  assert_int_equal(count, 0);
  free(refs);
}

/* header, bytes of data, what the message must say */
static const struct {
  const char *header;
  size_t bytes;
  const char *expected;
} lies[] = {
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, "ends at 8"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 9, "after the last tensor"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[4,12]}}", 12, "hole of 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":["
     "8,12]}}",
     12, "hole of 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":["
     "4,12]}}",
     12, "overlaps"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "ascending"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "ascending"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8, "two ascending"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551615]}}", 8, "big integer"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8, "expected 12"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]}}", 0, "positive"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "positive"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "overflow"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "7 dimensions"},
    {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype F33"},
    {"{\"a\":{\"dtype\":200,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype missing"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "expected an object"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, "expected an object"},
    {"{\"../x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "name"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "name"},
    {"{\"a\\u0000b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "NUL"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":["
     "4,8]}}",
     8, "duplicate"},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":["
     "1,5]}}",
     5, "aligned"},
    {"{\"a\":1}", 4, "expected an object"},
    {"{\"a\":", 4, "header offset"},
    {"[1,2,3]", 4, "not a safetensors file"},
};

static void refuses_headers_that_lie(void **state) {
  for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    uint8_t file[ROOM];
    dt_tensor_ref *refs;
    int count;
    size_t bytes = build(lies[i].header, NULL, lies[i].bytes, file);
    dt_error_clear();
    assert_int_equal(dt_safetensors_parse("lie", file, bytes, &refs, &count), DT_CHECKPOINT);
    if (strstr(dt_error_text(), lies[i].expected) == NULL || strncmp(dt_error_text(), "lie: ", 5) != 0)
      fail_msg("case %zu: \"%s\", expected \"%s\"", i, dt_error_text(), lies[i].expected);
    assert_null(refs);
  }
}

static void refuses_wild_lengths_and_every_truncation(void **state) {
  static const uint64_t lengths[] = {0, 1, UINT64_MAX, (uint64_t)1 << 63, (uint64_t)1 << 32, 129, 4000};
  uint8_t file[ROOM];
  dt_tensor_ref *refs;
  int count;
  size_t bytes = known_file(file);
  for (size_t cut = 0; cut < bytes; cut++) {
    dt_error_clear();
    assert_int_equal(dt_safetensors_parse("cut", file, cut, &refs, &count), DT_CHECKPOINT);
  }
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    memcpy(file, &lengths[i], 8);
    dt_error_clear();
    assert_int_equal(dt_safetensors_parse("length", file, bytes, &refs, &count), DT_CHECKPOINT);
  }
}

static void names_other_formats(void **state) {
  static const struct {
    const char *head, *expected;
  } formats[] = {{"PK\x03\x04........", "zip"},
                 {"\x80\x02........", "pickle"},
                 {"GGUF\x03.......", "GGUF"},
                 {"\x08\x07\x12\x07pytorch", "ONNX"}};
  for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
    dt_tensor_ref *refs;
    int count;
    dt_error_clear();
    assert_int_equal(dt_safetensors_parse("f", (const uint8_t *)formats[i].head, 11, &refs, &count), DT_CHECKPOINT);
    assert_non_null(strstr(dt_error_text(), formats[i].expected));
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup(writes_what_the_specification_says, clear_error),
      cmocka_unit_test_setup(reads_what_the_specification_says, clear_error),
      cmocka_unit_test_setup(accepts_metadata_and_no_tensors, clear_error),
      cmocka_unit_test_setup(refuses_headers_that_lie, clear_error),
      cmocka_unit_test_setup(refuses_wild_lengths_and_every_truncation, clear_error),
      cmocka_unit_test_setup(names_other_formats, clear_error),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
