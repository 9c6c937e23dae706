/* The direct convolution kernels, which compute what cuDNN has no plan for, against plain loops in double precision over the
 * terms of the sums: windows, strides that leave a rest, dilation, groups, more channels than a warp has lanes. */
#include <math.h>
#include <stdlib.h>

#include "gpu/conv_direct.h"
#include "gpu/kernel_run.h"
#include "support/unit.h"

typedef struct conv_case {
  const char *name;
  int samples, height, width, inputs, outputs, groups;
  dt_window window;
  dt_gpu_type type;
  dt_act_kind act;
  bool bias;
} conv_case;

#define WINDOW(kh, kw, sh, sw, ph, pw, dh, dw)                                                 \
  {                                                                                            \
    .ndim = 2, .kernel = {kh, kw}, .stride = {sh, sw}, .pad = {ph, pw}, .dilation = { dh, dw } \
  }
static const conv_case cases[] = {
    {"1x1", 3, 4, 5, 7, 3, 1, WINDOW(1, 1, 1, 1, 0, 0, 1, 1), DT_GPU_F32, DT_ACT_NONE, false},
    {"3x3 pad, relu", 2, 7, 6, 5, 4, 1, WINDOW(3, 3, 1, 1, 1, 1, 1, 1), DT_GPU_F32, DT_ACT_RELU, true},
    {"3x3 narrow", 2, 7, 6, 5, 4, 1, WINDOW(3, 3, 1, 1, 1, 1, 1, 1), DT_GPU_BF16, DT_ACT_TANH, true},
    {"one channel, stride leaves a rest", 3, 8, 6, 1, 3, 1, WINDOW(3, 3, 2, 2, 0, 0, 1, 1), DT_GPU_F32, DT_ACT_NONE, true},
    {"stride beyond the window", 2, 9, 10, 2, 3, 1, WINDOW(2, 2, 3, 3, 0, 0, 1, 1), DT_GPU_F32, DT_ACT_SIGMOID, false},
    {"groups", 2, 5, 6, 6, 9, 3, WINDOW(3, 3, 1, 1, 1, 1, 1, 1), DT_GPU_F32, DT_ACT_NONE, false},
    {"a group a channel", 2, 5, 6, 5, 5, 5, WINDOW(3, 3, 1, 1, 1, 1, 1, 1), DT_GPU_BF16, DT_ACT_NONE, false},
    {"more channels than lanes", 2, 3, 3, 37, 2, 1, WINDOW(2, 2, 1, 1, 0, 0, 1, 1), DT_GPU_F32, DT_ACT_NONE, true},
    {"pad beyond the window", 2, 4, 5, 3, 4, 1, WINDOW(3, 2, 2, 1, 7, 4, 1, 2), DT_GPU_F32, DT_ACT_RELU, true},
    {"1x1 pad", 2, 4, 3, 2, 3, 1, WINDOW(1, 1, 1, 1, 2, 2, 1, 1), DT_GPU_BF16, DT_ACT_NONE, true},
    {"everything", 2, 9, 10, 4, 6, 2, WINDOW(3, 2, 2, 3, 2, 1, 2, 3), DT_GPU_F32, DT_ACT_TANH, true},
};

typedef struct conv_test {
  const conv_case *row;
  kernel_run k;
  dt_gpu_conv conv;
  int64_t x_count, w_count, y_count;
  float *x, *w, *y; /* y: dy in the backward */
} conv_test;

static int64_t size_after(const dt_window *w, int axis, int64_t size) {
  return (size + 2 * w->pad[axis] - (w->kernel[axis] - 1) * w->dilation[axis] - 1) / w->stride[axis] + 1;
}

static void begin(conv_test *t, const conv_case *row) {
  const dt_window *w = &row->window;
  kernel_run_begin(&t->k, row->type);
  t->row = row;
  t->conv = (dt_gpu_conv){.window = *w, .groups = row->groups, .bias = row->bias, .act = {row->act, {0}}};
  t->conv.x = (dt_gpu_image){row->samples, row->height, row->width, row->inputs};
  t->conv.y = (dt_gpu_image){row->samples, size_after(w, 0, row->height), size_after(w, 1, row->width), row->outputs};
  t->x_count = dt_gpu_image_count(&t->conv.x), t->y_count = dt_gpu_image_count(&t->conv.y);
  t->w_count = (int64_t)row->outputs * w->kernel[0] * w->kernel[1] * row->inputs / row->groups;
  t->x = kernel_numbers(1, t->x_count, 0, 1), t->w = kernel_numbers(2, t->w_count, 0, 1);
  t->y = kernel_numbers(3, t->y_count, 0, 1);
}

static void end(conv_test *t) {
  free(t->x), free(t->w), free(t->y);
  kernel_run_end(&t->k);
}

/* A term w * x of the sum for y: the elements' places. */
typedef void visitor(double *sum, double *size, int64_t x, int64_t w, int64_t y, const conv_test *t);

static void visit_tap(const conv_test *t, int64_t y, int r, int s, visitor *visit, double *sum, double *size) {
  const dt_gpu_conv *c = &t->conv;
  const dt_window *win = &c->window;
  int64_t inputs = c->x.channels / c->groups;
  int64_t o = y % c->y.channels, q = y / c->y.channels % c->y.width, p = y / c->y.channels / c->y.width % c->y.height;
  int64_t n = y / c->y.channels / c->y.width / c->y.height, first = o / (c->y.channels / c->groups) * inputs;
  int64_t row = p * win->stride[0] - win->pad[0] + r * win->dilation[0];
  int64_t column = q * win->stride[1] - win->pad[1] + s * win->dilation[1];
  if (row < 0 || row >= c->x.height || column < 0 || column >= c->x.width) return;
  for (int64_t i = 0; i < inputs; i++) {
    int64_t x = ((n * c->x.height + row) * c->x.width + column) * c->x.channels + first + i;
    int64_t w = ((o * win->kernel[0] + r) * win->kernel[1] + s) * inputs + i;
    visit(sum, size, x, w, y, t);
  }
}

static void visit_all(const conv_test *t, visitor *visit, double *sum, double *size) {
  for (int64_t y = 0; y < t->y_count; y++) {
    for (int r = 0; r < t->conv.window.kernel[0]; r++) {
      for (int s = 0; s < t->conv.window.kernel[1]; s++) visit_tap(t, y, r, s, visit, sum, size);
    }
  }
}

static void add(double *sum, double *size, double term) {
  *sum += term;
  *size += fabs(term);
}

static void to_y(double *sum, double *size, int64_t x, int64_t w, int64_t y, const conv_test *t) {
  add(&sum[y], &size[y], (double)t->w[w] * t->x[x]);
}

static void to_x(double *sum, double *size, int64_t x, int64_t w, int64_t y, const conv_test *t) {
  add(&sum[x], &size[x], (double)t->w[w] * t->y[y]);
}

static void to_w(double *sum, double *size, int64_t x, int64_t w, int64_t y, const conv_test *t) {
  add(&sum[w], &size[w], (double)t->x[x] * t->y[y]);
}

static double act_of(dt_act_kind act, double x) {
  if (act == DT_ACT_RELU) return x > 0 ? x : 0;
  if (act == DT_ACT_SIGMOID) return 1 / (1 + exp(-x));
  return act == DT_ACT_TANH ? tanh(x) : x;
}

/* Sums in float are off by a few roundings of their terms, and values of 16 bits by one rounding more. */
static void compare(const conv_test *t, dt_gpu_type type, const float *found, const double *sum, const double *size,
                    int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double allowed = 1e-6 * (size[i] + 1) + (type == DT_GPU_F32 ? 0 : fabs(sum[i]) / 256);
    if (!(fabs(found[i] - sum[i]) <= allowed)) {
      fail_msg("%s: [%lld]: found %.9g, expected %.9g", t->row->name, (long long)i, found[i], sum[i]);
    }
  }
}

/* Compares `count` results in device memory with the sums that visit makes. */
static void check(conv_test *t, dt_gpu_type type, const void *result, int64_t count, visitor *visit, const float *bias) {
  double *sum = calloc((size_t)count, sizeof *sum), *size = calloc((size_t)count, sizeof *size);
  float *found = malloc((size_t)count * sizeof *found);
  visit_all(t, visit, sum, size);
  for (int64_t i = 0; visit == to_y && i < count; i++) {
    sum[i] = act_of(t->conv.act.kind, sum[i] + (bias != NULL ? bias[i % t->conv.y.channels] : 0));
  }
  if (type == t->row->type) {
    kernel_read_values(found, result, count);
  } else {
    kernel_read(found, result, (size_t)count * sizeof *found);
  }
  compare(t, type, found, sum, size, count);
  free(sum), free(size), free(found);
}

static void test_forward(void **state) {
  conv_test t;
  begin(&t, *state);
  cudaStream_t stream = t.k.gpu.stream[DT_STREAM_COMPUTE];
  float *bias = kernel_numbers(4, t.row->outputs, 0, 1);
  const void *x = kernel_values(t.x, t.x_count), *w = kernel_values(t.w, t.w_count);
  const float *b = t.row->bias ? kernel_memory(bias, (size_t)t.row->outputs * sizeof *bias) : NULL;
  void *y = kernel_memory(NULL, (size_t)t.y_count * dt_gpu_type_bytes(t.row->type));
  kernel_ok(dt_gpu_conv_direct_fwd(t.row->type, &t.conv, x, w, b, y, stream));
  check(&t, t.row->type, y, t.y_count, to_y, t.row->bias ? bias : NULL);
  free(bias);
  end(&t);
}

/* The sum in one kernel, bias and activation in another, as where a library adds no bias. */
static void test_bias_apart(void **state) {
  conv_test t;
  begin(&t, *state);
  const dt_gpu_type type = t.row->type;
  cudaStream_t stream = t.k.gpu.stream[DT_STREAM_COMPUTE];
  const int64_t rows = t.y_count / t.row->outputs;
  float *bias = kernel_numbers(5, t.row->outputs, 0, 1), *found = malloc((size_t)t.y_count * sizeof *found);
  void *y = kernel_values(t.y, t.y_count);
  const float *b = kernel_memory(bias, (size_t)t.row->outputs * sizeof *bias);
  kernel_ok(dt_gpu_apply_bias(type, (dt_act){t.row->act, {0}}, b, rows, t.row->outputs, y, stream));
  kernel_read_values(found, y, t.y_count);
  for (int64_t i = 0; i < t.y_count; i++) {
    double expected = act_of(t.row->act, (double)t.y[i] + bias[i % t.row->outputs]), size = 1;
    compare(&t, type, &found[i], &expected, &size, 1);
  }
  free(bias), free(found);
  end(&t);
}

static void test_backward(void **state) {
  conv_test t;
  begin(&t, *state);
  cudaStream_t stream = t.k.gpu.stream[DT_STREAM_COMPUTE];
  const void *x = kernel_values(t.x, t.x_count), *w = kernel_values(t.w, t.w_count), *dy = kernel_values(t.y, t.y_count);
  void *dx = kernel_memory(NULL, (size_t)t.x_count * dt_gpu_type_bytes(t.row->type));
  float *dw = kernel_memory(NULL, (size_t)t.w_count * sizeof *dw);
  kernel_ok(dt_gpu_conv_direct_dgrad(t.row->type, &t.conv, dy, w, dx, stream));
  kernel_ok(dt_gpu_conv_direct_wgrad(t.row->type, &t.conv, x, dy, dw, stream));
  check(&t, t.row->type, dx, t.x_count, to_x, NULL);
  check(&t, DT_GPU_F32, dw, t.w_count, to_w, NULL);
  end(&t);
}

int main(void) {
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest forward[COUNT], apart[COUNT], backward[COUNT];
  for (int i = 0; i < COUNT; i++) {
    void *row = (void *)&cases[i];
    forward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_forward, .initial_state = row};
    apart[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_bias_apart, .initial_state = row};
    backward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_backward, .initial_state = row};
  }
  int failed = cmocka_run_group_tests_name("convolution forward", forward, NULL, NULL);
  failed += cmocka_run_group_tests_name("bias apart", apart, NULL, NULL);
  return failed + cmocka_run_group_tests_name("convolution backward", backward, NULL, NULL);
}
