/* Batch normalisation's kernels against the formulas in double precision: means far from zero, short shards, every way in which
 * rows are cut, fused additions and masks, as values and as bits. */
#include <math.h>
#include <stdlib.h>

#include "gpu/kernel_run.h"
#include "support/unit.h"

typedef struct norm_case {
  const char *name;
  int64_t places, filled, plane, channels;
  dt_gpu_type type;
  double mean, corner; /* of x; what stands at the first pixel of each sample */
  dt_act_kind act;
  bool fused; /* an addend in forward; a mask and the addend's gradient in backward */
} norm_case;

static const norm_case cases[] = {
    {"one piece", 6, 6, 20, 12, DT_GPU_F32, 0, 0, DT_ACT_NONE, false},
    {"odd channels", 6, 5, 20, 5, DT_GPU_F32, 1, 1, DT_ACT_RELU, true},
    {"a short shard", 40, 3, 81, 20, DT_GPU_F32, -3, -3, DT_ACT_TANH, true},
    {"an empty shard", 6, 0, 20, 12, DT_GPU_F32, 0, 0, DT_ACT_NONE, false},
    {"an empty shard of several pieces", 40, 0, 81, 8, DT_GPU_F32, 0, 0, DT_ACT_RELU, true},
    {"several pieces", 64, 64, 81, 12, DT_GPU_F32, 2, 2, DT_ACT_RELU, true},
    {"several tiles", 64, 63, 36, 140, DT_GPU_F32, 2, 2, DT_ACT_NONE, false},
    {"far from zero", 64, 64, 81, 8, DT_GPU_F32, 10000, 10000, DT_ACT_NONE, false},
    {"far from zero but at the corners", 64, 60, 81, 8, DT_GPU_F32, 1000, 444, DT_ACT_NONE, false},
    {"a large image", 2, 2, 512 * 512, 1, DT_GPU_F32, 53, 53, DT_ACT_NONE, false},
    {"large images", 3, 2, 200 * 200, 8, DT_GPU_F32, 53, 53, DT_ACT_NONE, false},
    {"one value", 4, 1, 1, 9, DT_GPU_F32, 5, 5, DT_ACT_NONE, false},
    {"bf16", 64, 50, 81, 16, DT_GPU_BF16, 1, 1, DT_ACT_RELU, true},
    {"bf16 several tiles", 40, 39, 81, 328, DT_GPU_BF16, 1, 1, DT_ACT_RELU, true},
    {"bf16 one piece", 9, 8, 25, 40, DT_GPU_BF16, 1, 1, DT_ACT_RELU, true},
    {"bf16 one piece, odd channels", 9, 8, 25, 6, DT_GPU_BF16, -1, -1, DT_ACT_SIGMOID, true},
};

static const double eps = 1e-5;

/* A case on the device. */
typedef struct norm_test {
  const norm_case *row;
  kernel_run k;
  int64_t rows, counted, elements;
  float *x, *w, *b, *addend, *dy, *mask;
} norm_test;

static float *with_corners(const norm_case *row, float *x) {
  for (int64_t n = 0; n < row->places; n++) {
    for (int64_t c = 0; c < row->channels; c++) x[n * row->plane * row->channels + c] += (float)(row->corner - row->mean);
  }
  return x;
}

/* Elements of a byte of bits; 0 where the device keeps none. */
static int64_t pack_of(const norm_case *row) {
  const int64_t pack = 16 / (int64_t)dt_gpu_type_bytes(row->type);
  return row->act == DT_ACT_RELU && row->channels % pack == 0 ? pack : 0;
}

static double act_of(dt_act_kind act, double x) {
  switch (act) {
    case DT_ACT_RELU:
      return x > 0 ? x : 0;
    case DT_ACT_SIGMOID:
      return 1 / (1 + exp(-x));
    case DT_ACT_TANH:
      return tanh(x);
    default:
      return x;
  }
}

static double slope_of(dt_act_kind act, double y) {
  switch (act) {
    case DT_ACT_RELU:
      return y > 0 ? 1 : 0;
    case DT_ACT_SIGMOID:
      return y * (1 - y);
    case DT_ACT_TANH:
      return 1 - y * y;
    default:
      return 1;
  }
}

/* Empty positions have values of their own, which must not count, and gradients of zero. */
static void begin(norm_test *t, const norm_case *row) {
  kernel_run *k = &t->k;
  t->row = row;
  t->rows = row->places * row->plane, t->counted = row->filled * row->plane, t->elements = t->rows * row->channels;
  kernel_run_begin(k, row->type);
  int32_t filled = (int32_t)row->filled;
  kernel_write(k->filled, &filled, sizeof filled);
  k->program.shard_capacity = row->places;
  k->instr.norm.eps = eps;
  k->instr.act.kind = row->act;
  k->count[DT_ARG_X] = row->plane * row->channels;
  k->count[DT_ARG_W] = row->channels;
  t->x = with_corners(row, kernel_numbers(1, t->elements, row->mean, 1));
  t->w = kernel_numbers(2, row->channels, 1, 0.25);
  t->b = kernel_numbers(3, row->channels, 0, 0.5);
  t->addend = kernel_numbers(4, t->elements, 0, 1);
  t->dy = kernel_numbers(5, t->elements, 0.125, 1);
  t->mask = kernel_numbers(6, t->elements, 0, 0.25);
  for (int64_t i = t->counted * row->channels; i < t->elements; i++) t->dy[i] = 0;
  size_t value_bytes = (size_t)t->elements * dt_gpu_type_bytes(row->type),
         channel_bytes = (size_t)row->channels * sizeof(float);
  k->memory[DT_ARG_X] = kernel_values(t->x, t->elements);
  k->memory[DT_ARG_W] = kernel_memory(t->w, channel_bytes);
  k->memory[DT_ARG_B] = kernel_memory(t->b, channel_bytes);
  k->memory[DT_ARG_Y] = kernel_memory(NULL, value_bytes);
  k->memory[DT_ARG_AUX] = kernel_memory(NULL, 2 * channel_bytes);
  k->memory[DT_ARG_STAT] = kernel_memory(NULL, 2 * channel_bytes);
  if (pack_of(row) > 0) k->memory[DT_ARG_BITS] = kernel_memory(NULL, (size_t)(t->elements / pack_of(row)));
  k->memory[DT_ARG_ADDEND] = row->fused ? kernel_values(t->addend, t->elements) : NULL;
}

static void end(norm_test *t) {
  kernel_run_end(&t->k);
  free(t->x), free(t->w), free(t->b), free(t->addend), free(t->dy), free(t->mask);
}

static void give_work(norm_test *t, dt_op op) {
  t->k.instr.op = op;
  size_t work = 0;
  assert_int_equal(dt_gpu_bn_work(&t->k.gpu, &t->k.program, &t->k.instr, &work), DT_OK);
  t->k.memory[DT_ARG_WORK] = kernel_memory(NULL, work);
}

static void expect(const norm_test *t, const char *what, int64_t at, double got, double expected, double tolerance) {
  if (!(fabs(got - expected) <= tolerance)) {
    fail_msg("%s: %s[%lld]: found %.9g, expected %.9g, tolerance %.3g", t->row->name, what, (long long)at, got, expected,
             tolerance);
  }
}

/* Mean and biased variance of a channel's counted rows. */
static void find_moments(const norm_test *t, int64_t c, double *mean, double *var) {
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < t->counted; r++) sum += t->x[r * t->row->channels + c];
  *mean = t->counted > 0 ? sum / (double)t->counted : 0;
  for (int64_t r = 0; r < t->counted; r++) squares += pow(t->x[r * t->row->channels + c] - *mean, 2);
  *var = t->counted > 0 ? squares / (double)t->counted : 0;
}

/* What rounding the output to the value type costs. */
static double rounding(const norm_test *t, double y) {
  return t->row->type == DT_GPU_BF16 ? fabs(y) / 256 + 1e-6 : 0;
}

static void check_forward_channel(const norm_test *t, int64_t c, const float *aux, const float *stat, const float *y) {
  const norm_case *row = t->row;
  double mean, var, m = (double)t->counted, n = (double)row->filled;
  find_moments(t, c, &mean, &var);
  double inverse = t->counted > 0 ? 1 / sqrt(var + eps) : 0, unbiased = m > 1 ? var * m / (m - 1) : var;
  expect(t, "mean", c, aux[c], mean, 1e-6 * fabs(mean) + 1e-7);
  expect(t, "1/std", c, aux[row->channels + c], inverse, 1e-5 * inverse);
  expect(t, "stat of the mean", c, stat[c], n * mean, n * (1e-6 * fabs(mean) + 1e-7));
  expect(t, "stat of the variance", c, stat[row->channels + c], n * unbiased, 1e-5 * n * unbiased);
  for (int64_t r = 0; r < t->rows; r++) {
    int64_t i = r * row->channels + c;
    double value = act_of(row->act, (t->x[i] - mean) * inverse * t->w[c] + t->b[c] + (row->fused ? t->addend[i] : 0));
    if (r >= t->counted) value = 0;
    expect(t, "y", i, y[i], value, (1e-6 * fabs(mean) + 1e-5) * (inverse + 1) * 2 + rounding(t, value));
  }
}

/* A bit for each element, the lowest of a byte first: what is above zero as it is written. */
static void check_bits(const norm_test *t, const float *y) {
  const int64_t pack = pack_of(t->row);
  if (pack == 0) return;
  uint8_t *bits = malloc((size_t)(t->elements / pack));
  kernel_read(bits, t->k.memory[DT_ARG_BITS], (size_t)(t->elements / pack));
  for (int64_t i = 0; i < t->elements; i++) expect(t, "bit", i, bits[i / pack] >> i % pack & 1, y[i] > 0, 0);
  free(bits);
}

static void test_forward(void **state) {
  norm_test t;
  begin(&t, *state);
  float *y = malloc((size_t)t.elements * sizeof *y), *aux = malloc((size_t)t.row->channels * 4 * sizeof *aux);
  float *stat = aux + 2 * t.row->channels;
  give_work(&t, DT_OP_BN_FWD);
  kernel_ok(dt_gpu_bn_fwd(&t.k.run, &t.k.instr, &t.k.micro));
  kernel_read_values(y, t.k.memory[DT_ARG_Y], t.elements);
  kernel_read(aux, t.k.memory[DT_ARG_AUX], (size_t)t.row->channels * 2 * sizeof *aux);
  kernel_read(stat, t.k.memory[DT_ARG_STAT], (size_t)t.row->channels * 2 * sizeof *stat);
  for (int64_t c = 0; c < t.row->channels; c++) check_forward_channel(&t, c, aux, stat, y);
  check_bits(&t, y);
  free(y);
  free(aux);
  end(&t);
}

static double masked_dy(const norm_test *t, int64_t i) {
  return t->row->fused ? t->dy[i] * slope_of(t->row->act, t->mask[i]) : t->dy[i];
}

static void check_backward_channel(const norm_test *t, int64_t c, const float *aux, const float *sums, const float *dx,
                                   const float *dadd) {
  const norm_case *row = t->row;
  double mean = aux[c], inverse = aux[row->channels + c], dw = 0, db = 0, size = 0, m = (double)t->counted;
  for (int64_t r = 0; r < t->counted; r++) {
    int64_t i = r * row->channels + c;
    double g = masked_dy(t, i), xh = (t->x[i] - mean) * inverse;
    dw += g * xh, db += g, size += fabs(g) * (1 + fabs(xh));
  }
  expect(t, "dw", c, sums[c], dw, 1e-6 * size);
  expect(t, "db", c, sums[row->channels + c], db, 1e-6 * size);
  for (int64_t r = 0; r < t->rows; r++) {
    int64_t i = r * row->channels + c;
    double g = masked_dy(t, i), xh = (t->x[i] - mean) * inverse, value = 0;
    if (r < t->counted) value = t->w[c] * inverse * (g - db / m - xh * dw / m);
    expect(t, "dx", i, dx[i], value, 1e-5 * (1 + inverse) + 2 * rounding(t, fabs(value) + 2 * inverse));
    if (row->fused) expect(t, "dadd", i, dadd[i], r < t->counted ? g : 0, 1e-6 + rounding(t, g));
  }
}

/* The mask as bits, made of its values here. */
static void mask_by_bits(norm_test *t) {
  const int64_t pack = pack_of(t->row);
  uint8_t *bits = calloc((size_t)(t->elements / pack), 1);
  for (int64_t i = 0; i < t->elements; i++) bits[i / pack] |= (uint8_t)((t->mask[i] > 0) << i % pack);
  t->k.memory[DT_ARG_BITS] = kernel_memory(bits, (size_t)(t->elements / pack));
  t->k.memory[DT_ARG_MASK] = NULL;
  free(bits);
}

static void run_backward(const norm_case *row, bool by_bits) {
  norm_test t;
  begin(&t, row);
  kernel_run *k = &t.k;
  size_t channels = (size_t)t.row->channels, values = (size_t)t.elements * dt_gpu_type_bytes(t.row->type);
  float *dx = malloc((size_t)t.elements * sizeof *dx), *dadd = malloc((size_t)t.elements * sizeof *dadd);
  float *aux = malloc(4 * channels * sizeof *aux), *sums = aux + 2 * channels;
  give_work(&t, DT_OP_BN_FWD);
  kernel_ok(dt_gpu_bn_fwd(&k->run, &k->instr, &k->micro));
  kernel_read(aux, k->memory[DT_ARG_AUX], 2 * channels * sizeof *aux);
  k->memory[DT_ARG_DY] = kernel_values(t.dy, t.elements);
  k->memory[DT_ARG_MASK] = t.row->fused ? kernel_values(t.mask, t.elements) : NULL;
  k->memory[DT_ARG_BITS] = NULL;
  if (by_bits) mask_by_bits(&t);
  k->memory[DT_ARG_DADD] = t.row->fused ? kernel_memory(NULL, values) : NULL;
  k->memory[DT_ARG_DX] = kernel_memory(NULL, values);
  k->memory[DT_ARG_DW] = kernel_memory(NULL, channels * sizeof(float));
  k->memory[DT_ARG_DB] = kernel_memory(NULL, channels * sizeof(float));
  give_work(&t, DT_OP_BN_BWD);
  kernel_ok(dt_gpu_bn_bwd(&k->run, &k->instr, &k->micro));
  kernel_read(sums, k->memory[DT_ARG_DW], channels * sizeof *sums);
  kernel_read(sums + channels, k->memory[DT_ARG_DB], channels * sizeof *sums);
  kernel_read_values(dx, k->memory[DT_ARG_DX], t.elements);
  if (t.row->fused) kernel_read_values(dadd, k->memory[DT_ARG_DADD], t.elements);
  for (int64_t c = 0; c < t.row->channels; c++) check_backward_channel(&t, c, aux, sums, dx, dadd);
  free(dx), free(dadd), free(aux);
  end(&t);
}

static void test_backward(void **state) {
  const norm_case *row = *state;
  run_backward(row, false);
  if (row->fused && pack_of(row) > 0) run_backward(row, true);
}

/* In fp16 what is at most half of the smallest number is written as zero, and masks. Of an even number of samples, half at -1
 * and half at 1, the output is -w or w, so that these are known without fp16. */
static void what_rounds_to_zero_has_no_bit(void **state) {
  enum { CHANNELS = 8, ROWS = 64 };
  static const double smallest = 1.0 / (1 << 24);
  static const float w[CHANNELS] = {1, 0.25f / (1 << 24), -1, 0.75f / (1 << 24), -0.75f / (1 << 24), 2, -0.25f / (1 << 24), 3};
  const float b[CHANNELS] = {0};
  uint16_t x[ROWS * CHANNELS];
  uint8_t bits[ROWS];
  kernel_run k;
  for (int i = 0; i < ROWS * CHANNELS; i++) x[i] = (i / CHANNELS * 5 + i % CHANNELS) % 2 == 0 ? 0x3c00 : 0xbc00; /* 1, -1 */
  kernel_run_begin(&k, DT_GPU_F16);
  const int32_t filled = ROWS;
  kernel_write(k.filled, &filled, sizeof filled);
  k.program.shard_capacity = ROWS;
  k.instr.op = DT_OP_BN_FWD;
  k.instr.norm.eps = eps;
  k.instr.act.kind = DT_ACT_RELU;
  k.count[DT_ARG_X] = k.count[DT_ARG_W] = CHANNELS;
  k.memory[DT_ARG_X] = kernel_memory(x, sizeof x);
  k.memory[DT_ARG_W] = kernel_memory(w, sizeof w);
  k.memory[DT_ARG_B] = kernel_memory(b, sizeof b);
  k.memory[DT_ARG_Y] = kernel_memory(NULL, sizeof x);
  k.memory[DT_ARG_AUX] = kernel_memory(NULL, 2 * sizeof w);
  k.memory[DT_ARG_STAT] = kernel_memory(NULL, 2 * sizeof w);
  k.memory[DT_ARG_BITS] = kernel_memory(NULL, sizeof bits);
  size_t work = 0;
  kernel_ok(dt_gpu_bn_work(&k.gpu, &k.program, &k.instr, &work));
  k.memory[DT_ARG_WORK] = kernel_memory(NULL, work);
  kernel_ok(dt_gpu_bn_fwd(&k.run, &k.instr, &k.micro));
  kernel_read(bits, k.memory[DT_ARG_BITS], sizeof bits);
  for (int i = 0; i < ROWS * CHANNELS; i++) {
    const double y = x[i] == 0x3c00 ? w[i % CHANNELS] : -w[i % CHANNELS];
    assert_int_equal(bits[i / CHANNELS] >> i % CHANNELS & 1, y > smallest / 2);
  }
  kernel_run_end(&k);
}

int main(void) {
  enum { COUNT = sizeof cases / sizeof *cases };
  struct CMUnitTest forward[COUNT], backward[COUNT];
  for (int i = 0; i < COUNT; i++) {
    void *row = (void *)&cases[i];
    forward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_forward, .initial_state = row};
    backward[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_backward, .initial_state = row};
  }
  const struct CMUnitTest bits[] = {cmocka_unit_test(what_rounds_to_zero_has_no_bit)};
  int failed = cmocka_run_group_tests_name("batchnorm forward", forward, NULL, NULL);
  failed += cmocka_run_group_tests_name("batchnorm bits", bits, NULL, NULL);
  return failed + cmocka_run_group_tests_name("batchnorm backward", backward, NULL, NULL);
}
