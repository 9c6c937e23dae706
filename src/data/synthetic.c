/* Random bytes with random labels, for benchmarks and tests: nothing can be learned from them, and no file is needed. The same
 * numbers on every machine. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "data/data.h"
#include "data/formats.h"

typedef struct synthetic_attr {
  dt_ints shape;
  int64_t classes, samples;
  uint64_t seed;
} synthetic_attr;

enum { BLOCK = 16 };                               /* bytes of a Philox block */
static const int64_t bytes_max = (int64_t)1 << 35; /* of all samples */

static void fill_sample(uint64_t seed, int64_t sample, uint8_t *to, int64_t bytes) {
  for (int64_t first = 0; first < bytes; first += BLOCK) {
    const dt_rng_block block = dt_rng(seed, DT_RNG_SYNTHETIC, (uint64_t)sample, 0, (uint32_t)(first / BLOCK));
    const int64_t end = first + BLOCK < bytes ? first + BLOCK : bytes;
    for (int64_t i = first; i < end; i++) to[i] = (uint8_t)(block.word[(i - first) / 4] >> (i - first) % 4 * 8);
  }
}

static int32_t draw_label(uint64_t seed, int64_t sample, int64_t classes) {
  const dt_rng_block block = dt_rng(seed, DT_RNG_SYNTHETIC, (uint64_t)sample, 1, 0);
  return (int32_t)((uint64_t)block.word[0] * (uint64_t)classes >> 32);
}

static dt_status fill(const synthetic_attr *attr, dt_dataset *dataset) {
  enum { SOURCE_TEXT = 64 };
  const int64_t bytes = dt_shape_count(&dataset->shape);
  char *source;
  DT_TRY(dt_alloc((size_t)dataset->count, (size_t)bytes, &dataset->pixels));
  DT_TRY(dt_alloc((size_t)dataset->count, sizeof *dataset->labels, &dataset->labels));
  DT_TRY(dt_alloc(SOURCE_TEXT, 1, &source));
  snprintf(source, SOURCE_TEXT, "synthetic, seed %" PRIu64, attr->seed);
  dataset->source = source;
  for (int64_t i = 0; i < dataset->count; i++) {
    fill_sample(attr->seed, i, dataset->pixels + i * bytes, bytes);
    dataset->labels[i] = draw_label(attr->seed, i, attr->classes);
  }
  return DT_OK;
}

static dt_shape shape_of(const synthetic_attr *attr) {
  return (dt_shape){3, {attr->shape.value[0], attr->shape.value[1], attr->shape.value[2]}};
}

static dt_status synthetic_load(const void *attr, const char *dir, dt_dataset **out) {
  const synthetic_attr *a = attr;
  dt_dataset *dataset;
  DT_TRY(dt_alloc(1, sizeof *dataset, &dataset));
  dataset->count = a->samples;
  dataset->shape = shape_of(a);
  dataset->dtype = DT_U8;
  dataset->classes = (int)a->classes;
  const dt_status status = fill(a, dataset);
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  *out = dataset;
  return status;
}

static dt_status synthetic_check(const void *attr) {
  const synthetic_attr *a = attr;
  DT_REQUIRE(a->shape.count == 3, DT_USAGE, "found a shape of %d dimensions, expected [channels, height, width]",
             a->shape.count);
  const dt_shape shape = shape_of(a);
  DT_REQUIRE(dt_shape_count(&shape) <= bytes_max / a->samples, DT_USAGE,
             "found %" PRId64 " samples of %" PRId64 " bytes, expected at most %" PRId64 " bytes in all", a->samples,
             dt_shape_count(&shape), bytes_max);
  return DT_OK;
}

static const dt_option options[] = {
    {.name = "shape",
     .type = DT_OPT_INTS,
     .min = 1,
     .max = 65536,
     .offset = offsetof(synthetic_attr, shape),
     .doc = "Of a sample: [channels, height, width]."},
    {.name = "classes",
     .type = DT_OPT_INT,
     .fallback = "10",
     .min = 1,
     .max = 1 << 24,
     .offset = offsetof(synthetic_attr, classes),
     .doc = "Labels are drawn from 0 to classes - 1."},
    {.name = "samples",
     .type = DT_OPT_INT,
     .fallback = "512",
     .min = 1,
     .max = 1 << 30,
     .offset = offsetof(synthetic_attr, samples),
     .doc = "How many samples there are; all of them are kept in memory."},
    {.name = "seed",
     .type = DT_OPT_UINT64,
     .fallback = "1",
     .offset = offsetof(synthetic_attr, seed),
     .doc = "Two seeds give different bytes."},
    {.name = NULL},
};

static const dt_format impl = {.dtype = DT_U8, .load = synthetic_load};

const dt_kind dt_format_synthetic = {
    .name = "synthetic",
    .doc = "Random bytes with random labels, for benchmarks and tests: nothing can be learned from them.",
    .options = options,
    .attr_bytes = sizeof(synthetic_attr),
    .positional = "shape",
    .impl = &impl,
    .check = synthetic_check,
};
