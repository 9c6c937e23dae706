/* Arrays of NumPy in every type and order, written here byte by byte as numpy.lib.format describes it, zip files of them
 * written by libzip, and one of each way to be wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "data/sets.h"
#include "support/columns.h"
#include "support/files.h"
#include "support/unit.h"

enum { ROOM = 1 << 17 };
static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

/* --- writing --- */

typedef struct bytes {
  uint8_t data[ROOM];
  size_t count;
} bytes;

static void put_header(bytes *to, int version, const char *literal) {
  const size_t length = strlen(literal), head = version > 1 ? 12 : 10;
  memcpy(to->data, "\x93NUMPY", 6);
  to->data[6] = (uint8_t)version;
  to->data[7] = 0;
  for (size_t i = 8; i < head; i++) to->data[i] = (uint8_t)(length >> 8 * (i - 8));
  memcpy(to->data + head, literal, length);
  to->count = head + length;
}

/* Of a native value. */
static void put_element(bytes *to, const void *value, int size, bool big) {
  for (int i = 0; i < size; i++) to->data[to->count + (size_t)i] = ((const uint8_t *)value)[big ? size - 1 - i : i];
  to->count += (size_t)size;
}

static void write_npy(const char *name, const bytes *from) {
  assert_int_equal(dt_test_write_file(dir, name, from->data, from->count), DT_OK);
}

static dt_status load(const char *train, dt_dataset **out) {
  char text[2048];
  dt_config *config = NULL;
  snprintf(text, sizeof text,
           "name: a\ndata: {dir: %s, train: %s}\nmodel: {input: [1], layers: [linear: 2]}\n"
           "train: {global_batch: 8, epochs: 1}\nschedule: {lr: 0.1}\n",
           dir, train);
  dt_error_clear();
  if (dt_config_parse("c.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  const dt_status status = dt_sets_load(dt_config_spec(config), out, NULL);
  if (status == DT_OK) {
    dt_data_info info;
    assert_int_equal(dt_set_inspect(dt_config_spec(config), DT_SET_TRAIN, false, &info), DT_OK);
    assert_int_equal(info.count, (*out)->count);
    assert_true(dt_shape_equal(&info.fields.field[0].shape, &(*out)->fields.field[0].shape));
    assert_int_equal(info.fields.field[0].dtype, (*out)->fields.field[0].dtype);
  }
  dt_config_destroy(&config);
  return status;
}

/* --- types --- */

static const double numbers[] = {0, 1, 2, 100, 127, -1, -128, 0.5, -2.25, 40000, 65504};

/* The number in the type; false where the type lacks it. */
static bool encode(const char *type, double value, bool big, bytes *to) {
  const bool whole = value == (double)(int64_t)value;
#define TAKE(name, c_type, low, high)                                             \
  if (strcmp(type, name) == 0) {                                                  \
    const c_type x = (c_type)value;                                               \
    if (!(value >= (low) && value <= (high)) || (double)x != value) return false; \
    put_element(to, &x, sizeof x, big);                                           \
    return true;                                                                  \
  }
  TAKE("i1", int8_t, -128, 127)
  TAKE("u1", uint8_t, 0, 255)
  TAKE("i2", int16_t, -32768, 32767)
  TAKE("u2", uint16_t, 0, 65535)
  TAKE("i4", int32_t, -1e9, 1e9)
  TAKE("u4", uint32_t, 0, 1e9)
  TAKE("i8", int64_t, -1e15, 1e15)
  TAKE("u8", uint64_t, 0, 1e15)
  TAKE("f4", float, -1e30, 1e30)
  TAKE("f8", double, -1e300, 1e300)
#undef TAKE
  if (strcmp(type, "b1") == 0) {
    const uint8_t truth = value == 1;
    put_element(to, &truth, 1, big);
    return whole && (value == 0 || value == 1);
  }
  const _Float16 half = (_Float16)value;
  put_element(to, &half, 2, big);
  return (double)half == value;
}

/* Vectors [N, 1] of each type, in both orders of bytes, as floats. */
static void test_types(void **state) {
  static const char *const types[] = {"i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "b1"};
  static bytes file;
  for (size_t t = 0; t < 2 * sizeof types / sizeof types[0]; t++) {
    const char *type = types[t / 2];
    const bool big = t % 2 == 1;
    double expected[16];
    int count = 0;
    char literal[128];
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
      file.count = 0;
      if (encode(type, numbers[i], big, &file)) expected[count++] = numbers[i];
    }
    snprintf(literal, sizeof literal, "{'descr': '%c%s', 'fortran_order': False, 'shape': (%d, 1), }\n", big ? '>' : '<', type,
             count);
    put_header(&file, 1, literal);
    for (int i = 0; i < count; i++) encode(type, expected[i], big, &file);
    write_npy("x.npy", &file);
    dt_dataset *set;
    if (load("{npy: {fields: {input: {array: x.npy, type: f32}}}}", &set) != DT_OK) fail_msg("%s: %s", type, dt_error_text());
    assert_int_equal(set->count, count);
    for (int i = 0; i < count; i++) {
      if (((const float *)data_values(set, "input"))[i] != (float)expected[i]) fail_msg("%s: number %d", literal, i);
    }
    dt_dataset_destroy(&set);
    assert_int_equal(load("{npy: {fields: {input: x.npy}}}", &set), DT_OK);
    const dt_dtype dtype = type[0] == 'f' ? DT_F32 : strcmp(type, "u1") == 0 || type[0] == 'b' ? DT_U8 : DT_I32;
    assert_int_equal(data_field(set, "input")->dtype, dtype);
    dt_dataset_destroy(&set);
  }
}

/* Numbers 0, 1, 2 ... by their place in an array [2, 2, 3, 2] in the order of rows. */
static void test_orders(void **state) {
  static const int dim[] = {2, 2, 3, 2};
  static bytes file;
  for (int form = 0; form < 4; form++) {
    const bool columns = form & 1, last = form & 2;
    dt_dataset *set;
    put_header(&file, 1 + form % 3,
               columns ? "{\"descr\": \"|u1\", 'shape': (2, 2, 3, 2), 'fortran_order': True}"
                       : "{'shape':(2,2,3,2),'fortran_order':False,'descr':'|u1'}    \n");
    for (int e = 0; e < 24; e++) {
      int index[4], rest = e;
      for (int i = 0; i < 4; i++) {
        const int k = columns ? i : 3 - i;
        index[k] = rest % dim[k];
        rest /= dim[k];
      }
      file.data[file.count++] = (uint8_t)(((index[0] * 2 + index[1]) * 3 + index[2]) * 2 + index[3]);
    }
    write_npy("x.npy", &file);
    assert_int_equal(
        load(last ? "{npy: {fields: {input: {array: x.npy, image: channels_last}}}}" : "{npy: {fields: {input: x.npy}}}", &set),
        DT_OK);
    const dt_shape plain = {3, {2, 3, 2}}, turned = {3, {2, 2, 3}};
    assert_true(dt_shape_equal(&data_field(set, "input")->shape, last ? &turned : &plain));
    for (int e = 0; e < 24; e++) {
      /* [n][c][h][w] of channels_last is number ((n * 2 + h) * 3 + w) * 2 + c. */
      const int expected = last ? ((e / 12 * 2 + e / 3 % 2) * 3 + e % 3) * 2 + e / 6 % 2 : e;
      if (data_pixels(set)[e] != expected)
        fail_msg("form %d: element %d is %d, expected %d", form, e, data_pixels(set)[e], expected);
    }
    dt_dataset_destroy(&set);
  }
}

static void test_shapes(void **state) {
  static bytes file;
  dt_dataset *set;
  put_header(&file, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3,), }\n");
  memcpy(file.data + file.count, "\x02\x00\x01", 3);
  file.count += 3;
  write_npy("y.npy", &file);
  put_header(&file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }\n");
  for (int i = 0; i < 3; i++) encode("f8", numbers[6 + i], false, &file);
  write_npy("t.npy", &file);
  put_header(&file, 1, "{'descr': '|u1', 'fortran_order': False, 'shape': (3, 2, 2), }\n");
  file.count += 12;
  write_npy("x.npy", &file);
  assert_int_equal(load("{npy: {fields: {input: {array: x.npy, image: rows}, label: y.npy, target: t.npy}}}", &set), DT_OK);
  assert_int_equal(data_field(set, "input")->shape.ndim, 3);
  assert_int_equal(data_labels(set)[0], 2);
  assert_int_equal(data_field(set, "label")->shape.ndim, 0);
  assert_int_equal(data_field(set, "target")->shape.dim[0], 1);
  assert_true(((const float *)data_values(set, "target"))[2] == -2.25F);
  dt_dataset_destroy(&set);
}

/* --- zip files --- */

static void write_npz(const char *name, bool deflate, const bytes *x, const bytes *y) {
  char path[DT_TEST_PATH + 32];
  int code;
  snprintf(path, sizeof path, "%s/%s", dir, name);
  zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, &code);
  assert_non_null(zip);
  const bytes *const from[] = {x, y};
  static const char *const names[] = {"input.npy", "label.npy"};
  for (int i = 0; i < 2; i++) {
    zip_source_t *source = zip_source_buffer(zip, from[i]->data, from[i]->count, 0);
    const int64_t index = zip_file_add(zip, names[i], source, 0);
    assert_true(index >= 0);
    assert_int_equal(zip_set_file_compression(zip, (uint64_t)index, deflate ? ZIP_CM_DEFLATE : ZIP_CM_STORE, 0), 0);
  }
  assert_int_equal(zip_close(zip), 0);
}

static void make_pair(bytes *x, bytes *y, int samples) {
  char literal[128];
  snprintf(literal, sizeof literal, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 3), }\n", samples);
  put_header(x, 1, literal);
  for (int i = 0; i < 3 * samples; i++) encode("f4", i % 7, false, x);
  snprintf(literal, sizeof literal, "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }\n", samples);
  put_header(y, 1, literal);
  for (int i = 0; i < samples; i++) encode("i8", i % 3, false, y);
}

static void test_npz(void **state) {
  static bytes x, y;
  enum { SAMPLES = 9000 }; /* more than a header's worth of bytes */
  uint64_t hash[3];
  make_pair(&x, &y, SAMPLES);
  for (int form = 0; form < 3; form++) {
    dt_dataset *set;
    write_npz("d.npz", form == 1, &x, &y);
    if (load(form == 2 ? "{npz: {file: d.npz, fields: {input: input, label: label.npy}}}" : "{npz: d.npz}", &set) != DT_OK)
      fail_msg("%s", dt_error_text());
    assert_int_equal(set->count, SAMPLES);
    for (int i = 0; i < SAMPLES; i++) assert_int_equal(data_labels(set)[i], i % 3);
    for (int i = 0; i < 3 * SAMPLES; i++) assert_true(((const float *)data_values(set, "input"))[i] == (float)(i % 7));
    hash[form] = set->hash;
    dt_dataset_destroy(&set);
  }
  assert_true(hash[0] == hash[1] && hash[1] == hash[2]);
}

/* Any bit of a stored member that changes is noticed, by the header or the checksum. */
static void test_npz_broken(void **state) {
  static bytes x, y;
  static uint8_t file[ROOM];
  char path[DT_TEST_PATH + 32];
  dt_dataset *set = NULL;
  make_pair(&x, &y, 20);
  write_npz("d.npz", true, &x, &y);
  snprintf(path, sizeof path, "%s/d.npz", dir);
  FILE *from = fopen(path, "rb");
  const size_t count = fread(file, 1, sizeof file, from);
  fclose(from);
  for (size_t i = 40; i + 200 < count; i += 3) {
    file[i] ^= 0x10;
    assert_int_equal(dt_test_write_file(dir, "d.npz", file, count), DT_OK);
    const dt_status status = load("{npz: d.npz}", &set);
    if (status == DT_OK) { /* what nobody reads: times, names of the local headers */
      for (int k = 0; k < 20; k++) assert_int_equal(data_labels(set)[k], k % 3);
      for (int k = 0; k < 60; k++) assert_true(((const float *)data_values(set, "input"))[k] == (float)(k % 7));
      dt_dataset_destroy(&set);
    }
    assert_true(status == DT_OK || status == DT_DATA);
    file[i] ^= 0x10;
  }
  for (size_t end = 0; end < count; end += 7) {
    assert_int_equal(dt_test_write_file(dir, "d.npz", file, end), DT_OK);
    assert_int_equal(load("{npz: d.npz}", &set), DT_DATA);
  }
  assert_int_equal(dt_test_write_file(dir, "d.npz", file, count), DT_OK);
  assert_int_equal(load("{npz: {file: d.npz, fields: {input: x_train}}}", &set), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "d.npz: found no array x_train, expected one of input, label"));
}

/* --- wrong ones --- */

static void test_refused(void **state) {
  static const struct {
    const char *literal;
    int more; /* bytes of elements */
    const char *fragment;
  } cases[] = {
      {"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", 24,
       "found elements of type \"|O\" (Python objects, which only Python"},
      {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }", 12, "found records of several types"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 20, "expected 24"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }", 25, "found bytes behind the elements, expected 24"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, "found an array without samples"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3), }", 0, "found an array without samples"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 9), }", 4, "expected"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 4, "expected"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1), }", 4, "a header of NumPy that cannot be read"},
      {"{'descr': '<f4', 'fortran_order': Maybe, 'shape': (1,), }", 4, "a header of NumPy that cannot be read"},
      {"{'descr': '<f4', 'fortran_order': False}", 4, "a header of NumPy that cannot be read"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 4, "a header of NumPy that cannot be read"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", 4, "a header of NumPy that cannot be read"},
      {"", 0, "a header of NumPy that cannot be read"},
      {"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }", 8, "found elements of type \"<c8\""},
      {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", 16, "found elements of type \"<f16\""},
      {"{'descr': '<U5', 'fortran_order': False, 'shape': (1,), }", 20, "found elements of type \"<U5\""},
      {"{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }", 8, "found elements of type \"<M8[ns]\""},
  };
  static bytes file;
  dt_dataset *set = NULL;
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    memset(&file, 0, sizeof file);
    put_header(&file, 1, cases[i].literal);
    file.count += (size_t)cases[i].more;
    write_npy("x.npy", &file);
    assert_int_equal(load("{npy: {fields: {input: x.npy}}}", &set), DT_DATA);
    if (strstr(dt_error_text(), cases[i].fragment) == NULL) fail_msg("\"%s\" lacks \"%s\"", dt_error_text(), cases[i].fragment);
    if (strchr(dt_error_text(), '\n') != NULL) fail_msg("\"%s\" has several lines", dt_error_text());
  }
  for (size_t end = 0; end < 60; end++) {
    put_header(&file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }");
    file.count = end;
    write_npy("x.npy", &file);
    assert_int_equal(load("{npy: {fields: {input: x.npy}}}", &set), DT_DATA);
  }
}

static void test_values_that_do_not_fit(void **state) {
  static bytes file;
  dt_dataset *set = NULL;
  put_header(&file, 1, "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }");
  encode("i8", 7, false, &file);
  encode("i8", 1e10, false, &file);
  write_npy("y.npy", &file);
  assert_int_equal(load("{npy: {fields: {label: y.npy}}}", &set), DT_DATA);
  assert_non_null(
      strstr(dt_error_text(), "y.npy: found 1e+10 in sample 1, expected a whole number from -2147483648 to 2147483647"));
  put_header(&file, 1, "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }");
  encode("f8", 1e200, false, &file);
  write_npy("t.npy", &file);
  assert_int_equal(load("{npy: {fields: {target: t.npy}}}", &set), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "t.npy: found 1e+200 in sample 0, expected what a float can hold"));
  assert_int_equal(load("{npy: {fields: {target: t.npy, label: y.npy}}}", &set), DT_DATA);
  put_header(&file, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }");
  file.count += 12;
  write_npy("t.npy", &file);
  put_header(&file, 1, "{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }");
  file.count += 8;
  write_npy("y.npy", &file);
  assert_int_equal(load("{npy: {fields: {target: t.npy, label: y.npy}}}", &set), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "y.npy: found 2 samples, expected 3, as the arrays before it have"));
  assert_int_equal(load("{npy: {fields: {input: {array: t.npy, image: rows}}}}", &set), DT_DATA);
  assert_non_null(
      strstr(dt_error_text(), "t.npy: found 1 dimension, expected 3, as image: rows says: [samples, height, width]"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_orders),
      cmocka_unit_test(test_shapes),
      cmocka_unit_test(test_npz),
      cmocka_unit_test(test_npz_broken),
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_values_that_do_not_fit),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
