#include "support/batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/files.h"
#include "support/fill.h"
#include "support/unit.h"

enum { ROOM = 1 << 16, HEADER = 128 };

static void write_array(const char *dir, const char *name, const char *type, const char *shape, const void *data,
                        size_t bytes) {
  char *file = calloc(1, HEADER + bytes);
  memcpy(file, "\x93NUMPY\x01", 7);
  const int length =
      snprintf(file + 10, HEADER - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }\n", type, shape);
  file[8] = (char)length;
  memcpy(file + 10 + length, data, bytes);
  assert_int_equal(dt_test_write_file(dir, name, file, 10 + (size_t)length + bytes), DT_OK);
  free(file);
}

static int64_t sample_size(const char *input) {
  int64_t size = 1;
  for (const char *c = input; c != NULL; c = strchr(c, ',')) {
    if (*c == ',') c++;
    size *= atoi(c);
  }
  return size;
}

/* Number `index` of the fill of "<tag>.<what>". */
static double number(const char *tag, const char *what, int64_t index) {
  char name[64];
  snprintf(name, sizeof name, "%s.%s", tag, what);
  return fill_value(fill_key(name), index);
}

void dt_test_write_batch(const char *dir, const char *tag, const char *input, int samples, int outputs) {
  static float x[ROOM], target[ROOM];
  static int32_t label[ROOM];
  char shape[64];
  const int64_t size = sample_size(input);
  assert_true(samples * size <= ROOM && samples * outputs <= ROOM);
  for (int64_t i = 0; i < samples * size; i++) x[i] = (float)number(tag, "x", i);
  for (int i = 0; i < samples * outputs; i++) target[i] = (float)((number(tag, "target", i) + 1) / 2);
  for (int i = 0; i < samples; i++) label[i] = (int32_t)((number(tag, "label", i) + 1) / 2 * outputs);
  snprintf(shape, sizeof shape, "%d, %s", samples, input);
  write_array(dir, "x.npy", "<f4", shape, x, (size_t)(samples * size) * sizeof *x);
  snprintf(shape, sizeof shape, "%d, %d", samples, outputs);
  write_array(dir, "target.npy", "<f4", shape, target, (size_t)(samples * outputs) * sizeof *target);
  snprintf(shape, sizeof shape, "%d,", samples);
  write_array(dir, "label.npy", "<i4", shape, label, (size_t)samples * sizeof *label);
}
