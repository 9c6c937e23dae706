/* Random numbers in any fields, for benchmarks and tests: nothing can be learned from them, and no file is needed. The same
 * numbers on every machine. Each field draws from blocks of its own, keyed by its index, so that none depends on another. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config/rows.h"
#include "data/data.h"
#include "data/formats.h"

typedef struct synthetic_attr {
  dt_ints shape;
  int64_t classes, samples;
  uint64_t seed;
  dt_named fields; /* field_attr */
} synthetic_attr;

typedef struct field_attr {
  dt_ints shape;
  int dtype; /* index in dtype_names */
  int64_t classes, shortest, entries;
} field_attr;

static const char *const dtype_names[] = {"u8", "f32", "i32", NULL};
static const dt_dtype dtypes[] = {DT_U8, DT_F32, DT_I32};

/* What a field's numbers are drawn for, beside its index. */
typedef enum draw { DRAW_VALUES, DRAW_LENGTH, DRAW_COLUMNS } draw;

static const int64_t bytes_max = (int64_t)1 << 35; /* of all samples */

/* --- what there is --- */

static dt_field field_of(const char *name, const field_attr *attr) {
  dt_field field = {.dtype = dtypes[attr->dtype], .shape.ndim = attr->shape.count, .entries = attr->entries};
  snprintf(field.name, sizeof field.name, "%s", name);
  for (int i = 0; i < attr->shape.count && i < DT_DIMS; i++) field.shape.dim[i] = attr->shape.value[i];
  field.layout = attr->shortest > 0 ? DT_FIELD_RAGGED : attr->entries > 0 ? DT_FIELD_SPARSE : DT_FIELD_DENSE;
  return field;
}

static int field_count(const synthetic_attr *attr) {
  return attr->fields.count > 0 ? attr->fields.count : 2;
}

/* Without fields of its own, an image of bytes and its label. */
static field_attr attr_of(const synthetic_attr *attr, int f) {
  if (attr->fields.count > 0) return *(const field_attr *)attr->fields.item[f].attr;
  if (f == 0) return (field_attr){.shape = attr->shape};
  return (field_attr){.dtype = 2, .classes = attr->classes};
}

static void synthetic_declare(const void *attr, dt_fields *out) {
  static const char *const plain_names[] = {"input", "label"};
  const synthetic_attr *a = attr;
  *out = (dt_fields){.count = field_count(a)};
  for (int f = 0; f < out->count; f++) {
    const field_attr of = attr_of(a, f);
    out->field[f] = field_of(a->fields.count > 0 ? a->fields.name[f] : plain_names[f], &of);
  }
}

/* --- numbers --- */

static dt_rng_block block_of(const synthetic_attr *attr, int f, draw what, int64_t sample, int64_t block) {
  const uint64_t key = (uint64_t)what << 16 | (uint64_t)f;
  return dt_rng(attr->seed, DT_RNG_SYNTHETIC, (uint64_t)sample, key, (uint32_t)block);
}

/* A whole number in [0, limit). */
static int64_t draw_below(uint32_t word, int64_t limit) {
  return (int64_t)((uint64_t)word * (uint64_t)limit >> 32);
}

/* Steps of a sequence, entries of a row; 1 of what is dense. */
static int64_t draw_length(const synthetic_attr *attr, int f, const field_attr *of, int64_t sample) {
  const uint32_t word = block_of(attr, f, DRAW_LENGTH, sample, 0).word[0];
  if (of->shortest > 0) return of->shortest + draw_below(word, of->shape.value[0] - of->shortest + 1);
  return of->entries > 0 ? 1 + draw_below(word, of->entries) : 1;
}

static void draw_bytes(const synthetic_attr *attr, int f, int64_t sample, int64_t count, uint8_t *to) {
  enum { BLOCK = 16 };
  for (int64_t first = 0; first < count; first += BLOCK) {
    const dt_rng_block block = block_of(attr, f, DRAW_VALUES, sample, first / BLOCK);
    const int64_t end = first + BLOCK < count ? first + BLOCK : count;
    for (int64_t i = first; i < end; i++) to[i] = (uint8_t)(block.word[(i - first) / 4] >> (i - first) % 4 * 8);
  }
}

/* Floats in [-1, 1), or whole numbers in [0, classes). */
static void draw_words(const synthetic_attr *attr, int f, const field_attr *of, int64_t sample, int64_t count, void *to) {
  dt_rng_block block;
  for (int64_t i = 0; i < count; i++) {
    if (i % 4 == 0) block = block_of(attr, f, DRAW_VALUES, sample, i / 4);
    if (dtypes[of->dtype] == DT_F32) {
      ((float *)to)[i] = 2 * dt_rng_float(block.word[i % 4]) - 1;
    } else {
      ((int32_t *)to)[i] = (int32_t)draw_below(block.word[i % 4], of->classes);
    }
  }
}

/* Ascending: one in each of `count` stretches of equal length. */
static void draw_columns(const synthetic_attr *attr, int f, int64_t sample, int64_t columns, int64_t count, int32_t *to) {
  for (int64_t i = 0; i < count; i++) {
    const int64_t first = columns * i / count, end = columns * (i + 1) / count;
    const dt_rng_block block = block_of(attr, f, DRAW_COLUMNS, sample, i / 4);
    to[i] = (int32_t)(first + draw_below(block.word[i % 4], end - first));
  }
}

static int64_t row_elements(const dt_field *field) {
  if (field->layout == DT_FIELD_SPARSE) return 1;
  return dt_shape_count(&field->shape) / (field->layout == DT_FIELD_RAGGED ? field->shape.dim[0] : 1);
}

static void fill_field(const synthetic_attr *attr, int f, dt_dataset *dataset) {
  const field_attr of = attr_of(attr, f);
  const dt_field *field = &dataset->fields.field[f];
  const dt_column *data = &dataset->data[f];
  int64_t first = 0; /* rows so far */
  for (int64_t i = 0; i < dataset->count; i++) {
    const int64_t rows = draw_length(attr, f, &of, i), elements = rows * row_elements(field);
    char *to = (char *)data->values + (size_t)(first * row_elements(field)) * dt_dtype_bytes(field->dtype);
    if (field->dtype == DT_U8) {
      draw_bytes(attr, f, i, elements, (uint8_t *)to);
    } else {
      draw_words(attr, f, &of, i, elements, to);
    }
    if (data->column != NULL) draw_columns(attr, f, i, field->shape.dim[0], rows, data->column + first);
    first += rows;
    if (data->offset != NULL) data->offset[i + 1] = first;
  }
}

/* --- the format --- */

static dt_status synthetic_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  const synthetic_attr *a = attr;
  synthetic_declare(attr, &out->fields);
  out->count = a->samples;
  for (int f = 0; f < out->fields.count; f++) {
    const field_attr of = attr_of(a, f);
    if (out->fields.field[f].layout == DT_FIELD_DENSE) continue;
    for (int64_t i = 0; i < out->count; i++) out->total[f] += draw_length(a, f, &of, i);
  }
  return DT_OK;
}

static dt_status synthetic_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  enum { SOURCE_TEXT = 64 };
  const synthetic_attr *a = attr;
  dt_data_info info = {.count = 0};
  char *source;
  DT_TRY(synthetic_inspect(attr, request, true, &info));
  DT_TRY(dt_alloc(SOURCE_TEXT, 1, &source));
  snprintf(source, SOURCE_TEXT, "synthetic, seed %" PRIu64, a->seed);
  dt_status status = dt_dataset_create(&info.fields, info.count, info.total, out);
  if (status != DT_OK) {
    free(source);
    return status;
  }
  (*out)->source = source;
  for (int f = 0; f < info.fields.count; f++) fill_field(a, f, *out);
  return DT_OK;
}

/* --- the options --- */

static dt_status check_plain(const synthetic_attr *a) {
  DT_REQUIRE(a->shape.count == 3, DT_USAGE, "found a shape of %d dimensions, expected [channels, height, width]",
             a->shape.count);
  return DT_OK;
}

static dt_status synthetic_check(const void *attr) {
  const synthetic_attr *a = attr;
  dt_data_info info = {.count = a->samples};
  DT_REQUIRE(a->fields.count == 0 || a->shape.count == 0, DT_USAGE, "found both shape and fields, expected one of them");
  if (a->fields.count == 0) DT_TRY(check_plain(a));
  synthetic_declare(attr, &info.fields);
  for (int f = 0; f < info.fields.count; f++) {
    const dt_field *field = &info.fields.field[f];
    info.total[f] = dt_count_multiply(a->samples, field->layout == DT_FIELD_SPARSE ? field->entries : field->shape.dim[0]);
  }
  const size_t bytes = dt_dataset_bytes(&info);
  DT_REQUIRE(bytes <= (size_t)bytes_max, DT_USAGE,
             "found %" PRId64 " samples of %zu bytes, expected at most %" PRId64 " bytes in all", a->samples,
             bytes / (size_t)a->samples, bytes_max);
  return DT_OK;
}

static dt_status field_check(const void *attr) {
  const field_attr *a = attr;
  DT_REQUIRE(a->shape.count <= DT_DIMS, DT_USAGE, "found a shape of %d dimensions, expected %d at most", a->shape.count,
             DT_DIMS);
  DT_REQUIRE(a->shortest == 0 || a->entries == 0, DT_USAGE, "found both shortest and entries, expected one of them");
  DT_REQUIRE(a->shortest == 0 || (a->shape.count > 0 && a->shortest <= a->shape.value[0]), DT_USAGE,
             "found shortest %" PRId64 ", expected a shape of as many steps of time or more", a->shortest);
  DT_REQUIRE(a->entries == 0 || (a->shape.count == 1 && a->entries <= a->shape.value[0]), DT_USAGE,
             "found %" PRId64 " entries, expected a shape [columns] of as many columns or more", a->entries);
  return DT_OK;
}

static const dt_option field_options[] = {
    DT_ROW_INTS("shape", offsetof(field_attr, shape), "", 1, 1 << 24,
                "Of a sample; left out: one number. Of a sequence, [most steps, ...]; of a sparse row, [columns]."),
    DT_ROW_ENUM("dtype", offsetof(field_attr, dtype), "u8", dtype_names,
                "Bytes, floats in [-1, 1), or whole numbers below `classes`."),
    DT_ROW_INT("classes", offsetof(field_attr, classes), "10", 1, 1 << 24,
               "Of dtype i32: numbers are drawn from 0 to classes - 1."),
    DT_ROW_INT("shortest", offsetof(field_attr, shortest), "0", 0, 1 << 24,
               "More than 0: samples are sequences of this many steps to the most; 0: all have the shape."),
    DT_ROW_INT("entries", offsetof(field_attr, entries), "0", 0, 1 << 20,
               "More than 0: samples are sparse rows of 1 to so many entries; 0: they are dense."),
    {.name = NULL},
};
static const dt_kind field_kind = {
    .name = "field",
    .doc = "A field of every sample, under a name of its own.",
    .options = field_options,
    .attr_bytes = sizeof(field_attr),
    .positional = "shape",
    .check = field_check,
};
static const dt_kind *const field_kind_table[] = {&field_kind, NULL};
static const dt_kind *const *const field_kinds = field_kind_table;

static const dt_option options[] = {
    DT_ROW_INTS("shape", offsetof(synthetic_attr, shape), "", 1, 65536,
                "Of an image: [channels, height, width]. Samples are images of bytes (`input`) with a label (`label`)."),
    DT_ROW_INT("classes", offsetof(synthetic_attr, classes), "10", 1, 1 << 24, "Labels are drawn from 0 to classes - 1."),
    DT_ROW_INT("samples", offsetof(synthetic_attr, samples), "512", 1, 1 << 30,
               "How many samples there are; all of them are kept in memory."),
    DT_ROW_UINT64("seed", offsetof(synthetic_attr, seed), "1", "Two seeds give different numbers."),
    {.name = "fields",
     .type = DT_OPT_NAMED,
     .default_text = "",
     .max = DT_FIELDS_MAX,
     .kinds = &field_kinds,
     .offset = offsetof(synthetic_attr, fields),
     .doc = "In place of shape and classes: the fields of a sample by name, as in `{left: [1, 28, 28], right: [1, 28, 28], "
            "label: {dtype: i32, classes: 2}}`."},
    {.name = NULL},
};

static const dt_format impl = {.declare = synthetic_declare, .inspect = synthetic_inspect, .load = synthetic_load};

const dt_kind dt_format_synthetic = {
    .name = "synthetic",
    .doc =
        "Random images with random labels, or random numbers in any fields, for benchmarks and tests: nothing can be learned "
        "from them.",
    .options = options,
    .attr_bytes = sizeof(synthetic_attr),
    .positional = "shape",
    .impl = &impl,
    .check = synthetic_check,
};
