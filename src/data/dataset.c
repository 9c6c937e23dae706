#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "data/data.h"
#include "data/path.h"

/* Elements of a row of the field's values: of a sample, of a step of time, of an entry. */
static int64_t row_elements(const dt_field *field) {
  if (field->layout == DT_FIELD_SPARSE) return 1;
  dt_shape row = field->shape;
  if (field->layout == DT_FIELD_RAGGED) row.dim[0] = 1;
  return dt_shape_count(&row);
}

/* Rows of a field's values. */
static int64_t row_count(const dt_dataset *dataset, int f) {
  return dataset->data[f].offset != NULL ? dataset->data[f].offset[dataset->count] : dataset->count;
}

/* Where its samples come from, and which of them they are. */
static void hash_stored(const dt_dataset *dataset, const dt_column *data, XXH3_state_t *state) {
  const uint64_t of[] = {data->store->hash, dataset->contents};
  XXH3_64bits_update(state, of, sizeof of);
  XXH3_64bits_update(state, data->index, (size_t)dataset->count * sizeof *data->index);
}

static void hash_field(const dt_dataset *dataset, int f, XXH3_state_t *state) {
  const dt_field *field = &dataset->fields.field[f];
  const dt_column *data = &dataset->data[f];
  int64_t head[5 + DT_DIMS] = {field->layout, field->dtype, field->shape.ndim, field->entries, (int64_t)strlen(field->name)};
  const size_t rows = (size_t)row_count(dataset, f);
  for (int i = 0; i < field->shape.ndim; i++) head[5 + i] = field->shape.dim[i];
  XXH3_64bits_update(state, head, sizeof head);
  XXH3_64bits_update(state, field->name, strlen(field->name));
  if (data->store != NULL) {
    hash_stored(dataset, data, state);
    return;
  }
  XXH3_64bits_update(state, data->values, rows * (size_t)row_elements(field) * dt_dtype_bytes(field->dtype));
  if (data->offset != NULL) XXH3_64bits_update(state, data->offset, (size_t)(dataset->count + 1) * sizeof *data->offset);
  if (data->column != NULL) XXH3_64bits_update(state, data->column, rows * sizeof *data->column);
}

dt_status dt_dataset_hash(dt_dataset *dataset) {
  XXH3_state_t *state = XXH3_createState();
  DT_REQUIRE(state != NULL, DT_MEMORY, "could not allocate a hash state");
  XXH3_64bits_reset(state);
  XXH3_64bits_update(state, &dataset->count, sizeof dataset->count);
  for (int f = 0; f < dataset->fields.count; f++) hash_field(dataset, f, state);
  dataset->hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return DT_OK;
}

/* --- a format's own mistakes, and what files promised --- */

static dt_status check_columns(const dt_dataset *dataset, int f, int64_t sample) {
  const dt_field *field = &dataset->fields.field[f];
  const dt_column *data = &dataset->data[f];
  for (int64_t e = data->offset[sample]; e < data->offset[sample + 1]; e++) {
    const bool ascends = e == data->offset[sample] || data->column[e] > data->column[e - 1];
    DT_REQUIRE(ascends && data->column[e] >= 0 && data->column[e] < field->shape.dim[0], DT_DATA,
               "%s: found column %" PRId32 " of field %s of sample %" PRId64 ", expected ascending columns, 0 to %" PRId64,
               dataset->source, data->column[e], field->name, sample, field->shape.dim[0] - 1);
  }
  return DT_OK;
}

static dt_status check_offsets(const dt_dataset *dataset, int f) {
  const dt_field *field = &dataset->fields.field[f];
  const int64_t *offset = dataset->data[f].offset,
                most = field->layout == DT_FIELD_RAGGED ? field->shape.dim[0] : field->entries;
  DT_REQUIRE(offset[0] == 0, DT_DATA, "%s: found field %s to begin at %" PRId64 ", expected 0", dataset->source, field->name,
             offset[0]);
  for (int64_t i = 0; i < dataset->count; i++) {
    const int64_t length = offset[i + 1] - offset[i];
    DT_REQUIRE(length >= 0 && length <= most, DT_DATA,
               "%s: found %" PRId64 " %s in field %s of sample %" PRId64 ", expected 0 to %" PRId64, dataset->source, length,
               field->layout == DT_FIELD_RAGGED ? "steps" : "entries", field->name, i, most);
    if (field->layout == DT_FIELD_SPARSE) DT_TRY(check_columns(dataset, f, i));
  }
  return DT_OK;
}

static dt_status check_contents(const dt_dataset *dataset) {
  for (int f = 0; f < dataset->fields.count; f++) {
    if (dataset->fields.field[f].layout != DT_FIELD_DENSE) DT_TRY(check_offsets(dataset, f));
  }
  return DT_OK;
}

dt_status dt_dataset_load(const dt_choice *format, const dt_data_request *request, dt_dataset **out) {
  dt_status status;
  char *expanded;
  dt_dataset *dataset = NULL;
  DT_TRY(dt_path_expand(request->dir, &expanded));
  const dt_format *functions = format->kind->impl;
  const dt_data_request found = {.dir = expanded, .classes = request->classes};
  DT_TRY_GOTO(failed, functions->load(format->attr, &found, &dataset));
  DT_TRY_GOTO(failed, check_contents(dataset));
  DT_TRY_GOTO(failed, dt_dataset_hash(dataset));
  free(expanded);
  *out = dataset;
  return DT_OK;
failed:
  dt_dataset_destroy(&dataset);
  free(expanded);
  return status;
}

dt_status dt_dataset_inspect(const dt_choice *format, const dt_data_request *request, bool whole, dt_data_info *out) {
  char *expanded;
  *out = (dt_data_info){.count = 0};
  DT_TRY(dt_path_expand(request->dir, &expanded));
  const dt_data_request found = {.dir = expanded, .classes = request->classes};
  dt_status status = ((const dt_format *)format->kind->impl)->inspect(format->attr, &found, whole, out);
  free(expanded);
  return status;
}

static size_t field_bytes(const dt_field *field, int64_t count, int64_t total) {
  if (total == DT_TOTAL_STORED) return (size_t)count * sizeof(int64_t);
  const bool dense = field->layout == DT_FIELD_DENSE;
  const int64_t element = (int64_t)dt_dtype_bytes(field->dtype), rows = dense ? count : total;
  int64_t bytes = dt_count_multiply(dt_count_multiply(rows, row_elements(field)), element);
  if (!dense) bytes = dt_count_add(bytes, (count + 1) * (int64_t)sizeof(int64_t));
  if (field->layout == DT_FIELD_SPARSE) bytes = dt_count_add(bytes, dt_count_multiply(rows, sizeof(int32_t)));
  return bytes < INT64_MAX ? (size_t)bytes : SIZE_MAX;
}

size_t dt_dataset_bytes(const dt_data_info *info) {
  size_t bytes = 0;
  for (int f = 0; f < info->fields.count && info->count > 0; f++) {
    const size_t more = field_bytes(&info->fields.field[f], info->count, info->total[f]);
    bytes = bytes < SIZE_MAX - more ? bytes + more : SIZE_MAX;
  }
  return bytes;
}

void dt_dataset_info(const dt_dataset *dataset, dt_data_info *out) {
  *out = (dt_data_info){.fields = dataset->fields, .count = dataset->count};
  for (int f = 0; f < dataset->fields.count; f++) {
    if (dataset->data[f].offset != NULL) out->total[f] = dataset->data[f].offset[dataset->count];
    if (dataset->data[f].store != NULL) out->total[f] = DT_TOTAL_STORED;
  }
}

static dt_status create_column(const dt_field *field, int64_t count, int64_t total, dt_column *out) {
  if (total == DT_TOTAL_STORED) return dt_alloc((size_t)count, sizeof *out->index, &out->index);
  const bool dense = field->layout == DT_FIELD_DENSE;
  const int64_t rows = dense ? count : total;
  const int64_t row = dt_count_multiply(row_elements(field), (int64_t)dt_dtype_bytes(field->dtype));
  DT_TRY(dt_alloc((size_t)rows, (size_t)row, &out->values));
  if (!dense) DT_TRY(dt_alloc((size_t)count + 1, sizeof *out->offset, &out->offset));
  if (field->layout == DT_FIELD_SPARSE) DT_TRY(dt_alloc((size_t)rows, sizeof *out->column, &out->column));
  return DT_OK;
}

dt_status dt_dataset_create(const dt_fields *fields, int64_t count, const int64_t *total, dt_dataset **out) {
  dt_dataset *dataset;
  DT_TRY(dt_alloc(1, sizeof *dataset, &dataset));
  dataset->count = count;
  dataset->fields = *fields;
  dt_status status = DT_OK;
  for (int f = 0; f < fields->count && status == DT_OK; f++) {
    status = create_column(&fields->field[f], count, total != NULL ? total[f] : 0, &dataset->data[f]);
  }
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  *out = dataset;
  return status;
}

void dt_dataset_destroy(dt_dataset **dataset) {
  if (*dataset == NULL) return;
  for (int f = 0; f < DT_FIELDS_MAX; f++) {
    free((*dataset)->data[f].values);
    free((*dataset)->data[f].offset);
    free((*dataset)->data[f].column);
    free((*dataset)->data[f].index);
    free((*dataset)->data[f].sums);
    dt_store_release(&(*dataset)->data[f].store);
    free((*dataset)->data[f].names);
  }
  free((void *)(*dataset)->source);
  free((*dataset)->classes);
  free((*dataset)->note);
  free(*dataset);
  *dataset = NULL;
}

int dt_dataset_find(const dt_dataset *dataset, const char *name) {
  return dt_field_find(dataset->fields.field, dataset->fields.count, name);
}

dt_status dt_dataset_read(const dt_dataset *dataset, int field, int64_t index, size_t bytes, void *to) {
  const dt_column *data = &dataset->data[field];
  if (data->store != NULL) return dt_store_read(data->store, data->index[index], to);
  memcpy(to, (const char *)data->values + (size_t)index * bytes, bytes);
  return DT_OK;
}

/* --- what a network needs --- */

static const char *names_text(const dt_fields *fields, char *text, size_t bytes) {
  text[0] = '\0';
  for (int f = 0; f < fields->count; f++) {
    const size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", f == 0 ? "" : f + 1 == fields->count ? " and " : ", ", fields->field[f].name);
  }
  return text;
}

static dt_status check_input(const dt_dataset *dataset, const dt_field *found, const dt_field *needed) {
  char shape[2][DT_SHAPE_TEXT];
  DT_REQUIRE(found->layout == DT_FIELD_DENSE, DT_DATA,
             "%s: found field %s to be %s, expected samples of one shape for an input", dataset->source, found->name,
             found->layout == DT_FIELD_RAGGED ? "sequences of many lengths" : "sparse rows");
  DT_REQUIRE(found->dtype == DT_U8 || found->dtype == DT_F32, DT_DATA,
             "%s: found field %s of whole numbers, expected bytes or floats for an input", dataset->source, found->name);
  DT_REQUIRE(dt_shape_equal(&found->shape, &needed->shape), DT_DATA,
             "%s: found samples of shape %s in field %s, expected %s as model.inputs says", dataset->source,
             dt_shape_text(&found->shape, shape[0]), found->name, dt_shape_text(&needed->shape, shape[1]));
  return DT_OK;
}

static dt_status check_limit(const dt_dataset *dataset, const dt_field *needed, const int32_t *value) {
  for (int64_t i = 0; needed->limit > 0 && i < dataset->count; i++) {
    DT_REQUIRE(value[i] >= 0 && value[i] < needed->limit, DT_DATA,
               "%s: found %s %" PRId32 " of sample %" PRId64 ", expected 0 to %" PRId64 ", as the model has %" PRId64
               " outputs",
               dataset->source, needed->name, value[i], i, needed->limit - 1, needed->limit);
  }
  return DT_OK;
}

/* Bytes stand for floats: the kernel reads either. */
static bool is_type(dt_dtype found, dt_dtype needed) {
  return found == needed || (needed == DT_F32 && found == DT_U8);
}

static dt_status check_target(const dt_dataset *dataset, const dt_field *found, const dt_field *needed) {
  char shape[2][DT_SHAPE_TEXT];
  DT_REQUIRE(
      is_type(found->dtype, needed->dtype) && found->layout == needed->layout && dt_shape_equal(&found->shape, &needed->shape),
      DT_DATA, "%s: found field %s of %s%s, expected %s%s as it is compared with", dataset->source, found->name,
      dt_dtype_name(found->dtype), dt_shape_text(&found->shape, shape[0]), dt_dtype_name(needed->dtype),
      dt_shape_text(&needed->shape, shape[1]));
  return needed->limit > 0 ? check_limit(dataset, needed, dataset->data[found - dataset->fields.field].values) : DT_OK;
}

dt_status dt_dataset_check(const dt_dataset *dataset, const dt_field *needed, int count, int inputs) {
  for (int n = 0; n < count; n++) {
    if (needed[n].mixes > 0) continue;
    char names[DT_FIELDS_MAX * (DT_FIELD_NAME + 5)];
    const int f = dt_dataset_find(dataset, needed[n].name);
    DT_REQUIRE(f >= 0, DT_DATA, "%s: found no field %s, expected one for each sample; there is %s", dataset->source,
               needed[n].name, names_text(&dataset->fields, names, sizeof names));
    DT_TRY((n < inputs ? check_input : check_target)(dataset, &dataset->fields.field[f], &needed[n]));
  }
  return DT_OK;
}

dt_status dt_dataset_note(dt_dataset *dataset, const char *line) {
  const char *before = dataset->note != NULL ? dataset->note : "";
  char *both;
  const size_t bytes = strlen(before) + strlen(line) + 3;
  DT_TRY(dt_alloc(bytes, 1, &both));
  snprintf(both, bytes, "%s%s%s", before, *before != '\0' ? "; " : "", line);
  free(dataset->note);
  dataset->note = both;
  return DT_OK;
}

/* --- statistics --- */

/* Sums of a run of bytes and of their squares. A chunk is short enough for 32-bit sums, which the compiler vectorises. */
void dt_add_bytes(const uint8_t *byte, int64_t count, uint64_t *sum, uint64_t *squares) {
  enum { CHUNK = 65536 }; /* 65536 * 255^2 < 2^32 */
  for (int64_t first = 0; first < count; first += CHUNK) {
    const int64_t end = first + CHUNK < count ? first + CHUNK : count;
    uint32_t s = 0, q = 0;
    for (int64_t i = first; i < end; i++) {
      s += byte[i];
      q += (uint32_t)byte[i] * byte[i];
    }
    *sum += s;
    *squares += q;
  }
}

/* One channel of a dense field: `plane` elements of every sample, `elements` apart. */
typedef struct channel {
  int64_t count, elements, plane;
} channel;

/* variance = (n * squares - sum^2) / n^2 in whole numbers, so that only the last division and root round. */
static void finish_statistics(int64_t n, uint64_t sum, uint64_t squares, double *mean, double *std) {
  const unsigned __int128 spread = (unsigned __int128)n * squares - (unsigned __int128)sum * sum;
  *mean = (double)sum / ((double)n * 255);
  *std = sqrt((double)spread) / ((double)n * 255);
}

static void byte_statistics(const channel *of, const uint8_t *first, double *mean, double *std) {
  const int64_t n = of->count * of->plane;
  uint64_t sum = 0, squares = 0;
  for (int64_t i = 0; i < of->count; i++) dt_add_bytes(first + i * of->elements, of->plane, &sum, &squares);
  finish_statistics(n, sum, squares, mean, std);
}

enum { CHANNELS_AT_ONCE = 16 };

/* Of `channels` neighbouring ones. Two sweeps in a fixed order: the mean, then the squares of what differs from it. A channel
 * without a value has mean 0. Samples are read once for all channels of a table's row, whose order within a channel is the
 * same. */
static void value_statistics(const channel *of, const float *first, int channels, bool has_missing, double *mean, double *std) {
  double sum[CHANNELS_AT_ONCE] = {0}, squares[CHANNELS_AT_ONCE] = {0};
  int64_t n[CHANNELS_AT_ONCE] = {0};
  for (int64_t i = 0; i < of->count; i++) {
    for (int c = 0; c < channels; c++) {
      const float *value = first + i * of->elements + c * of->plane;
      for (int64_t j = 0; j < of->plane; j++) {
        if (has_missing && isnan(value[j])) continue;
        sum[c] += (double)value[j];
        n[c]++;
      }
    }
  }
  for (int c = 0; c < channels; c++) mean[c] = n[c] > 0 ? sum[c] / (double)n[c] : 0;
  for (int64_t i = 0; i < of->count; i++) {
    for (int c = 0; c < channels; c++) {
      const float *value = first + i * of->elements + c * of->plane;
      for (int64_t j = 0; j < of->plane; j++) {
        const double d = (double)value[j] - mean[c];
        if (!(has_missing && isnan(d))) squares[c] += d * d;
      }
    }
  }
  for (int c = 0; c < channels; c++) std[c] = n[c] > 0 ? sqrt(squares[c] / (double)n[c]) : 0;
}

void dt_dataset_statistics(const dt_dataset *dataset, int field, double *mean, double *std) {
  const dt_field *f = &dataset->fields.field[field];
  const void *values = dataset->data[field].values;
  const int64_t channels = dt_shape_channels(&f->shape);
  const channel of = {.count = dataset->count, .elements = dt_shape_count(&f->shape), .plane = dt_shape_inner(&f->shape)};
  for (int64_t c = 0, group; c < channels; c += group) {
    group = 1;
    if (dataset->data[field].store != NULL) {
      const int64_t *sums = dataset->data[field].sums;
      DT_ASSERT(sums != NULL);
      finish_statistics(of.count * of.plane, (uint64_t)sums[c], (uint64_t)sums[channels + c], &mean[c], &std[c]);
    } else if (f->dtype == DT_U8) {
      byte_statistics(&of, (const uint8_t *)values + c * of.plane, &mean[c], &std[c]);
    } else {
      group = channels - c < CHANNELS_AT_ONCE ? channels - c : CHANNELS_AT_ONCE;
      value_statistics(&of, (const float *)values + c * of.plane, (int)group, dataset->data[field].has_missing, &mean[c],
                       &std[c]);
    }
  }
  for (int64_t c = 0; c < channels; c++) {
    if (std[c] == 0) std[c] = 1;
  }
}

void dt_dataset_fill(dt_dataset *dataset, int field, const double *mean) {
  const dt_shape *shape = &dataset->fields.field[field].shape;
  const int64_t elements = dt_shape_count(shape), plane = dt_shape_inner(shape);
  float *value = dataset->data[field].values;
  for (int64_t i = 0; i < dataset->count * elements && dataset->data[field].has_missing; i++) {
    if (isnan(value[i])) value[i] = (float)mean[i % elements / plane];
  }
  dataset->data[field].has_missing = false;
}
