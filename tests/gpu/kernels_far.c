/* Kernels on more than 2^32 elements. The emulated GPU runs the first and the last blocks of a grid alone, on memory that takes
 * only what is touched of it: every kernel is to do at the far end what it does at the near one, which other tests hold against
 * formulas. What computes an index in too few bits reads or writes where nothing is mapped, or leaves the far end as it was; an
 * overflow of a signed number traps. Counts are such that the last element is that of the last thread. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "gpu/conv_direct.h"
#include "gpu/kernel_run.h"
#include "support/unit.h"

/* 2^20 blocks of 256 threads, which is the most that a grid walks with, come round to MANY several times. */
#define MANY ((int64_t)1 << 32)
enum { REST = 3, BLOCKS = 1 << 20, THREADS = 256 };

static kernel_run k;
static cudaStream_t stream;

static int begin(void **state) {
  kernel_run_begin(&k, DT_GPU_F32);
  stream = k.gpu.stream[DT_STREAM_COMPUTE];
  return 0;
}

static int end(void **state) {
  kernel_run_end(&k);
  return 0;
}

static float *room(int64_t count) {
  return kernel_room((size_t)count * sizeof(float));
}
static void put(float *at, float value) {
  kernel_write(at, &value, sizeof value);
}
static float get(const float *at) {
  float value;
  kernel_read(&value, at, sizeof value);
  return value;
}
static void expect(float expected, const float *at) {
  const float found = get(at);
  if (found != expected) fail_msg("found %g, expected %g", (double)found, (double)expected);
}

/* X, Y and the like of a run: so many samples of [height][width][channels], and the arguments that are given. */
static void give(dt_arg arg, float *memory, int64_t samples, int64_t height, int64_t width, int64_t channels) {
  k.memory[arg] = memory;
  k.image[arg] = (dt_gpu_image){samples, height, width, channels};
  k.count[arg] = height * width * channels;
  k.program.shard_capacity = samples;
}
static void fill_all_places(int64_t samples) {
  const int32_t filled = (int32_t)samples;
  kernel_write(k.filled, &filled, sizeof filled);
}

/* --- blocks of memory --- */

static void test_grid(void **state) {
  assert_int_equal(THREADS * (int64_t)BLOCKS * 16, MANY);
}

static void test_fold_shards(void **state) {
  static const struct {
    int shards;
    int64_t count;
  } cases[] = {{64, MANY / 64}, {2, MANY}};
  for (int i = 0; i < 2; i++) {
    const int64_t count = cases[i].count, last = (cases[i].shards - 1) * count;
    float *from = room(cases[i].shards * count), *out = room(count), *other = room(256);
    const dt_gpu_shard_sums sums = {from, cases[i].shards, count, count, {out, other}, count - 1};
    put(from + count - 2, 2), put(from + last + count - 2, 5);
    put(from + count - 1, 3), put(from + last + count - 1, 8);
    kernel_ok(dt_gpu_fold_shards(DT_GPU_F32, &sums, stream));
    expect(7, out + count - 2);
    expect(11, other);
  }
}

static void test_add(void **state) {
  for (int off = 0; off < 2; off++) { /* aligned to packs, and not */
    float *into = room(MANY + REST + 1) + off, *from = room(MANY + REST + 1) + off;
    for (int64_t i = MANY - 1; i < MANY + REST; i++) put(into + i, 1), put(from + i, (float)(i - MANY));
    kernel_ok(dt_gpu_add_elements(&k.gpu.base, DT_STREAM_COMPUTE, into, from, MANY + REST));
    for (int64_t i = MANY - 1; i < MANY + REST; i++) expect((float)(1 + i - MANY), into + i);
  }
}

static void test_fold(void **state) {
  const int64_t count = MANY / 2; /* blocks of 128 threads */
  const dt_merge merge = {.into = 0, .from = 1};
  float *a = room(count), *b = room(count);
  put(a + count - 1, 4), put(b + count - 1, 5);
  kernel_ok(dt_gpu_fold(&merge, 1, (const float *const[]){a, b}, 2, count, a, stream));
  expect(9, a + count - 1);
}

static void test_convert(void **state) {
  float *wide = room(MANY + REST), *back = room(MANY + REST);
  uint16_t *narrow = kernel_room((size_t)(MANY + REST) * sizeof *narrow);
  put(wide + MANY - 1, 1.5f), put(wide + MANY + REST - 1, -3);
  kernel_ok(dt_gpu_narrow(DT_GPU_BF16, wide, MANY + REST, narrow, stream));
  kernel_ok(dt_gpu_widen(DT_GPU_BF16, narrow, MANY + REST, back, stream));
  expect(1.5f, back + MANY - 1);
  expect(-3, back + MANY + REST - 1);
}

/* The finaliser of SplitMix64, of a word at its place. */
static uint64_t mixed(int64_t place, uint32_t word) {
  uint64_t x = ((uint64_t)place << 32 | word) + 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static void test_fill(void **state) {
  float *to = room(MANY);
  kernel_ok(dt_gpu_fill(DT_GPU_F32, to, MANY, 7, stream));
  expect((float)(mixed(MANY - 1, 7) >> 40) * 0x1p-23f - 1, to + MANY - 1);
}

static void test_hash(void **state) {
  const uint32_t word = 12345;
  unsigned long long before, after, *sum = kernel_memory(NULL, sizeof *sum);
  uint32_t *words = kernel_room((size_t)MANY * sizeof *words);
  kernel_ok(dt_gpu_hash_words(words, MANY, sum, stream));
  kernel_read(&before, sum, sizeof before);
  kernel_write(words + MANY - 1, &word, sizeof word);
  kernel_ok(dt_gpu_hash_words(words, MANY, sum, stream));
  kernel_read(&after, sum, sizeof after);
  assert_true(after - 2 * before == mixed(MANY - 1, word) - mixed(MANY - 1, 0));
}

static void test_norm(void **state) {
  const dt_step step = {.batch_samples = 1};
  float *grad = room(MANY);
  k.run.blocks.grad = grad;
  k.program.trained_elements = MANY;
  k.memory[DT_ARG_WORK] = kernel_memory(NULL, 1024 * sizeof(double));
  kernel_write(k.step, &step, sizeof step);
  put(grad, 4), put(grad + MANY - 1, 3);
  kernel_ok(dt_gpu_grad_norm(&k.run, &k.instr, &k.micro));
  dt_step got;
  kernel_read(&got, k.step, sizeof got);
  assert_true(got.grad_norm == 5);
}

/* The first columns of the first shard and the last of the last are summed: of many shards, of a wide one and of a long one,
 * whose sums are of pieces. */
static void test_columns(void **state) {
  static const struct { int shards, rows; } cases[] = {{64, 512}, {1, 512}, {1, 1 << 22}};
  for (int i = 0; i < 3; i++) {
    const int64_t shards = cases[i].shards, rows = cases[i].rows, columns = MANY / shards / rows;
    float *x = room(MANY), *db = room(columns);
    void *work = kernel_memory(NULL, dt_gpu_column_work((int)shards, rows, columns));
    put(x + MANY - 1, 3), put(x + MANY - 1 - columns, 4);
    kernel_ok(dt_gpu_sum_columns(DT_GPU_F32, x, (int)shards, rows, columns, work, db, stream));
    expect(7, db + columns - 1);
  }
}

/* --- element by element --- */

static void test_activation(void **state) {
  float *y = room(MANY + REST);
  put(y + MANY - 1, -2), put(y + MANY - 2, 2), put(y + MANY + REST - 1, -1);
  kernel_ok(dt_gpu_apply_act(DT_GPU_F32, (dt_act){.kind = DT_ACT_RELU}, y, MANY + REST, stream));
  expect(0, y + MANY - 1);
  expect(2, y + MANY - 2);
  expect(0, y + MANY + REST - 1);
}

static void test_multiply(void **state) {
  float *x = room(MANY), *factor = room(MANY), *y = room(MANY);
  give(DT_ARG_X, x, MANY / 8, 1, 1, 8);
  give(DT_ARG_Y, y, MANY / 8, 1, 1, 8);
  k.memory[DT_ARG_FACTOR] = factor;
  put(x + MANY - 1, 3), put(factor + MANY - 1, 4);
  kernel_ok(dt_gpu_multiply(&k.run, &k.instr, &k.micro));
  expect(12, y + MANY - 1);
}

static void test_bias(void **state) {
  const float bias[4] = {0, 0, 0, 5};
  float *x = room(MANY), *y = room(MANY), *b = kernel_memory(bias, sizeof bias);
  give(DT_ARG_X, x, MANY / 4, 1, 1, 4);
  give(DT_ARG_Y, y, MANY / 4, 1, 1, 4);
  k.memory[DT_ARG_B] = b;
  k.count[DT_ARG_B] = 4;
  put(x + MANY - 1, 1);
  kernel_ok(dt_gpu_add_bias(&k.run, &k.instr, &k.micro));
  expect(6, y + MANY - 1);
  kernel_ok(dt_gpu_apply_bias(DT_GPU_F32, (dt_act){.kind = DT_ACT_NONE}, b, MANY / 4, 4, y, stream));
  expect(11, y + MANY - 1);
}

static void test_flatten(void **state) {
  float *x = room(MANY), *y = room(MANY);
  give(DT_ARG_X, x, MANY / 64, 4, 2, 8);
  give(DT_ARG_Y, y, MANY / 64, 1, 1, 64);
  k.instr.op = DT_OP_FLATTEN;
  put(x + MANY - 64 + 1 * 8 + 3, 9); /* pixel 1, channel 3 */
  kernel_ok(dt_gpu_flatten(&k.run, &k.instr, &k.micro));
  expect(9, y + MANY - 64 + 3 * 8 + 1);
}

static void test_concat(void **state) {
  const int64_t rows = MANY / 4;
  float *x = room(rows * 4), *y = room(rows * 8);
  give(DT_ARG_X, x, rows, 1, 1, 4);
  give(DT_ARG_Y, y, rows, 1, 1, 8);
  k.instr.op = DT_OP_CONCAT;
  k.instr.channel = 4;
  put(x + rows * 4 - 1, 6);
  kernel_ok(dt_gpu_concat(&k.run, &k.instr, &k.micro));
  expect(6, y + rows * 8 - 1);
}

/* Each way through a sample: vectors in fours and not, planes in fours and not. */
static void test_dropout(void **state) {
  static const int64_t shapes[][3] = {{1, 1, 16}, {1, 1, 2}, {2, 2, 4}, {1, 2, 8}};
  for (int i = 0; i < 4; i++) {
    const int64_t each = shapes[i][0] * shapes[i][1] * shapes[i][2];
    float *x = room(MANY), *y = room(MANY), sum = 0;
    k.position = kernel_memory(NULL, sizeof *k.position);
    k.instr.dropout.p = 0.5;
    give(DT_ARG_X, x, MANY / each, shapes[i][0], shapes[i][1], shapes[i][2]);
    give(DT_ARG_Y, y, MANY / each, shapes[i][0], shapes[i][1], shapes[i][2]);
    for (int e = 1; e <= 128; e++) put(x + MANY - e, 1);
    kernel_ok(dt_gpu_dropout_fwd(&k.run, &k.instr, &k.micro));
    for (int e = 1; e <= 128; e++) {
      const float value = get(y + MANY - e);
      assert_true(value == 0 || value == 2);
      sum += value;
    }
    if (sum < 64 || sum > 192) fail_msg("case %d: a sum of %g, expected about 128", i, (double)sum);
  }
}

/* --- windows --- */

static void test_pool(void **state) {
  const int64_t samples = MANY / 16;
  float *x = room(samples * 64), *y = room(MANY);
  k.instr.op = DT_OP_POOL_FWD;
  k.instr.pool = (dt_pool_op){.window = {.ndim = 2, .kernel = {2, 2}, .stride = {2, 2}, .dilation = {1, 1}}};
  k.memory[DT_ARG_AUX] = kernel_room((size_t)MANY);
  give(DT_ARG_X, x, samples, 4, 4, 4);
  give(DT_ARG_Y, y, samples, 2, 2, 4);
  put(x + samples * 64 - 1, 8);
  kernel_ok(dt_gpu_pool_fwd(&k.run, &k.instr, &k.micro));
  expect(8, y + MANY - 1);
  float *dx = room(samples * 64);
  k.instr.op = DT_OP_POOL_BWD;
  give(DT_ARG_DX, dx, samples, 4, 4, 4);
  give(DT_ARG_DY, y, samples, 2, 2, 4);
  kernel_ok(dt_gpu_pool_bwd(&k.run, &k.instr, &k.micro));
  expect(8, dx + samples * 64 - 1);
  expect(0, dx + samples * 64 - 5);
}

static dt_gpu_conv convolution(int64_t samples, int64_t side, int64_t inputs, int64_t outputs) {
  return (dt_gpu_conv){
      .x = {samples, side, side, inputs},
      .y = {samples, side, side, outputs},
      .window = {.ndim = 2, .kernel = {1, 1}, .stride = {1, 1}, .dilation = {1, 1}},
      .groups = 1,
      .shards = 1,
  };
}

static void test_convolution(void **state) {
  const dt_gpu_conv c = convolution(MANY / 32, 4, 2, 2);
  const float weight[4] = {0, 0, 0, 3}; /* y[1] = 3 x[1] */
  float *x = room(MANY), *y = room(MANY), *w = kernel_memory(weight, sizeof weight);
  put(x + MANY - 1, 2);
  kernel_ok(dt_gpu_conv_direct_fwd(DT_GPU_F32, &c, x, w, NULL, y, stream));
  expect(6, y + MANY - 1);
  float *dx = room(MANY);
  kernel_ok(dt_gpu_conv_direct_dgrad(DT_GPU_F32, &c, y, w, dx, stream));
  expect(18, dx + MANY - 1);
}

static void test_many_weights(void **state) {
  const dt_gpu_conv c = convolution(1, 1, 1 << 16, 1 << 16);
  float *x = room(1 << 16), *dy = room(1 << 16), *dw = room(MANY);
  put(x + (1 << 16) - 1, 5), put(dy + (1 << 16) - 1, 7);
  kernel_ok(dt_gpu_conv_direct_wgrad(DT_GPU_F32, &c, x, dy, dw, stream));
  expect(35, dw + MANY - 1);
}

/* --- rows --- */

static void test_layernorm(void **state) {
  float *x = room(MANY), *y = room(MANY), weight[64], bias[64] = {0};
  for (int i = 0; i < 64; i++) weight[i] = 1;
  give(DT_ARG_X, x, MANY / 64, 1, 1, 64);
  give(DT_ARG_Y, y, MANY / 64, 1, 1, 64);
  k.instr.norm.eps = 1e-12;
  k.memory[DT_ARG_W] = kernel_memory(weight, sizeof weight);
  k.memory[DT_ARG_B] = kernel_memory(bias, sizeof bias);
  for (int i = 1; i <= 64; i++) put(x + MANY - i, i % 2 ? 1 : -1); /* mean 0, variance 1 */
  kernel_ok(dt_gpu_ln_fwd(&k.run, &k.instr, &k.micro));
  expect(1, y + MANY - 1);
  float *dx = room(MANY);
  give(DT_ARG_DX, dx, MANY / 64, 1, 1, 64);
  k.memory[DT_ARG_DY] = y;
  k.memory[DT_ARG_WORK] = kernel_room((size_t)(MANY / 64) * 2 * sizeof(float));
  put(y + MANY - 64, 1), put(y + MANY - 63, 1), put(y + MANY - 1, 65); /* dy = y + 64 at the last */
  kernel_ok(dt_gpu_ln_bwd(&k.run, &k.instr, &k.micro));
  assert_true(fabsf(get(dx + MANY - 1)) > 30);
}

/* Rows of 2^16 logits. */
static void test_cross_entropy(void **state) {
  enum { CLASSES = 1 << 16 };
  const int64_t samples = MANY / CLASSES;
  const int32_t label = CLASSES - 1;
  int32_t *labels = kernel_room((size_t)samples * sizeof *labels);
  float *x = room(MANY), *dx = room(MANY), *terms = room(2 * samples);
  dt_buffer buffer = {.offset = 0};
  dt_field field = {.name = "label", .dtype = DT_I32};
  k.program.buffer = &buffer;
  k.program.field = &field;
  k.program.columns = 2;
  k.field = labels;
  k.instr.loss.weight = 1;
  give(DT_ARG_X, x, samples, 1, 1, CLASSES);
  give(DT_ARG_DX, dx, samples, 1, 1, CLASSES);
  k.memory[DT_ARG_TERMS] = terms;
  fill_all_places(samples);
  kernel_write(labels + samples - 1, &label, sizeof label);
  kernel_ok(dt_gpu_cross_entropy(&k.run, &k.instr, &k.micro));
  expect(1.0f / CLASSES - 1, dx + MANY - 1);
  expect(logf(CLASSES), terms + 2 * samples - 2);
  k.memory[DT_ARG_Y] = dx;
  put(x + MANY - 1, 100);
  kernel_ok(dt_gpu_softmax(&k.run, &k.instr, &k.micro));
  expect(1, dx + MANY - 1);
}

static void test_judged(void **state) {
  enum { CLASSES = 1024 };
  const int64_t samples = 1 << 24; /* the largest batch */
  const int32_t label = CLASSES - 1;
  int32_t *labels = kernel_room((size_t)samples * sizeof *labels);
  float *x = room(samples * CLASSES), *terms = room(samples);
  dt_buffer buffer = {.offset = 0};
  k.program.buffer = &buffer;
  k.program.columns = 1;
  k.field = labels;
  give(DT_ARG_X, x, samples, 1, 1, CLASSES);
  k.memory[DT_ARG_TERMS] = terms;
  fill_all_places(samples);
  kernel_write(labels + samples - 1, &label, sizeof label);
  put(x + samples * CLASSES - 1, 1);
  kernel_ok(dt_gpu_confusion(&k.run, &k.instr, &k.micro));
  expect(CLASSES * CLASSES - 1, terms + samples - 1);
}

int main(void) {
  setenv("DTRAIN_EMULATED_GPU", "memory=4611686018427387904,sparse=1000000000,blocks=2", 1);
#define FAR(name) cmocka_unit_test_setup_teardown(name, begin, end)
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_grid),
      FAR(test_fold_shards),
      FAR(test_add),
      FAR(test_fold),
      FAR(test_convert),
      FAR(test_fill),
      FAR(test_hash),
      FAR(test_norm),
      FAR(test_columns),
      FAR(test_activation),
      FAR(test_multiply),
      FAR(test_bias),
      FAR(test_flatten),
      FAR(test_concat),
      FAR(test_dropout),
      FAR(test_pool),
      FAR(test_convolution),
      FAR(test_many_weights),
      FAR(test_layernorm),
      FAR(test_cross_entropy),
      FAR(test_judged),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
