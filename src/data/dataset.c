#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <xxhash.h>

#include "data/data.h"
#include "data/path.h"

static dt_status hash_dataset(dt_dataset *dataset) {
  XXH3_state_t *state = XXH3_createState();
  DT_REQUIRE(state != NULL, DT_MEMORY, "could not allocate a hash state");
  XXH3_64bits_reset(state);
  const int64_t head[] = {dataset->count,        dataset->dtype,        dataset->shape.ndim,  dataset->shape.dim[0],
                          dataset->shape.dim[1], dataset->shape.dim[2], dataset->shape.dim[3]};
  const size_t elements = (size_t)(dataset->count * dt_shape_count(&dataset->shape));
  XXH3_64bits_update(state, head, sizeof head);
  if (dataset->pixels != NULL) XXH3_64bits_update(state, dataset->pixels, elements);
  if (dataset->values != NULL) XXH3_64bits_update(state, dataset->values, elements * sizeof *dataset->values);
  if (dataset->labels != NULL) XXH3_64bits_update(state, dataset->labels, (size_t)dataset->count * sizeof *dataset->labels);
  dataset->hash = XXH3_64bits_digest(state);
  XXH3_freeState(state);
  return DT_OK;
}

dt_status dt_dataset_load(const dt_choice *format, const char *dir, dt_dataset **out) {
  dt_status status;
  char *expanded;
  dt_dataset *dataset = NULL;
  DT_TRY(dt_path_expand(dir, &expanded));
  const dt_format *functions = format->kind->impl;
  DT_TRY_GOTO(failed, functions->load(format->attr, expanded, &dataset));
  DT_ASSERT(dataset->dtype == functions->dtype);
  DT_TRY_GOTO(failed, hash_dataset(dataset));
  free(expanded);
  *out = dataset;
  return DT_OK;
failed:
  dt_dataset_destroy(&dataset);
  free(expanded);
  return status;
}

void dt_dataset_destroy(dt_dataset **dataset) {
  if (*dataset == NULL) return;
  free((*dataset)->pixels);
  free((*dataset)->values);
  free((*dataset)->labels);
  free((void *)(*dataset)->source);
  free(*dataset);
  *dataset = NULL;
}

dt_status dt_dataset_check(const dt_dataset *dataset, const dt_shape *input, int classes) {
  char found[64], expected[64];
  DT_REQUIRE(dt_shape_equal(&dataset->shape, input), DT_DATA, "%s: found samples of shape %s, expected %s as model.input says",
             dataset->source, dt_shape_text(&dataset->shape, found), dt_shape_text(input, expected));
  if (classes == 0) return DT_OK;
  DT_REQUIRE(dataset->labels != NULL, DT_DATA, "%s: found no labels, expected a label for each sample", dataset->source);
  for (int64_t i = 0; i < dataset->count; i++) {
    DT_REQUIRE(dataset->labels[i] >= 0 && dataset->labels[i] < classes, DT_DATA,
               "%s: found label %" PRId32 " of sample %" PRId64 ", expected 0 to %d, as the model has %d outputs",
               dataset->source, dataset->labels[i], i, classes - 1, classes);
  }
  return DT_OK;
}

/* Sums of a run of bytes and of their squares. A chunk is short enough for 32-bit sums, which the compiler vectorises. */
static void add_bytes(const uint8_t *byte, int64_t count, uint64_t *sum, uint64_t *squares) {
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

/* variance = (n * squares - sum^2) / n^2 in whole numbers, so that only the last division and root round. */
static void byte_statistics(const dt_dataset *dataset, int64_t channel, int64_t plane, double *mean, double *std) {
  const int64_t elements = dt_shape_count(&dataset->shape), n = dataset->count * plane;
  uint64_t sum = 0, squares = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    add_bytes(dataset->pixels + i * elements + channel * plane, plane, &sum, &squares);
  }
  const unsigned __int128 spread = (unsigned __int128)n * squares - (unsigned __int128)sum * sum;
  *mean = (double)sum / ((double)n * 255);
  *std = sqrt((double)spread) / ((double)n * 255);
}

/* Two sweeps in a fixed order: the mean, then the squares of what differs from it. */
static void value_statistics(const dt_dataset *dataset, int64_t channel, int64_t plane, double *mean, double *std) {
  const int64_t elements = dt_shape_count(&dataset->shape);
  const double n = (double)(dataset->count * plane);
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    for (int64_t j = 0; j < plane; j++) sum += dataset->values[i * elements + channel * plane + j];
  }
  for (int64_t i = 0; i < dataset->count; i++) {
    for (int64_t j = 0; j < plane; j++) {
      const double d = dataset->values[i * elements + channel * plane + j] - sum / n;
      squares += d * d;
    }
  }
  *mean = sum / n;
  *std = sqrt(squares / n);
}

void dt_dataset_statistics(const dt_dataset *dataset, double *mean, double *std) {
  const int64_t channels = dataset->shape.dim[0], plane = dt_shape_count(&dataset->shape) / channels;
  for (int64_t c = 0; c < channels; c++) {
    if (dataset->dtype == DT_U8) {
      byte_statistics(dataset, c, plane, &mean[c], &std[c]);
    } else {
      value_statistics(dataset, c, plane, &mean[c], &std[c]);
    }
    if (std[c] == 0) std[c] = 1;
  }
}
