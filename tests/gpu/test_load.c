/* LOAD from a data set in device memory: every pixel is the one that the loader's own moves (dt_augmentation_apply) put there,
 * and the same as when the samples travel with the batch. Scales are such that all values are exact in every precision. */
#include "data/data.h"
#include "gpu/device.h"
#include "support/fill.h"
#include "support/net.h"
#include "support/unit.h"

typedef struct load_case {
  const char *name, *input, *precision;
  int augmentations;
  bool bytes;
} load_case;

static const load_case cases[] = {
    {"one channel", "1, 5, 7", "fp32", 1, true},        {"three channels", "3, 9, 7", "fp32", 2, true},
    {"six channels, bf16", "6, 4, 4", "bf16", 3, true}, {"three channels, fp16", "3, 6, 5", "fp16", 2, true},
    {"no moves", "3, 4, 5", "fp32", 0, true},           {"floats", "3, 4, 5", "fp32", 0, false},
    {"vectors of floats", "13", "fp32", 0, false},
};

enum { BATCH = 7, FILLED = 5, HELD = 11, MOVES = 3 };

/* A data set, and a batch drawn from it. */
typedef struct load_test {
  net net;
  const load_case *row;
  dt_shape shape;
  int64_t elements;
  uint8_t *pixels; /* [HELD][elements] */
  float *values;
  void *held;
  int64_t index[BATCH];
  dt_augmentation move[BATCH * MOVES];
} load_test;

/* Some leave nothing of the image, some not a pixel out. */
static const dt_augmentation some_augmentations[] = {
    {.dy = 1, .dx = -2}, {.flip = 1},         {.dy = -1, .dx = 1, .flip = 1}, {.dy = 0, .dx = 0}, {.dy = 0, .dx = 3},
    {.dy = 40, .dx = 0}, {.dy = -2, .dx = 0}, {.dy = 0, .dx = -1, .flip = 3}, {.dy = 2, .dx = 2}, {.dy = 0, .dx = -90},
    {.flip = 2},
};

static void make_samples(load_test *t) {
  uint64_t key = fill_key(t->row->name);
  t->pixels = net_memory((size_t)(HELD * t->elements));
  t->values = net_memory((size_t)(HELD * t->elements) * sizeof *t->values);
  for (int64_t i = 0; i < HELD * t->elements; i++) {
    t->values[i] = (float)fill_value(key, i);
    t->pixels[i] = (uint8_t)((fill_value(key, i) + 1) * 128);
  }
  for (int i = 0; i < BATCH; i++) t->index[i] = i < FILLED ? (i * 7 + 3) % HELD : -1;
  for (int i = 0; i < BATCH * t->row->augmentations; i++) {
    t->move[i] = some_augmentations[i % (int)(sizeof some_augmentations / sizeof *some_augmentations)];
  }
}

static void open_net(load_test *t) {
  net_open(&t->net, &(net_options){.input = t->row->input,
                                   .layers = "[{branches: [[flatten], [flatten, {linear: 1}]]}]",
                                   .global_batch = BATCH,
                                   .shards = 1,
                                   .device = dt_gpu_create,
                                   .precision = t->row->precision,
                                   .pixels = t->row->bytes});
  t->shape = t->net.graph->node[0].shape;
  t->elements = dt_shape_count(&t->shape);
}

static void set_up(load_test *t, const load_case *row) {
  *t = (load_test){.row = row};
  open_net(t);
  make_samples(t);
  dt_samples samples = {.values = {row->bytes ? (const void *)t->pixels : t->values},
                        .sample_bytes = {(size_t)t->elements * (row->bytes ? 1 : sizeof(float))},
                        .count = HELD};
  NET_OK(t->net.device->ops->own_memory->cache_data(t->net.device, &samples, 0, &t->held));
  assert_non_null(t->held);
}

static void tear_down(load_test *t) {
  t->net.device->ops->own_memory->release_data(t->net.device, t->held);
  net_close(&t->net);
  free(t->pixels);
  free(t->values);
}

/* [BATCH][elements + 1]: the last class is the other branch's. */
static double *load(load_test *t, dt_batch *batch) {
  double *got = net_memory((size_t)(BATCH * (t->elements + 1)) * sizeof(double));
  int32_t labels[BATCH] = {0}, filled[1] = {FILLED};
  int64_t place[1] = {0};
  dt_micro_batch micro = {.shard_count = 1, .batch = batch};
  batch->field[1].part[DT_PART_VALUES] = labels;
  batch->valid = filled;
  batch->position = place;
  batch->samples = FILLED;
  NET_OK(dt_executor_run_micro_batch(t->net.scorer, 0, batch));
  NET_OK(t->net.device->ops->read_value(dt_executor_run_state(t->net.scorer), t->net.eval->logits, &micro, got));
  return got;
}

/* The batch as the loader would make it: moved bytes, noise in empty positions. */
static void move_samples(const load_test *t, uint8_t *pixels, float *values) {
  uint8_t *scratch = net_memory((size_t)t->elements);
  memset(pixels, 77, (size_t)(BATCH * t->elements));
  for (int i = 0; i < FILLED; i++) {
    uint8_t *sample = pixels + i * t->elements;
    memcpy(sample, t->pixels + t->index[i] * t->elements, (size_t)t->elements);
    memcpy(values + i * t->elements, t->values + t->index[i] * t->elements, (size_t)t->elements * sizeof *values);
    for (int m = 0; m < t->row->augmentations; m++)
      dt_augmentation_apply(t->move[i * t->row->augmentations + m], &t->shape, sample, scratch);
  }
  free(scratch);
}

static double expected_value(const load_test *t, const uint8_t *pixels, const float *values, int sample, int64_t e) {
  int64_t i = sample * t->elements + e, c = e / (t->shape.ndim == 3 ? t->shape.dim[1] * t->shape.dim[2] : 1);
  if (sample >= FILLED) return 0;
  double raw = t->row->bytes ? pixels[i] : (double)values[i];
  return raw * (double)t->net.scale[c] + (double)t->net.shift[c];
}

static void check(const load_test *t, const double *got, const uint8_t *pixels, const float *values) {
  for (int sample = 0; sample < BATCH; sample++) {
    for (int64_t e = 0; e < t->elements; e++) {
      double found = got[sample * (t->elements + 1) + e], expected = expected_value(t, pixels, values, sample, e);
      if (found != expected) fail_msg("sample %d, element %d: found %g, expected %g", sample, (int)e, found, expected);
    }
  }
}

static void test_load(void **state) {
  const load_case *row = *state;
  load_test gathered, sent;
  set_up(&gathered, row);
  set_up(&sent, row);
  uint8_t *pixels = net_memory((size_t)(BATCH * gathered.elements));
  float *values = net_memory((size_t)(BATCH * gathered.elements) * sizeof *values);
  move_samples(&gathered, pixels, values);
  dt_batch by_index = {
      .cached = gathered.held, .index = gathered.index, .augmentation = gathered.move, .augmentations = row->augmentations};
  dt_batch whole = {.field = {{{row->bytes ? (const void *)pixels : values}}}};
  double *a = load(&gathered, &by_index), *b = load(&sent, &whole);
  check(&gathered, a, pixels, values);
  check(&sent, b, pixels, values);
  free(a);
  free(b);
  free(pixels);
  free(values);
  tear_down(&gathered);
  tear_down(&sent);
}

int main(void) {
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[COUNT];
  int missing = device_missing(dt_gpu_create, "gpu.load");
  if (missing != 0) return missing;
  for (int i = 0; i < COUNT; i++) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_load, .initial_state = (void *)&cases[i]};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
