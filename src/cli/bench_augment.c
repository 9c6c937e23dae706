#include "cli/bench_augment.h"

#include <stdlib.h>

#include "core/clock.h"
#include "data/sets.h"

enum { LAPS = 5, IMAGES = 64 };
static const double lap_seconds = 0.05;

typedef struct bench {
  const dt_spec *spec;
  const dt_dataset *set;
  int field;
  dt_augment_image image;
} bench;

/* Augmentations [first, end) of a sample. */
static dt_status make(bench *b, int64_t sample, int first, int end) {
  dt_augment_key key = {.seed = b->spec->seed, .sample = sample % b->set->count, .epoch = sample / b->set->count};
  DT_TRY(dt_dataset_read(b->set, b->field, key.sample, (size_t)dt_shape_count(b->image.shape), b->image.pixels));
  for (key.place = first; key.place < end; key.place++) dt_augment_apply(&b->spec->data.augment, &key, &b->image);
  return DT_OK;
}

static int by_value(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* Seconds for an image: the median of laps. */
static dt_status time_range(bench *b, int first, int end, double *out) {
  double lap[LAPS];
  int64_t sample = 0;
  for (int l = 0; l < LAPS; l++) {
    const double start = dt_clock_seconds();
    double now = start;
    int64_t count = 0;
    for (; now - start < lap_seconds; count += IMAGES, now = dt_clock_seconds()) {
      for (int i = 0; i < IMAGES; i++) DT_TRY(make(b, sample++, first, end));
    }
    lap[l] = (now - start) / (double)count;
  }
  qsort(lap, LAPS, sizeof *lap, by_value);
  *out = lap[LAPS / 2];
  return DT_OK;
}

static dt_status print_range(bench *b, const char *name, int first, int end, FILE *out) {
  double seconds;
  DT_TRY(time_range(b, first, end, &seconds));
  fprintf(out, "%-14s %9.1f us %10.0f images/s\n", name, seconds * 1e6, 1 / seconds);
  return DT_OK;
}

static dt_status time_all(bench *b, FILE *out) {
  const dt_choices *augment = &b->spec->data.augment;
  char shape[DT_SHAPE_TEXT];
  fprintf(out, "images of %s, on one thread\n", dt_shape_text(b->image.shape, shape));
  DT_TRY(print_range(b, "copy", 0, 0, out));
  for (int i = 0; i < augment->count; i++) DT_TRY(print_range(b, augment->item[i].kind->name, i, i + 1, out));
  return print_range(b, "all", 0, augment->count, out);
}

static dt_status bench_set(bench *b, FILE *out) {
  DT_TRY(dt_augment_find_image(b->set, b->spec, &b->field));
  DT_REQUIRE(b->field >= 0 && b->spec->data.augment.count > 0, DT_USAGE,
             "bench augment: found no %s, expected an input of images of bytes [C, H, W] and a data.augment",
             b->field >= 0 ? "data.augment" : "such input");
  b->image.shape = &b->set->fields.field[b->field].shape;
  const size_t scratch = (size_t)dt_augment_scratch_bytes(&b->spec->data.augment, b->image.shape);
  uint8_t *room;
  DT_TRY(dt_alloc(1, scratch + (size_t)dt_shape_count(b->image.shape), &room));
  b->image.scratch = room;
  b->image.pixels = room + scratch;
  b->image.is_input = true;
  const dt_status status = time_all(b, out);
  free(room);
  return status;
}

dt_status dt_bench_augment(const dt_config *config, FILE *out) {
  dt_dataset *train = NULL;
  bench b = {.spec = dt_config_spec(config)};
  DT_TRY(dt_sets_load(b.spec, &train, NULL));
  b.set = train;
  const dt_status status = bench_set(&b, out);
  dt_dataset_destroy(&train);
  return status;
}
