/* safetensors: a 64-bit length, a JSON header of that length, then the tensors' bytes, little-endian, without holes.
 * https://github.com/huggingface/safetensors#format
 *
 * Larger elements come first and names ascend within a size, as in the Python library: every tensor is aligned, and equal
 * tensors give equal bytes in whatever order they are handed over. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/foreign.h"
#include "checkpoint/parts.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "safetensors are little-endian");

enum { LENGTH_BYTES = 8, ALIGNMENT = 8, NAME_MAX_BYTES = 200 };
static const uint64_t header_max = 100u << 20; /* the Python library's own limit */
static const char name_characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

static const dt_dtype dtypes[] = {DT_F32, DT_F64, DT_U8, DT_I32, DT_I64};

static bool name_valid(const char *name) {
  size_t length = strlen(name);
  return length > 0 && length <= NAME_MAX_BYTES && strspn(name, name_characters) == length;
}

static size_t tensor_bytes(const dt_tensor_ref *tensor) {
  return (size_t)dt_shape_count(&tensor->shape) * dt_dtype_bytes(tensor->dtype);
}

/* ---- writing ---- */

static int file_order(const void *a, const void *b) {
  const dt_tensor_ref *x = a, *y = b;
  size_t x_bytes = dt_dtype_bytes(x->dtype), y_bytes = dt_dtype_bytes(y->dtype);
  if (x_bytes != y_bytes) return x_bytes > y_bytes ? -1 : 1;
  return strcmp(x->name, y->name);
}

static void header_print_tensor(FILE *out, const dt_tensor_ref *tensor, uint64_t begin, bool first) {
  fprintf(out, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", first ? "" : ",", tensor->name, dt_dtype_name(tensor->dtype));
  for (int d = 0; d < tensor->shape.ndim; d++) fprintf(out, "%s%" PRId64, d > 0 ? "," : "", tensor->shape.dim[d]);
  fprintf(out, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, begin + tensor_bytes(tensor));
}

static dt_status header_print(const dt_tensor_ref *tensor, int count, char **out_text, size_t *out_bytes) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&text, &bytes);
  DT_REQUIRE(out != NULL, DT_MEMORY, "no memory for a safetensors header");
  uint64_t at = 0;
  fputc('{', out);
  for (int i = 0; i < count; i++) {
    header_print_tensor(out, &tensor[i], at, i == 0);
    at += tensor_bytes(&tensor[i]);
  }
  fputc('}', out);
  fflush(out);
  for (size_t i = bytes; i % ALIGNMENT != 0; i++) fputc(' ', out);
  if (fclose(out) != 0) {
    free(text);
    DT_RAISE(DT_MEMORY, "no memory for a safetensors header of %d tensors", count);
  }
  *out_text = text;
  *out_bytes = bytes;
  return DT_OK;
}

static dt_status check_tensors(const dt_tensor_ref *tensor, int count) {
  for (int i = 0; i < count; i++) {
    DT_REQUIRE(name_valid(tensor[i].name), DT_INTERNAL, "tensor name \"%s\" cannot be saved", tensor[i].name);
    for (int j = 0; j < i; j++)
      DT_REQUIRE(strcmp(tensor[i].name, tensor[j].name) != 0, DT_INTERNAL, "two tensors are named \"%s\"", tensor[i].name);
  }
  return DT_OK;
}

static dt_status write_file(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count, const char *header,
                            uint64_t header_bytes, dt_file_sum *out) {
  dt_file_writer writer;
  dt_status status;
  DT_TRY(dt_file_create(dir_fd, file, &writer));
  DT_TRY_GOTO(fail, dt_file_append(&writer, &header_bytes, sizeof header_bytes));
  DT_TRY_GOTO(fail, dt_file_append(&writer, header, header_bytes));
  for (int i = 0; i < count; i++) DT_TRY_GOTO(fail, dt_file_append(&writer, tensor[i].data, tensor_bytes(&tensor[i])));
  return dt_file_commit(&writer, out);
fail:
  dt_file_abandon(&writer);
  return status;
}

dt_status dt_safetensors_write_sum(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count, dt_file_sum *out) {
  dt_tensor_ref *sorted = NULL;
  char *header = NULL;
  size_t header_bytes = 0;
  DT_TRY(check_tensors(tensor, count));
  DT_TRY(dt_alloc((size_t)count, sizeof *sorted, &sorted));
  if (count > 0) memcpy(sorted, tensor, (size_t)count * sizeof *sorted);
  qsort(sorted, (size_t)count, sizeof *sorted, file_order);
  dt_status status = header_print(sorted, count, &header, &header_bytes);
  if (status == DT_OK) status = write_file(dir_fd, file, sorted, count, header, header_bytes, out);
  free(header);
  free(sorted);
  return status;
}

dt_status dt_safetensors_write(int dir_fd, const char *file, const dt_tensor_ref *tensor, int count) {
  dt_file_sum sum;
  return dt_safetensors_write_sum(dir_fd, file, tensor, count, &sum);
}

/* ---- parsing ---- */

/* One entry of the header before its place is checked against its neighbours. */
typedef struct entry {
  dt_tensor_ref tensor;
  uint64_t begin, end;
} entry;

static int begin_order(const void *a, const void *b) {
  const entry *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->end < y->end ? -1 : x->end > y->end;
}

static dt_status parse_dtype(const char *label, const char *name, const json_t *value, dt_dtype *out) {
  const char *text = json_string_value(value);
  for (size_t i = 0; text != NULL && i < sizeof dtypes / sizeof dtypes[0]; i++) {
    if (strcmp(text, dt_dtype_name(dtypes[i])) != 0) continue;
    *out = dtypes[i];
    return DT_OK;
  }
  DT_RAISE(DT_CHECKPOINT, "%s: tensor %s: dtype %.20s, expected F32, F64, U8, I32 or I64", label, name,
           text != NULL ? text : "missing");
}

/* The product is checked while it grows: a header may claim dimensions that overflow. */
static dt_status parse_shape(const char *label, const char *name, const json_t *value, dt_shape *out) {
  size_t ndim = json_array_size(value);
  int64_t product = 1;
  DT_REQUIRE(json_is_array(value) && ndim <= DT_DIMS, DT_CHECKPOINT, "%s: tensor %s: %zu dimensions, expected at most %d",
             label, name, ndim, DT_DIMS);
  out->ndim = (int)ndim;
  for (size_t d = 0; d < ndim; d++) {
    const json_t *item = json_array_get(value, d);
    int64_t dim = json_is_integer(item) ? json_integer_value(item) : 0;
    DT_REQUIRE(dim >= 1, DT_CHECKPOINT, "%s: tensor %s: dimension %zu is not a positive integer", label, name, d);
    DT_REQUIRE(!__builtin_mul_overflow(product, dim, &product) && product <= INT64_MAX / 8, DT_CHECKPOINT,
               "%s: tensor %s: its dimensions overflow", label, name);
    out->dim[d] = dim;
  }
  return DT_OK;
}

static dt_status parse_offsets(const char *label, const char *name, const json_t *value, entry *out) {
  const json_t *begin = json_array_get(value, 0), *end = json_array_get(value, 1);
  bool good = json_array_size(value) == 2 && json_is_integer(begin) && json_is_integer(end) && json_integer_value(begin) >= 0 &&
              json_integer_value(end) >= json_integer_value(begin);
  DT_REQUIRE(good, DT_CHECKPOINT, "%s: tensor %s: data_offsets are not two ascending integers", label, name);
  out->begin = (uint64_t)json_integer_value(begin);
  out->end = (uint64_t)json_integer_value(end);
  uint64_t bytes = tensor_bytes(&out->tensor);
  DT_REQUIRE(out->end - out->begin == bytes, DT_CHECKPOINT,
             "%s: tensor %s: %" PRIu64 " bytes, expected %" PRIu64 " by its shape", label, name, out->end - out->begin, bytes);
  DT_REQUIRE(out->begin % dt_dtype_bytes(out->tensor.dtype) == 0, DT_CHECKPOINT,
             "%s: tensor %s: offset %" PRIu64 " is not aligned", label, name, out->begin);
  return DT_OK;
}

static dt_status parse_entry(const char *label, const char *name, const json_t *value, entry *out) {
  DT_REQUIRE(name_valid(name), DT_CHECKPOINT, "%s: a tensor's name is not 1 to %d letters, digits, '.', '_' or '-'", label,
             NAME_MAX_BYTES);
  DT_REQUIRE(json_is_object(value) && json_object_size(value) == 3, DT_CHECKPOINT,
             "%s: tensor %s: expected an object of dtype, shape and data_offsets", label, name);
  DT_TRY(parse_dtype(label, name, json_object_get(value, "dtype"), &out->tensor.dtype));
  DT_TRY(parse_shape(label, name, json_object_get(value, "shape"), &out->tensor.shape));
  DT_TRY(parse_offsets(label, name, json_object_get(value, "data_offsets"), out));
  out->tensor.name = name;
  return DT_OK;
}

/* Sorts by place and requires that the tensors cover the data exactly. */
static dt_status check_cover(const char *label, entry *entries, size_t count, uint64_t data_bytes) {
  uint64_t at = 0;
  qsort(entries, count, sizeof *entries, begin_order);
  for (size_t i = 0; i < count; i++) {
    DT_REQUIRE(entries[i].begin >= at, DT_CHECKPOINT, "%s: tensor %s overlaps the one before it", label,
               entries[i].tensor.name);
    DT_REQUIRE(entries[i].begin == at, DT_CHECKPOINT, "%s: hole of %" PRIu64 " bytes before tensor %s", label,
               entries[i].begin - at, entries[i].tensor.name);
    DT_REQUIRE(entries[i].end <= data_bytes, DT_CHECKPOINT, "%s: tensor %s ends at %" PRIu64 ", the data at %" PRIu64, label,
               entries[i].tensor.name, entries[i].end, data_bytes);
    at = entries[i].end;
  }
  DT_REQUIRE(at == data_bytes, DT_CHECKPOINT, "%s: %" PRIu64 " bytes after the last tensor", label, data_bytes - at);
  return DT_OK;
}

/* One block: the array, then the names it points at. */
static dt_status make_refs(const entry *entries, size_t count, const uint8_t *data, dt_tensor_ref **out) {
  size_t name_bytes = 0;
  for (size_t i = 0; i < count; i++) name_bytes += strlen(entries[i].tensor.name) + 1;
  dt_tensor_ref *refs;
  DT_TRY(dt_alloc(count * sizeof *refs + name_bytes, 1, &refs));
  char *name = (char *)(refs + count);
  for (size_t i = 0; i < count; i++) {
    refs[i] = entries[i].tensor;
    refs[i].data = (void *)(data + entries[i].begin);
    refs[i].name = strcpy(name, entries[i].tensor.name);
    name += strlen(name) + 1;
  }
  *out = refs;
  return DT_OK;
}

static dt_status parse_entries(const char *label, json_t *header, entry *entries, size_t *out_count) {
  const char *name;
  json_t *value;
  size_t count = 0;
  json_object_foreach(header, name, value) {
    if (strcmp(name, "__metadata__") == 0) continue;
    DT_TRY(parse_entry(label, name, value, &entries[count]));
    count++;
  }
  *out_count = count;
  return DT_OK;
}

static dt_status parse_header(const char *label, json_t *header, const uint8_t *data, uint64_t data_bytes, dt_tensor_ref **out,
                              int *out_count) {
  entry *entries = NULL;
  size_t count = 0;
  DT_TRY(dt_alloc(json_object_size(header), sizeof *entries, &entries));
  dt_status status = parse_entries(label, header, entries, &count);
  if (status == DT_OK) status = check_cover(label, entries, count, data_bytes);
  if (status == DT_OK) status = make_refs(entries, count, data, out);
  free(entries);
  *out_count = status == DT_OK ? (int)count : 0;
  return status;
}

/* Checks the header's length against the file before anything follows it. */
static dt_status header_bounds(const char *label, const uint8_t *data, size_t bytes, uint64_t *out_length) {
  uint64_t length = 0;
  DT_REQUIRE(bytes >= LENGTH_BYTES, DT_CHECKPOINT, "%s: %zu bytes, too short for a safetensors file", label, bytes);
  memcpy(&length, data, sizeof length);
  bool good = length <= bytes - LENGTH_BYTES && length <= header_max && length >= 2 && data[LENGTH_BYTES] == '{';
  const char *format = good ? NULL : dt_foreign_format(data, bytes);
  DT_REQUIRE(format == NULL, DT_CHECKPOINT, "%s: is %s, expected a safetensors file", label, format);
  DT_REQUIRE(good, DT_CHECKPOINT, "%s: header of %" PRIu64 " bytes in a file of %zu, not a safetensors file", label, length,
             bytes);
  *out_length = length;
  return DT_OK;
}

dt_status dt_safetensors_parse(const char *label, const uint8_t *data, size_t bytes, dt_tensor_ref **out, int *out_count) {
  uint64_t length = 0;
  json_error_t error;
  *out = NULL;
  *out_count = 0;
  DT_TRY(header_bounds(label, data, bytes, &length));
  json_t *header = json_loadb((const char *)data + LENGTH_BYTES, length, JSON_REJECT_DUPLICATES, &error);
  DT_REQUIRE(header != NULL, DT_CHECKPOINT, "%s: header offset %d: %s", label, error.position, error.text);
  dt_status status = DT_OK;
  if (!json_is_object(header)) DT_RAISE_GOTO(end, DT_CHECKPOINT, "%s: header is not a JSON object", label);
  DT_TRY_GOTO(end, parse_header(label, header, data + LENGTH_BYTES + length, bytes - LENGTH_BYTES - length, out, out_count));
end:
  json_decref(header);
  return status;
}
