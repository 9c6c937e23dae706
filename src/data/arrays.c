#include "data/arrays.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/rows.h"
#include "core/numbers.h"
#include "data/source.h"

enum { IMAGE_AS_IS, IMAGE_ROWS, IMAGE_LAST };
enum { TYPE_AUTO, TYPE_U8, TYPE_I32, TYPE_F32 };

static const char *const image_words[] = {"no", "rows", "channels_last", NULL};
static const char *const type_words[] = {"auto", "u8", "i32", "f32", NULL};

int64_t dt_array_bytes(const dt_array_head *head) {
  int64_t bytes = head->bytes;
  for (int i = 0; i < head->ndim; i++) bytes = dt_count_multiply(bytes, head->dim[i]);
  return bytes;
}

/* --- elements --- */

/* IEEE 754 binary16. */
static double half_value(uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return sign * (exponent == 0 ? ldexp(fraction, -24) : ldexp(1024 + fraction, exponent - 25));
}

static double real_value(uint64_t bits, int bytes) {
  float single;
  double value;
  const uint32_t low = (uint32_t)bits;
  if (bytes == 2) return half_value((uint16_t)bits);
  memcpy(&single, &low, sizeof single);
  memcpy(&value, &bits, sizeof value);
  return bytes == 4 ? single : value;
}

/* An element as a double, in which whole numbers are exact up to 2^53. */
static double element(const dt_array_head *head, const uint8_t *at) {
  uint64_t bits = 0;
  for (int i = 0; i < head->bytes; i++) bits |= (uint64_t)at[head->big_endian ? head->bytes - 1 - i : i] << 8 * i;
  if (head->type == DT_REAL) return real_value(bits, head->bytes);
  if (head->type == DT_TRUTH) return bits != 0;
  if (head->type == DT_NATURAL) return (double)bits;
  const int shift = 64 - 8 * head->bytes;
  return (double)((int64_t)(bits << shift) >> shift);
}

/* --- fields --- */

static bool is_whole(const dt_array_head *head) {
  return head->type != DT_REAL;
}

/* Labels are whole numbers [N]; bytes of other shapes stay bytes. */
static dt_dtype dtype_of(const dt_array_field *field, const dt_array_head *head) {
  if (field->type != TYPE_AUTO) return field->type == TYPE_U8 ? DT_U8 : field->type == TYPE_I32 ? DT_I32 : DT_F32;
  if (!is_whole(head)) return DT_F32;
  return head->ndim > 1 && head->bytes == 1 && head->type != DT_WHOLE ? DT_U8 : DT_I32;
}

static dt_status make_field(const char *path, const dt_array_field *field, const dt_array_head *head, dt_field *out) {
  const int ndim = head->ndim - 1;
  out->dtype = dtype_of(field, head);
  out->layout = DT_FIELD_DENSE;
  DT_REQUIRE(head->ndim >= 1 && dt_array_bytes(head) > 0, DT_DATA,
             "%s: found an array without samples, expected [samples, ...]", path);
  DT_REQUIRE(dt_array_bytes(head) < INT64_MAX / 8, DT_DATA,
             "%s: found dimensions whose product overflows, expected the data of a file", path);
  out->shape = (dt_shape){.ndim = ndim};
  memcpy(out->shape.dim, head->dim + 1, (size_t)ndim * sizeof *out->shape.dim);
  if (ndim == 0 && out->dtype != DT_I32) out->shape = (dt_shape){1, {1}};
  if (field->image == IMAGE_AS_IS) return DT_OK;
  const int expected = field->image == IMAGE_ROWS ? 2 : 3;
  DT_REQUIRE(ndim == expected, DT_DATA, "%s: found %d dimension%s, expected %d, as image: %s says: [samples, height, width%s]",
             path, head->ndim, dt_plural(head->ndim), expected + 1, image_words[field->image],
             expected == 3 ? ", channels" : "");
  const int64_t *dim = head->dim + 1;
  out->shape = field->image == IMAGE_ROWS ? (dt_shape){3, {1, dim[0], dim[1]}} : (dt_shape){3, {dim[2], dim[0], dim[1]}};
  return DT_OK;
}

static dt_status put(const char *path, const dt_field *field, double value, int64_t sample, void *to, int64_t at) {
  if (field->dtype == DT_F32) {
    DT_REQUIRE(!(fabs(value) > FLT_MAX) || isinf(value), DT_DATA,
               "%s: found %g in sample %" PRId64 ", expected what a float can hold", path, value, sample);
    ((float *)to)[at] = (float)value;
    return DT_OK;
  }
  const double least = field->dtype == DT_U8 ? 0 : INT32_MIN, most = field->dtype == DT_U8 ? UINT8_MAX : INT32_MAX;
  DT_REQUIRE(value >= least && value <= most && value == floor(value), DT_DATA,
             "%s: found %g in sample %" PRId64 ", expected a whole number from %.0f to %.0f for a field of %s", path, value,
             sample, least, most, dt_dtype_name(field->dtype));
  if (field->dtype == DT_U8) {
    ((uint8_t *)to)[at] = (uint8_t)value;
  } else {
    ((int32_t *)to)[at] = (int32_t)value;
  }
  return DT_OK;
}

/* Elements from one dimension's neighbour to the next in the file. */
static void strides(const dt_array_head *head, int64_t stride[DT_ARRAY_DIMS]) {
  int64_t step = 1;
  for (int i = 0; i < head->ndim; i++) {
    const int k = head->column_major ? i : head->ndim - 1 - i;
    stride[k] = step;
    step *= head->dim[k];
  }
}

/* Takes the elements of a sample in the order of the field, which has channels first. */
static dt_status convert_sample(const char *path, const dt_array_head *head, const dt_field *field, bool last,
                                const uint8_t *elements, int64_t sample, void *to) {
  int64_t stride[DT_ARRAY_DIMS], index[DT_ARRAY_DIMS] = {0};
  int order[DT_ARRAY_DIMS];
  const int ndim = head->ndim - 1;
  const int64_t count = dt_shape_count(&field->shape);
  strides(head, stride);
  for (int i = 0; i < ndim; i++) order[i] = last ? 1 + (i + ndim - 1) % ndim : 1 + i;
  int64_t at = sample * stride[0];
  for (int64_t e = 0; e < count; e++) {
    DT_TRY(put(path, field, element(head, elements + at * head->bytes), sample, to, sample * count + e));
    for (int i = ndim - 1; i >= 0; i--) {
      at += stride[order[i]];
      if (++index[i] < head->dim[order[i]]) break;
      at -= index[i] * stride[order[i]];
      index[i] = 0;
    }
  }
  return DT_OK;
}

/* What the field wants lies in the file already. */
static bool lies_ready(const dt_array_head *head, const dt_field *field, bool last) {
  const bool same = field->dtype == DT_U8
                        ? head->type == DT_NATURAL && head->bytes == 1
                        : !head->big_endian && head->bytes == 4 && head->type == (field->dtype == DT_F32 ? DT_REAL : DT_WHOLE);
  return same && (!head->column_major || head->ndim == 1) && !last;
}

dt_status dt_array_convert(const char *path, const dt_array_head *head, const dt_field *field, bool last, uint8_t *elements,
                           void **out) {
  dt_status status;
  const size_t bytes = (size_t)dt_shape_count(&field->shape) * dt_dtype_bytes(field->dtype);
  *out = NULL;
  if (lies_ready(head, field, last)) {
    *out = elements;
    return DT_OK;
  }
  DT_TRY_GOTO(done, dt_alloc((size_t)head->dim[0], bytes, out));
  for (int64_t i = 0; i < head->dim[0]; i++) DT_TRY_GOTO(done, convert_sample(path, head, field, last, elements, i, *out));
done:
  free(elements);
  if (status != DT_OK) {
    free(*out);
    *out = NULL;
  }
  return status;
}

/* --- which arrays --- */

/* An array that is read: from where, and as what. */
typedef struct array_use {
  char *path; /* one for all where a file holds all */
  const char *member;
  dt_array_field how;
  char name[DT_FIELD_NAME];
} array_use;

typedef struct array_uses {
  array_use use[DT_FIELDS_MAX];
  char *names; /* of a file's arrays */
  int count;
} array_uses;

static void free_uses(array_uses *uses) {
  for (int i = 0; i < uses->count; i++) free(uses->use[i].path);
  free(uses->names);
}

static dt_status add_use(array_uses *uses, const char *dir, const char *file, const char *name, const char *member,
                         const dt_array_field *how) {
  DT_REQUIRE(uses->count < DT_FIELDS_MAX, DT_DATA,
             "%s: found more than %d arrays, expected their fields to be named: fields: {input: ...}", file, DT_FIELDS_MAX);
  array_use *use = &uses->use[uses->count];
  *use = (array_use){.member = member};
  if (how != NULL) use->how = *how;
  DT_REQUIRE(strlen(name) < sizeof use->name, DT_DATA, "%s: found an array named %.80s, expected its field to be named", file,
             name);
  strcpy(use->name, name);
  DT_TRY(dt_source_find(dir, file, &use->path));
  uses->count++;
  return DT_OK;
}

static dt_status find_uses(const dt_array_file *files, const dt_array_attr *attr, const char *dir, array_uses *out) {
  for (int i = 0; i < attr->fields.count; i++) {
    const dt_array_field *how = attr->fields.item[i].attr;
    const bool own_file = attr->file == NULL;
    DT_TRY(add_use(out, dir, own_file ? how->array : attr->file, attr->fields.name[i], own_file ? "" : how->array, how));
  }
  if (attr->fields.count > 0) return DT_OK;
  char *path;
  int count = 0;
  DT_TRY(dt_source_find(dir, attr->file, &path));
  dt_status status = files->list(path, &out->names, &count);
  const char *name = out->names;
  for (int i = 0; i < count && status == DT_OK; i++, name += strlen(name) + 1)
    status = add_use(out, dir, attr->file, name, name, NULL);
  free(path);
  return status;
}

/* One array; its number of samples is that of those before it. */
static dt_status take_array(const dt_array_file *files, const array_use *use, int64_t *count, dt_field *field, void **out) {
  dt_array_head head;
  uint8_t *elements = NULL;
  char place[512];
  snprintf(place, sizeof place, "%s%s%s", use->path, use->member[0] != '\0' ? ", array " : "", use->member);
  DT_TRY(files->read(use->path, use->member, &head, out != NULL ? &elements : NULL));
  dt_status status = make_field(place, &use->how, &head, field);
  snprintf(field->name, sizeof field->name, "%s", use->name);
  if (status == DT_OK && *count >= 0 && head.dim[0] != *count)
    status = dt_error_set(DT_DATA, __FILE__, __LINE__,
                          "%s: found %" PRId64 " samples, expected %" PRId64 ", as the arrays before it have", place,
                          head.dim[0], *count);
  if (status != DT_OK || out == NULL) {
    free(elements);
  } else {
    status = dt_array_convert(place, &head, field, use->how.image == IMAGE_LAST, elements, out);
  }
  *count = head.dim[0];
  return status;
}

/* --- the format --- */

void dt_arrays_declare(const void *attr, dt_fields *out) {
  const dt_array_attr *arrays = attr;
  *out = (dt_fields){.count = arrays->fields.count};
  for (int f = 0; f < out->count; f++) {
    const dt_array_field *how = arrays->fields.item[f].attr;
    snprintf(out->field[f].name, sizeof out->field[f].name, "%s", arrays->fields.name[f]);
    static const dt_dtype said[] = {[TYPE_AUTO] = DT_F32, [TYPE_U8] = DT_U8, [TYPE_I32] = DT_I32, [TYPE_F32] = DT_F32};
    out->field[f].dtype = said[how->type];
    if (how->type == TYPE_AUTO) out->field[f].limit = DT_DTYPE_GUESSED;
    if (how->type == TYPE_AUTO && how->image != IMAGE_AS_IS) out->field[f].dtype = DT_U8;
    if (strcmp(out->field[f].name, "label") == 0 && how->type == TYPE_AUTO) out->field[f].dtype = DT_I32;
    out->field[f].shape.ndim = DT_NDIM_UNKNOWN;
  }
}

static dt_status take_all(const dt_array_file *files, const array_uses *uses, dt_fields *fields, int64_t *count,
                          dt_dataset *dataset) {
  *count = -1;
  fields->count = uses->count;
  for (int i = 0; i < uses->count; i++)
    DT_TRY(take_array(files, &uses->use[i], count, &fields->field[i], dataset != NULL ? &dataset->data[i].values : NULL));
  return DT_OK;
}

dt_status dt_arrays_inspect(const dt_array_file *files, const dt_array_attr *attr, const dt_data_request *request,
                            dt_data_info *out) {
  array_uses uses = {.count = 0};
  dt_status status = find_uses(files, attr, request->dir, &uses);
  if (status == DT_OK) status = take_all(files, &uses, &out->fields, &out->count, NULL);
  free_uses(&uses);
  return status;
}

static dt_status name_source(const array_uses *uses, bool one_file, const char **out) {
  size_t bytes = 1, used = 0;
  char *text;
  const int paths = one_file ? 1 : uses->count;
  for (int i = 0; i < paths; i++) bytes += strlen(uses->use[i].path) + 2;
  DT_TRY(dt_alloc(bytes, 1, &text));
  for (int i = 0; i < paths; i++)
    used += (size_t)snprintf(text + used, bytes - used, "%s%s", i > 0 ? ", " : "", uses->use[i].path);
  *out = text;
  return DT_OK;
}

dt_status dt_arrays_load(const dt_array_file *files, const dt_array_attr *attr, const dt_data_request *request,
                         dt_dataset **out) {
  array_uses uses = {.count = 0};
  dt_dataset *dataset = NULL;
  dt_status status = find_uses(files, attr, request->dir, &uses);
  if (status == DT_OK) status = dt_alloc(1, sizeof *dataset, &dataset);
  if (status == DT_OK) status = take_all(files, &uses, &dataset->fields, &dataset->count, dataset);
  if (status == DT_OK) status = name_source(&uses, attr->file != NULL, &dataset->source);
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  free_uses(&uses);
  *out = dataset;
  return status;
}

static const dt_option field_options[] = {
    DT_ROW_STRING("array", offsetof(dt_array_field, array), NULL, "The file with the array, or its name in the file.",
                  .path = DT_PATH_PLAIN),
    DT_ROW_ENUM("image", offsetof(dt_array_field, image), "no", image_words,
                "How images lie in the array: rows, [samples, height, width], which become [1, height, width]; channels_last, "
                "[samples, height, width, channels], which become [channels, height, width]; no: a sample is taken as it is."),
    DT_ROW_ENUM(
        "type", offsetof(dt_array_field, type), "auto", type_words,
        "What the numbers become, each of which must fit; auto: floats f32; whole numbers i32, but bytes u8 where a sample is "
        "more than one."),
    {0},
};
static const dt_kind field_kind = {.name = "field",
                                   .doc = "A field of the samples, from an array.",
                                   .options = field_options,
                                   .attr_bytes = sizeof(dt_array_field),
                                   .positional = "array"};
static const dt_kind *const field_kind_table[] = {&field_kind, NULL};
static const dt_kind *const *const field_kinds = field_kind_table;

#define FIELDS_ROW(standard, text)                                                                                 \
  {                                                                                                                \
    .name = "fields", .type = DT_OPT_NAMED, .max = DT_FIELDS_MAX, .default_text = standard, .kinds = &field_kinds, \
    .offset = offsetof(dt_array_attr, fields), .doc = text                                                         \
  }

const dt_option dt_array_file_options[] = {
    FIELDS_ROW(
        NULL,
        "Fields by name, each with its file: `fields: {input: x.npy, label: y.npy}`. The first dimension counts samples."),
    {0},
};
const dt_option dt_array_options[] = {
    DT_ROW_STRING("file", offsetof(dt_array_attr, file), NULL, "The file with the arrays.", .path = DT_PATH_PLAIN),
    FIELDS_ROW("",
               "Fields by name, each with the name of its array: `fields: {input: x_train, label: y_train}`; without it, each "
               "array of "
               "the file is a field of its own name. The first dimension counts samples."),
    {0},
};
