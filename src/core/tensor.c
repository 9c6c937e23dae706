#include "core/tensor.h"

#include <inttypes.h>
#include <stdio.h>

static const struct {
  size_t bytes;
  const char *name;
} dtypes[] = {
    [DT_F32] = {4, "F32"}, [DT_F64] = {8, "F64"}, [DT_U8] = {1, "U8"}, [DT_I32] = {4, "I32"}, [DT_I64] = {8, "I64"},
};

int64_t dt_count_multiply(int64_t a, int64_t b) {
  int64_t product;
  return __builtin_mul_overflow(a, b, &product) ? INT64_MAX : product;
}

int64_t dt_count_add(int64_t a, int64_t b) {
  int64_t sum;
  return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t dt_shape_count(const dt_shape *shape) {
  int64_t count = 1;
  for (int i = 0; i < shape->ndim; i++) count = dt_count_multiply(count, shape->dim[i]);
  return count;
}

int64_t dt_shape_channels(const dt_shape *shape) {
  return shape->ndim > 0 ? shape->dim[0] : 1;
}

int64_t dt_shape_inner(const dt_shape *shape) {
  int64_t count = 1;
  for (int i = 1; i < shape->ndim; i++) count = dt_count_multiply(count, shape->dim[i]);
  return count;
}

bool dt_shape_equal(const dt_shape *a, const dt_shape *b) {
  if (a->ndim != b->ndim) return false;
  for (int i = 0; i < a->ndim; i++) {
    if (a->dim[i] != b->dim[i]) return false;
  }
  return true;
}

const char *dt_shape_text(const dt_shape *shape, char *text) {
  size_t used = (size_t)snprintf(text, DT_SHAPE_TEXT, "[");
  for (int i = 0; i < shape->ndim; i++) {
    used += (size_t)snprintf(text + used, DT_SHAPE_TEXT - used, "%s%" PRId64, i > 0 ? ", " : "", shape->dim[i]);
  }
  snprintf(text + used, DT_SHAPE_TEXT - used, "]");
  return text;
}

size_t dt_dtype_bytes(dt_dtype dtype) {
  return dtypes[dtype].bytes;
}

const char *dt_dtype_name(dt_dtype dtype) {
  return dtypes[dtype].name;
}
