/* A data set in two: samples are dealt by a keyed permutation, so that ranks, runs and resumes agree without a list. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/sets.h"

/* No epoch's permutation. */
static const uint64_t split_epoch = (uint64_t)1 << 47;

static int64_t part_of(double fraction, int64_t count) {
  return (int64_t)llround(fraction * (double)count);
}

/* The first part_of(...) samples of the permuted order, of each class where there are classes. */
static dt_status choose(const dt_dataset *dataset, double fraction, uint64_t seed, const int32_t *label, bool *taken) {
  int64_t *left = NULL, classes = 1;
  for (int64_t i = 0; label != NULL && i < dataset->count; i++) {
    DT_REQUIRE(label[i] >= 0, DT_DATA, "%s: found label %" PRId32 " of sample %" PRId64 ", expected 0 or more", dataset->source,
               label[i], i);
    if (label[i] >= classes) classes = (int64_t)label[i] + 1;
  }
  DT_TRY(dt_alloc((size_t)classes, sizeof *left, &left));
  for (int64_t i = 0; i < dataset->count; i++) left[label != NULL ? label[i] : 0]++;
  for (int64_t c = 0; c < classes; c++) left[c] = part_of(fraction, left[c]);
  for (int64_t p = 0; p < dataset->count; p++) {
    const int64_t i = (int64_t)dt_permute(seed, split_epoch, (uint64_t)p, (uint64_t)dataset->count);
    int64_t *of = &left[label != NULL ? label[i] : 0];
    taken[i] = *of > 0;
    *of -= taken[i];
  }
  free(left);
  return DT_OK;
}

/* --- rows --- */

static size_t row_bytes(const dt_field *field) {
  dt_shape row = field->shape;
  if (field->layout == DT_FIELD_SPARSE) return dt_dtype_bytes(field->dtype);
  if (field->layout == DT_FIELD_RAGGED) row.dim[0] = 1;
  return (size_t)dt_shape_count(&row) * dt_dtype_bytes(field->dtype);
}

/* Moves the samples that are marked so to the front of `to`, which may be the column itself. */
static void gather(const dt_field *field, const dt_column *from, const bool *taken, bool wanted, int64_t count, dt_column *to) {
  const size_t bytes = row_bytes(field);
  int64_t at = 0, sample = 0, first = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t end = from->offset != NULL ? from->offset[i + 1] : i + 1; /* read before it is written */
    const int64_t rows = end - first;
    if (taken[i] == wanted) {
      memmove((char *)to->values + (size_t)at * bytes, (const char *)from->values + (size_t)first * bytes,
              (size_t)rows * bytes);
      if (to->column != NULL) memmove(to->column + at, from->column + first, (size_t)rows * sizeof *to->column);
      at += rows;
      sample++;
      if (to->offset != NULL) to->offset[sample] = at;
    }
    first = end;
  }
}

/* Likewise of a column with a store, which the parts share. */
static void gather_index(const int64_t *from, const bool *taken, bool wanted, int64_t count, int64_t *to) {
  int64_t at = 0;
  for (int64_t i = 0; i < count; i++) {
    if (taken[i] == wanted) to[at++] = from[i];
  }
}

static int64_t rows_of(const dt_column *data, const bool *taken, int64_t count) {
  int64_t rows = 0;
  if (data->store != NULL) return DT_TOTAL_STORED;
  for (int64_t i = 0; i < count && data->offset != NULL; i++) {
    if (taken[i]) rows += data->offset[i + 1] - data->offset[i];
  }
  return rows;
}

/* What is no longer used goes back; a block that cannot shrink stays as it is. */
static void shrink(const dt_field *field, int64_t count, dt_column *data) {
  const size_t rows = (size_t)(data->offset != NULL ? data->offset[count] : count), bytes = rows * row_bytes(field);
  void *smaller = realloc(data->values, bytes > 0 ? bytes : 1);
  if (smaller != NULL) data->values = smaller;
}

/* In place: the samples that are marked so, of which there are `left`. */
static void select_samples(dt_dataset *dataset, const bool *taken, bool wanted, int64_t left) {
  for (int f = 0; f < dataset->fields.count; f++) {
    dt_column *data = &dataset->data[f];
    if (data->store != NULL) {
      gather_index(data->index, taken, wanted, dataset->count, data->index);
      continue;
    }
    gather(&dataset->fields.field[f], data, taken, wanted, dataset->count, data);
    shrink(&dataset->fields.field[f], left, data);
  }
  dataset->count = left;
}

void dt_dataset_select(dt_dataset *dataset, const bool *wanted) {
  int64_t left = 0;
  for (int64_t i = 0; i < dataset->count; i++) left += wanted[i];
  select_samples(dataset, wanted, true, left);
}

static dt_status name_part(const dt_dataset *dataset, const char *what, const char **out) {
  const size_t bytes = strlen(dataset->source) + strlen(what) + 32;
  char *text;
  DT_TRY(dt_alloc(bytes, 1, &text));
  snprintf(text, bytes, "%s (%s data.split)", dataset->source, what);
  *out = text;
  return DT_OK;
}

static dt_status take_part(dt_dataset *dataset, const bool *taken, int64_t part, dt_dataset **out) {
  int64_t total[DT_FIELDS_MAX];
  const char *rest;
  for (int f = 0; f < dataset->fields.count; f++) total[f] = rows_of(&dataset->data[f], taken, dataset->count);
  DT_TRY(dt_dataset_create(&dataset->fields, part, total, out));
  DT_TRY(name_part(dataset, "the part taken off by", &(*out)->source));
  DT_TRY(name_part(dataset, "without the part of", &rest));
  free((void *)dataset->source);
  dataset->source = rest;
  for (int f = 0; f < dataset->fields.count; f++) {
    const dt_column *data = &dataset->data[f];
    (*out)->data[f].has_missing = data->has_missing;
    if (data->store != NULL) {
      (*out)->data[f].store = dt_store_share(data->store);
      gather_index(data->index, taken, true, dataset->count, (*out)->data[f].index);
    } else {
      gather(&dataset->fields.field[f], data, taken, true, dataset->count, &(*out)->data[f]);
    }
  }
  select_samples(dataset, taken, false, dataset->count - part);
  return DT_OK;
}

static dt_status split_in_two(dt_dataset *dataset, double fraction, uint64_t seed, const int32_t *label, bool *taken,
                              dt_dataset **out) {
  int64_t part = 0;
  DT_TRY(choose(dataset, fraction, seed, label, taken));
  for (int64_t i = 0; i < dataset->count; i++) part += taken[i];
  DT_REQUIRE(part > 0 && part < dataset->count, DT_USAGE,
             "data.split: found %g of %" PRId64 " samples, which is %" PRId64 ", expected one or more in each part", fraction,
             dataset->count, part);
  return take_part(dataset, taken, part, out);
}

dt_status dt_dataset_split(dt_dataset *dataset, double fraction, uint64_t seed, int label, dt_dataset **out_part) {
  bool *taken;
  *out_part = NULL;
  DT_TRY(dt_alloc((size_t)dataset->count, sizeof *taken, &taken));
  const int32_t *classes = label >= 0 ? dataset->data[label].values : NULL;
  dt_status status = split_in_two(dataset, fraction, seed, classes, taken, out_part);
  free(taken);
  if (status == DT_OK) status = dt_dataset_hash(dataset);
  if (status == DT_OK) status = dt_dataset_hash(*out_part);
  if (status != DT_OK) dt_dataset_destroy(out_part);
  return status;
}
