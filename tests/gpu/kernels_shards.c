/* Several shards in one launch: each gets the bits that it has alone, and sums over samples are those of the tree. Alone is the
 * oracle, which other tests hold against formulas; the tree is written out here. */
#include <stdlib.h>
#include <string.h>

#include "gpu/kernel_run.h"
#include "support/unit.h"

enum { SHARDS = 8, PLACES = 40 };
static const int32_t valid[SHARDS] = {40, 3, 0, 17, 1, 40, 39, 25};

/* The sum of `count` columns over shards, [shards][stride], into the first row: the halves of each block are added first. */
static void fold(float *each, int shards, int64_t stride, int64_t count) {
  for (int half = 1; half < shards; half *= 2) {
    for (int s = 0; s < shards; s += 2 * half) {
      for (int64_t i = 0; i < count; i++) each[s * stride + i] += each[(s + half) * stride + i];
    }
  }
}

static void expect_bits(const char *what, const void *got, const void *expected, size_t bytes) {
  if (memcmp(got, expected, bytes) == 0) return;
  for (size_t i = 0; i < bytes / 4; i++) {
    if (memcmp((const char *)got + 4 * i, (const char *)expected + 4 * i, 4) != 0) fail_msg("%s: word %zu differs", what, i);
  }
}

/* --- the fold --- */

/* By packs, with elements left over and with none to spare, and where places, strides or borders allow of none: in the order
 * out[1], out[0]. */
static void test_fold(void **state) {
  enum { COUNT = 900, STRIDE = 1024 };
  static const struct {
    int stride, count, split, off;
  } cases[] = {
      {STRIDE, COUNT, 304, 0}, {STRIDE, COUNT - 1, 304, 0},   {STRIDE, COUNT - 5, COUNT, 0}, {STRIDE, COUNT, 302, 0},
      {STRIDE, COUNT, 303, 0}, {STRIDE - 1, COUNT, COUNT, 0}, {STRIDE - 4, COUNT, COUNT, 1},
  };
  for (int shards = 1; shards <= DT_GPU_SHARDS_MAX; shards *= 2) {
    for (int i = 0; i < (int)(sizeof cases / sizeof *cases) * 2; i++) {
      const int stride = cases[i / 2].stride, count = cases[i / 2].count, off = cases[i / 2].off;
      const int split = cases[i / 2].split < count ? cases[i / 2].split : count, rest = count - split;
      kernel_run k;
      float got[2 * STRIDE], *each = kernel_numbers((uint32_t)shards, shards * STRIDE, 0, 1);
      kernel_run_begin(&k, i % 2 ? DT_GPU_BF16 : DT_GPU_F32);
      const char *from = kernel_values(each, shards * STRIDE);
      float *out = kernel_memory(NULL, sizeof got);
      const dt_gpu_shard_sums sums = {
          from + (size_t)off * dt_gpu_type_bytes(k.gpu.type), shards, stride, count, {out + STRIDE + off, out}, split};
      kernel_ok(dt_gpu_fold_shards(k.gpu.type, &sums, k.gpu.stream[DT_STREAM_COMPUTE]));
      kernel_read(got, out, sizeof got);
      fold(each + off, shards, stride, count);
      expect_bits("the first part", got + STRIDE + off, each + off, (size_t)split * sizeof *got);
      expect_bits("the second part", got, each + off + split, (size_t)rest * sizeof *got);
      for (int e = rest; e < STRIDE + off; e++) assert_true(got[e] == 0);
      for (int e = STRIDE + off + split; e < 2 * STRIDE; e++) assert_true(got[e] == 0);
      free(each);
      kernel_run_end(&k);
    }
  }
}

/* --- columns --- */

static void test_columns(void **state) {
  static const struct { int64_t rows, columns; } cases[] = {{1, 7}, {700, 24}, {2500, 13}, {5000, 64}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    const int64_t rows = cases[i].rows, columns = cases[i].columns;
    kernel_run k;
    kernel_run_begin(&k, DT_GPU_F32);
    cudaStream_t stream = k.gpu.stream[DT_STREAM_COMPUTE];
    float *x = kernel_numbers(7, SHARDS * rows * columns, 0.25, 1), *each = malloc((size_t)(SHARDS * columns) * sizeof *each);
    float *from = kernel_values(x, SHARDS * rows * columns), *got = malloc((size_t)columns * sizeof *got);
    void *work = kernel_memory(NULL, dt_gpu_column_work(SHARDS, rows, columns));
    float *db = kernel_memory(NULL, (size_t)columns * sizeof *db);
    for (int s = 0; s < SHARDS; s++) {
      kernel_ok(dt_gpu_sum_columns(DT_GPU_F32, from + s * rows * columns, 1, rows, columns, work, db, stream));
      kernel_read(each + s * columns, db, (size_t)columns * sizeof *db);
    }
    kernel_ok(dt_gpu_sum_columns(DT_GPU_F32, from, SHARDS, rows, columns, work, db, stream));
    kernel_read(got, db, (size_t)columns * sizeof *db);
    fold(each, SHARDS, columns, columns);
    expect_bits("sum", got, each, (size_t)columns * sizeof *got);
    free(x), free(each), free(got);
    kernel_run_end(&k);
  }
}

/* --- batch norm --- */

typedef struct norm_case {
  const char *name;
  int64_t plane, channels;
  dt_gpu_type type;
} norm_case;

static const norm_case norms[] = {{"one piece", 16, 12, DT_GPU_F32},
                                  {"one piece, odd channels", 20, 5, DT_GPU_F32},
                                  {"several pieces", 81, 12, DT_GPU_F32},
                                  {"bf16, several pieces", 81, 16, DT_GPU_BF16}};

/* All that a batchnorm writes, of all shards or of one. */
typedef struct outputs {
  float *y, *dx;               /* [places][plane][channels] */
  float *aux, *stat, *dw, *db; /* aux [shards][2][channels]; the others of the gradient block */
} outputs;

static outputs make_outputs(int shards, const norm_case *row) {
  const size_t values = (size_t)(shards * PLACES * row->plane * row->channels), channels = (size_t)row->channels;
  outputs o = {.y = malloc(2 * values * sizeof *o.y), .aux = calloc((2 * (size_t)shards + 4) * channels, sizeof *o.aux)};
  assert_non_null(o.y);
  assert_non_null(o.aux);
  o.dx = o.y + values;
  o.stat = o.aux + 2 * (size_t)shards * channels;
  o.dw = o.stat + 2 * channels;
  o.db = o.dw + channels;
  return o;
}

static void free_outputs(outputs *o) {
  free(o->y);
  free(o->aux);
}

static void give_work(kernel_run *k, dt_op op) {
  size_t work = 0;
  k->instr.op = op;
  kernel_ok(dt_gpu_bn_work(&k->gpu, &k->program, &k->instr, &work));
  k->memory[DT_ARG_WORK] = kernel_memory(NULL, work);
}

static void run_norm(const norm_case *row, int first, int shards, outputs *out) {
  kernel_run k;
  const int64_t places = SHARDS * PLACES, values = places * row->plane * row->channels, channels = row->channels;
  const int64_t from = first * PLACES * row->plane * channels, count = shards * PLACES * row->plane * channels;
  kernel_run_begin(&k, row->type);
  float *x = kernel_numbers(1, values, 2, 1), *dy = kernel_numbers(2, values, 0.125, 1);
  float *w = kernel_numbers(3, channels, 1, 0.25), *b = kernel_numbers(4, channels, 0, 0.5);
  const size_t bytes = (size_t)count * dt_gpu_type_bytes(row->type), pair = 2 * (size_t)channels * sizeof(float);
  k.filled = kernel_memory(valid + first, (size_t)shards * sizeof *valid);
  k.program.shard_capacity = PLACES;
  k.program.micro_batch_shards = k.micro.shard_count = shards;
  k.instr.norm.eps = 1e-5;
  k.instr.act.kind = DT_ACT_RELU;
  k.count[DT_ARG_X] = row->plane * channels;
  k.count[DT_ARG_W] = channels;
  k.memory[DT_ARG_X] = kernel_values(x + from, count);
  k.memory[DT_ARG_DY] = kernel_values(dy + from, count);
  k.memory[DT_ARG_W] = kernel_memory(w, pair / 2);
  k.memory[DT_ARG_B] = kernel_memory(b, pair / 2);
  k.memory[DT_ARG_Y] = kernel_memory(NULL, bytes);
  k.memory[DT_ARG_DX] = kernel_memory(NULL, bytes);
  k.memory[DT_ARG_AUX] = kernel_memory(NULL, (size_t)shards * pair);
  k.memory[DT_ARG_STAT] = kernel_memory(NULL, pair);
  k.memory[DT_ARG_DW] = kernel_memory(NULL, pair / 2);
  k.memory[DT_ARG_DB] = kernel_memory(NULL, pair / 2);
  const bool by_bits = shards > 1 && channels % (16 / (int64_t)dt_gpu_type_bytes(row->type)) == 0; /* alone by values */
  if (by_bits) k.memory[DT_ARG_BITS] = kernel_memory(NULL, bytes / 16);
  give_work(&k, DT_OP_BN_FWD);
  kernel_ok(dt_gpu_bn_fwd(&k.run, &k.instr, &k.micro));
  if (!by_bits) k.memory[DT_ARG_MASK] = k.memory[DT_ARG_Y];
  give_work(&k, DT_OP_BN_BWD);
  kernel_ok(dt_gpu_bn_bwd(&k.run, &k.instr, &k.micro));
  kernel_read_values(out->y, k.memory[DT_ARG_Y], count);
  kernel_read_values(out->dx, k.memory[DT_ARG_DX], count);
  kernel_read(out->aux, k.memory[DT_ARG_AUX], (size_t)shards * pair);
  kernel_read(out->stat, k.memory[DT_ARG_STAT], pair);
  kernel_read(out->dw, k.memory[DT_ARG_DW], pair / 2);
  kernel_read(out->db, k.memory[DT_ARG_DB], pair / 2);
  free(x), free(dy), free(w), free(b);
  kernel_run_end(&k);
}

static void test_norm(void **state) {
  const norm_case *row = *state;
  const int64_t channels = row->channels, count = PLACES * row->plane * channels;
  outputs all = make_outputs(SHARDS, row), one = make_outputs(1, row);
  float *sums = malloc((size_t)(SHARDS * 4 * channels) * sizeof *sums); /* stat, dw and db of each */
  assert_non_null(sums);
  run_norm(row, 0, SHARDS, &all);
  for (int s = 0; s < SHARDS; s++) {
    run_norm(row, s, 1, &one);
    expect_bits("y", all.y + s * count, one.y, (size_t)count * sizeof *one.y);
    expect_bits("dx", all.dx + s * count, one.dx, (size_t)count * sizeof *one.dx);
    expect_bits("aux", all.aux + s * 2 * channels, one.aux, (size_t)(2 * channels) * sizeof *one.aux);
    memcpy(sums + s * 4 * channels, one.stat, (size_t)(4 * channels) * sizeof *sums);
  }
  fold(sums, SHARDS, 4 * channels, 4 * channels);
  expect_bits("stat, dw and db", all.stat, sums, (size_t)(4 * channels) * sizeof *sums);
  free(sums);
  free_outputs(&all);
  free_outputs(&one);
}

int main(void) {
  enum { NORMS = sizeof norms / sizeof *norms };
  struct CMUnitTest norm[NORMS];
  const struct CMUnitTest sums[] = {cmocka_unit_test(test_fold), cmocka_unit_test(test_columns)};
  for (int i = 0; i < NORMS; i++) {
    norm[i] = (struct CMUnitTest){.name = norms[i].name, .test_func = test_norm, .initial_state = (void *)&norms[i]};
  }
  int failed = cmocka_run_group_tests_name("sums over shards", sums, NULL, NULL);
  return failed + cmocka_run_group_tests_name("batch norm over shards", norm, NULL, NULL);
}
