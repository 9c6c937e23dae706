#include "core/field.h"

#include <string.h>

int dt_field_find(const dt_field *field, int count, const char *name) {
  for (int f = 0; f < count; f++) {
    if (strcmp(field[f].name, name) == 0) return f;
  }
  return -1;
}

bool dt_field_is_image(const dt_field *field) {
  return field->layout == DT_FIELD_DENSE && field->dtype == DT_U8 && field->shape.ndim == 3;
}

int64_t dt_field_part_count(const dt_field *field, dt_field_part part, int64_t slots) {
  const bool sparse = field->layout == DT_FIELD_SPARSE;
  switch (part) {
    case DT_PART_VALUES:
      return dt_count_multiply(slots, sparse ? field->entries : dt_shape_count(&field->shape));
    case DT_PART_LENGTHS:
      return field->layout == DT_FIELD_RAGGED ? slots : 0;
    case DT_PART_OFFSETS:
      return sparse ? slots + 1 : 0;
    case DT_PART_COLUMNS:
      return sparse ? dt_count_multiply(slots, field->entries) : 0;
    case DT_FIELD_PARTS:
      break;
  }
  return 0;
}

dt_dtype dt_field_part_dtype(const dt_field *field, dt_field_part part) {
  return part == DT_PART_VALUES ? field->dtype : DT_I32;
}

size_t dt_field_part_bytes(const dt_field *field, dt_field_part part, int64_t slots) {
  const int64_t count = dt_field_part_count(field, part, slots);
  const int64_t bytes = dt_count_multiply(count, (int64_t)dt_dtype_bytes(dt_field_part_dtype(field, part)));
  return bytes < INT64_MAX ? (size_t)bytes : SIZE_MAX;
}
