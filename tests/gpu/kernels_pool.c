/* Pooling's kernels against plain loops: overlapping windows, padding, dilation, NaNs, fused additions and masks. Where the
 * sums are of few small integers, or nothing is added, the results are exact. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/kernel_run.h"
#include "support/unit.h"

typedef struct pool_case {
  const char *name;
  int samples, height, width, channels;
  dt_window window;
  bool average;
  dt_gpu_type type;
  bool fused; /* an addend and a relu's mask in backward */
} pool_case;

#define WINDOW(kh, kw, sh, sw, ph, pw, dh, dw)                                                 \
  {                                                                                            \
    .ndim = 2, .kernel = {kh, kw}, .stride = {sh, sw}, .pad = {ph, pw}, .dilation = { dh, dw } \
  }
static const pool_case cases[] = {
    {"max 2", 3, 8, 6, 16, WINDOW(2, 2, 2, 2, 0, 0, 1, 1), false, DT_GPU_F32, false},
    {"max 2 leaves a rest", 3, 7, 5, 3, WINDOW(2, 2, 2, 2, 0, 0, 1, 1), false, DT_GPU_F32, true},
    {"max 3 overlapping, pad", 2, 9, 7, 8, WINDOW(3, 3, 2, 2, 1, 1, 1, 1), false, DT_GPU_BF16, true},
    {"max 3 dense, pad, odd channels", 2, 6, 7, 5, WINDOW(3, 3, 1, 1, 1, 1, 1, 1), false, DT_GPU_BF16, false},
    {"max rectangle", 2, 6, 9, 4, WINDOW(2, 3, 2, 1, 0, 1, 1, 1), false, DT_GPU_F32, true},
    {"max dilation", 2, 9, 10, 4, WINDOW(3, 2, 2, 1, 1, 1, 2, 3), false, DT_GPU_F32, false},
    {"max stride beyond the window", 2, 9, 10, 4, WINDOW(2, 2, 3, 4, 0, 0, 1, 1), false, DT_GPU_F32, false},
    {"mean 2", 3, 8, 6, 16, WINDOW(2, 2, 2, 2, 0, 0, 1, 1), true, DT_GPU_BF16, true},
    {"mean 3 overlapping, pad", 2, 7, 6, 5, WINDOW(3, 3, 2, 2, 1, 1, 1, 1), true, DT_GPU_F32, false},
    {"mean dilation", 2, 9, 10, 4, WINDOW(2, 3, 1, 2, 1, 0, 3, 2), true, DT_GPU_F32, true},
    {"max 2 by fours", 2, 8, 6, 20, WINDOW(2, 2, 2, 2, 0, 0, 1, 1), false, DT_GPU_BF16, true},
    {"max 2 by twos", 2, 8, 6, 10, WINDOW(2, 2, 2, 2, 0, 0, 1, 1), false, DT_GPU_BF16, false},
    {"mean of the whole image", 3, 5, 7, 12, WINDOW(5, 7, 1, 1, 0, 0, 1, 1), true, DT_GPU_F32, true},
};

/* A case with its images [samples][height][width][channels]. */
typedef struct pool_test {
  const pool_case *row;
  kernel_run k;
  dt_gpu_image x, y;
  int64_t x_count, y_count;
} pool_test;

static int64_t size_after(const dt_window *w, int axis, int64_t size) {
  return (size + 2 * w->pad[axis] - (w->kernel[axis] - 1) * w->dilation[axis] - 1) / w->stride[axis] + 1;
}

static void begin(pool_test *t, const pool_case *row) {
  kernel_run *k = &t->k;
  kernel_run_begin(k, row->type);
  t->row = row;
  t->x = (dt_gpu_image){row->samples, row->height, row->width, row->channels};
  t->y = t->x;
  t->y.height = size_after(&row->window, 0, row->height), t->y.width = size_after(&row->window, 1, row->width);
  t->x_count = dt_gpu_image_count(&t->x), t->y_count = dt_gpu_image_count(&t->y);
  k->instr.pool = (dt_pool_op){.window = row->window, .average = row->average};
  k->image[DT_ARG_X] = k->image[DT_ARG_DX] = t->x;
  k->image[DT_ARG_Y] = k->image[DT_ARG_DY] = t->y;
  if (!row->average) k->memory[DT_ARG_AUX] = kernel_memory(NULL, (size_t)t->y_count);
}

/* Small integers: ties are frequent, and sums exact. */
static float *integers(uint32_t seed, int64_t count) {
  float *value = kernel_numbers(seed, count, 0, 2);
  for (int64_t i = 0; i < count; i++) value[i] = roundf(value[i]);
  return value;
}

/* Element of x under place (r, s) of the window whose output is element `out`; -1 in the padding. */
static int64_t under(const pool_test *t, int64_t out, int r, int s) {
  const dt_window *w = &t->row->window;
  int64_t c = out % t->y.channels, q = out / t->y.channels % t->y.width, p = out / t->y.channels / t->y.width % t->y.height;
  int64_t n = out / t->y.channels / t->y.width / t->y.height;
  int64_t row = p * w->stride[0] - w->pad[0] + r * w->dilation[0], column = q * w->stride[1] - w->pad[1] + s * w->dilation[1];
  if (row < 0 || row >= t->x.height || column < 0 || column >= t->x.width) return -1;
  return ((n * t->x.height + row) * t->x.width + column) * t->x.channels + c;
}

/* y of an output, and the argmax's place. A NaN wins. */
static float pool_at(const pool_test *t, const float *x, int64_t out, int *argmax) {
  const dt_window *w = &t->row->window;
  float best = 0, sum = 0;
  *argmax = -1;
  for (int k = 0; k < w->kernel[0] * w->kernel[1]; k++) {
    int64_t i = under(t, out, k / w->kernel[1], k % w->kernel[1]);
    if (i < 0) continue;
    sum += x[i];
    if (*argmax >= 0 && !(x[i] > best) && !isnan(x[i])) continue;
    *argmax = k, best = x[i];
  }
  return t->row->average ? sum / (float)(w->kernel[0] * w->kernel[1]) : best;
}

static bool same(float a, float b) {
  return a == b || (isnan(a) && isnan(b));
}

static void test_forward(void **state) {
  pool_test t;
  begin(&t, *state);
  float *x = integers(7, t.x_count), *y = malloc((size_t)t.y_count * sizeof *y);
  uint8_t *argmax = calloc(1, (size_t)t.y_count);
  x[t.x_count / 2] = x[t.x_count / 3] = NAN;
  t.k.memory[DT_ARG_X] = kernel_values(x, t.x_count);
  t.k.memory[DT_ARG_Y] = kernel_memory(NULL, (size_t)t.y_count * dt_gpu_type_bytes(t.row->type));
  t.k.instr.op = DT_OP_POOL_FWD;
  kernel_ok(dt_gpu_pool_fwd(&t.k.run, &t.k.instr, &t.k.micro));
  kernel_read_values(y, t.k.memory[DT_ARG_Y], t.y_count);
  if (!t.row->average) kernel_read(argmax, t.k.memory[DT_ARG_AUX], (size_t)t.y_count);
  for (int64_t i = 0; i < t.y_count; i++) {
    int largest;
    float expected = kernel_round(t.row->type, pool_at(&t, x, i, &largest));
    if (!same(y[i], expected)) fail_msg("%s: y[%lld]: found %g, expected %g", t.row->name, (long long)i, y[i], expected);
    if (!t.row->average && argmax[i] != largest) {
      fail_msg("%s: argmax of %lld: found %d, expected %d", t.row->name, (long long)i, argmax[i], largest);
    }
  }
  free(x), free(y), free(argmax);
  kernel_run_end(&t.k);
}

/* The adjoint, scattering. */
static void scatter(const pool_test *t, const float *dy, const uint8_t *argmax, float *dx) {
  const dt_window *w = &t->row->window;
  int places = w->kernel[0] * w->kernel[1];
  for (int64_t out = 0; out < t->y_count; out++) {
    for (int k = 0; k < places; k++) {
      int64_t i = under(t, out, k / w->kernel[1], k % w->kernel[1]);
      if (i >= 0 && (t->row->average || argmax[out] == k)) dx[i] += dy[out];
    }
  }
  for (int64_t i = 0; i < t->x_count && t->row->average; i++) dx[i] /= (float)places;
}

/* Winners as forward would leave them for x. */
static uint8_t *argmax_of(const pool_test *t) {
  uint8_t *argmax = malloc((size_t)t->y_count);
  float *x = integers(8, t->x_count);
  for (int64_t i = 0; i < t->y_count; i++) {
    int largest;
    pool_at(t, x, i, &largest);
    argmax[i] = (uint8_t)largest;
  }
  free(x);
  return argmax;
}

static void test_backward(void **state) {
  pool_test t;
  begin(&t, *state);
  kernel_run *k = &t.k;
  float *dy = integers(9, t.y_count), *addend = integers(10, t.x_count), *mask = integers(11, t.x_count);
  float *expected = calloc((size_t)t.x_count, sizeof *expected), *dx = malloc((size_t)t.x_count * sizeof *dx);
  uint8_t *argmax = argmax_of(&t);
  if (!t.row->average) kernel_write(k->memory[DT_ARG_AUX], argmax, (size_t)t.y_count);
  k->memory[DT_ARG_DY] = kernel_values(dy, t.y_count);
  k->memory[DT_ARG_DX] = kernel_memory(NULL, (size_t)t.x_count * dt_gpu_type_bytes(t.row->type));
  if (t.row->fused) {
    k->instr.act.kind = DT_ACT_RELU;
    k->memory[DT_ARG_ADDEND] = kernel_values(addend, t.x_count);
    k->memory[DT_ARG_MASK] = kernel_values(mask, t.x_count);
  }
  k->instr.op = DT_OP_POOL_BWD;
  kernel_ok(dt_gpu_pool_bwd(&k->run, &k->instr, &k->micro));
  kernel_read_values(dx, k->memory[DT_ARG_DX], t.x_count);
  scatter(&t, dy, argmax, expected);
  for (int64_t i = 0; i < t.x_count; i++) {
    float value = t.row->fused ? (mask[i] > 0 ? expected[i] + addend[i] : 0) : expected[i];
    value = kernel_round(t.row->type, value);
    if (dx[i] != value) fail_msg("%s: dx[%lld]: found %g, expected %g", t.row->name, (long long)i, dx[i], value);
  }
  free(dy), free(addend), free(mask), free(expected), free(dx), free(argmax);
  kernel_run_end(k);
}

/* The mean of an image far from zero is off by no more than its rounding, and that of a constant image by nothing. */
static void test_large_image(void **state) {
  static const pool_case row = {"a large image", 2,    512, 512, 2, WINDOW(512, 512, 512, 512, 0, 0, 1, 1), true,
                                DT_GPU_F32,      false};
  pool_test t;
  float y[4];
  begin(&t, &row);
  float *x = kernel_numbers(12, t.x_count, 53, 1);
  for (int64_t i = t.x_count / 2 + 1; i < t.x_count; i += 2) x[i] = 0.94117647f;
  t.k.memory[DT_ARG_X] = kernel_values(x, t.x_count);
  t.k.memory[DT_ARG_Y] = kernel_memory(NULL, sizeof y);
  t.k.instr.op = DT_OP_POOL_FWD;
  kernel_ok(dt_gpu_pool_fwd(&t.k.run, &t.k.instr, &t.k.micro));
  kernel_read_values(y, t.k.memory[DT_ARG_Y], t.y_count);
  for (int i = 0; i < 4; i++) {
    double sum = 0;
    for (int64_t j = 0; j < 512 * 512; j++) sum += x[((int64_t)(i / 2) * 512 * 512 + j) * 2 + i % 2];
    double mean = sum / (512 * 512);
    if (!(fabs(y[i] - mean) <= 0x1p-24 * mean)) fail_msg("mean %d: found %.9g, expected %.9g", i, y[i], mean);
  }
  assert_true(y[3] == 0.94117647f);
  free(x);
  kernel_run_end(&t.k);
}

int main(void) {
  const struct CMUnitTest large[] = {cmocka_unit_test(test_large_image)};
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest forward[COUNT], backward[COUNT];
  for (int i = 0; i < COUNT; i++) {
    void *row = (void *)&cases[i];
    forward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_forward, .initial_state = row};
    backward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_backward, .initial_state = row};
  }
  int failed = cmocka_run_group_tests_name("pool forward", forward, NULL, NULL);
  failed += cmocka_run_group_tests_name("pool of a large image", large, NULL, NULL);
  return failed + cmocka_run_group_tests_name("pool backward", backward, NULL, NULL);
}
