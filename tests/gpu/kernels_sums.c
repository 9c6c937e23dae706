/* Ordered sums on the device: columns, elements, folds over roots, and the norm of the gradient with its loss scaling. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"
#include "core/tree.h"
#include "gpu/kernel_run.h"
#include "support/unit.h"

/* --- columns --- */

typedef struct column_case {
  const char *name;
  int64_t rows, columns;
  dt_gpu_type type;
} column_case;

static const column_case column_cases[] = {
    {"one row", 1, 7, DT_GPU_F32},
    {"one column", 3000, 1, DT_GPU_F32},
    {"one piece", 2048, 20, DT_GPU_F32},
    {"two pieces", 2049, 12, DT_GPU_F32},
    {"odd columns", 5000, 13, DT_GPU_F32},
    {"many rows", 300000, 8, DT_GPU_F32},
    {"many columns", 2500, 520, DT_GPU_F32},
    {"bf16", 9000, 24, DT_GPU_BF16},
    {"bf16 by fours", 3000, 20, DT_GPU_BF16},
    {"bf16 by twos, one piece", 700, 50, DT_GPU_BF16},
    {"bf16, odd columns, one piece", 77, 9, DT_GPU_BF16},
};

static void test_columns(void **state) {
  const column_case *row = *state;
  kernel_run k;
  kernel_run_begin(&k, row->type);
  float *x = kernel_numbers(20, row->rows * row->columns, 0.25, 1), *sum = malloc((size_t)row->columns * sizeof *sum);
  void *from = kernel_values(x, row->rows * row->columns);
  void *work = kernel_memory(NULL, dt_gpu_column_work(1, row->rows, row->columns));
  float *db = kernel_memory(NULL, (size_t)row->columns * sizeof *db);
  kernel_ok(dt_gpu_sum_columns(row->type, from, 1, row->rows, row->columns, work, db, k.gpu.stream[DT_STREAM_COMPUTE]));
  kernel_read(sum, db, (size_t)row->columns * sizeof *sum);
  for (int64_t c = 0; c < row->columns; c++) {
    double expected = 0, size = 0;
    for (int64_t r = 0; r < row->rows; r++) {
      expected += x[r * row->columns + c];
      size += fabs(x[r * row->columns + c]);
    }
    if (!(fabs(sum[c] - expected) <= 1e-6 * size)) {
      fail_msg("%s: column %lld: found %.9g, expected %.9g", row->name, (long long)c, sum[c], expected);
    }
  }
  free(x), free(sum);
  kernel_run_end(&k);
}

/* --- elements --- */

static void test_add(void **state) {
  enum { COUNT = 1030 };
  float *a = kernel_numbers(21, COUNT, 0, 1), *b = kernel_numbers(22, COUNT, 0, 1), sum[COUNT];
  for (int shift = 0; shift < 2; shift++) {
    kernel_run k;
    kernel_run_begin(&k, DT_GPU_F32);
    float *into = kernel_memory(a, COUNT * sizeof *a), *from = kernel_memory(b, COUNT * sizeof *b);
    kernel_ok(dt_gpu_add_elements(&k.gpu.base, DT_STREAM_COMPUTE, into + shift, from, COUNT - 7));
    kernel_read(sum, into, sizeof sum);
    for (int i = 0; i < COUNT; i++) {
      int other = i - shift;
      assert_true(sum[i] == (other >= 0 && other < COUNT - 7 ? a[i] + b[other] : a[i]));
    }
    kernel_run_end(&k);
  }
  free(a), free(b);
}

/* --- roots --- */

static void fold_on(int roots, bool in_place) {
  enum { COUNT = 700 };
  kernel_run k;
  dt_tree *tree;
  float *host[DT_GPU_FOLD_MAX], expected[COUNT], got[COUNT];
  const float *source[DT_GPU_FOLD_MAX];
  kernel_run_begin(&k, DT_GPU_F32);
  kernel_ok(dt_tree_create(roots, roots, 0, 1, &tree));
  for (int i = 0; i < roots; i++) {
    host[i] = kernel_numbers(30 + (uint32_t)i, COUNT, 0, 1 + i);
    source[i] = kernel_memory(host[i], sizeof got);
  }
  float *out = in_place ? (float *)source[0] : kernel_memory(NULL, sizeof got);
  kernel_ok(dt_gpu_fold(tree->fold, tree->fold_count, source, roots, COUNT, out, k.gpu.stream[DT_STREAM_COMPUTE]));
  kernel_read(got, out, sizeof got);
  dt_fold_f32(tree->fold, tree->fold_count, host, roots, COUNT, expected);
  if (memcmp(got, expected, sizeof got) != 0) fail_msg("%d roots: other bits than dt_fold_f32", roots);
  for (int i = 0; i < roots; i++) free(host[i]);
  dt_tree_destroy(&tree);
  kernel_run_end(&k);
}

static void test_fold(void **state) {
  static const int roots[] = {1, 2, 3, 5, 8, 13, 33};
  for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
    fold_on(roots[i], false);
    fold_on(roots[i], true);
  }
}

/* --- the norm --- */

/* A gradient block of count elements on the device, and a batch of 24 samples. */
static void norm_begin(kernel_run *k, const float *gradient, int64_t count, double clip_norm) {
  dt_step step = {.batch_samples = 24, .grad_norm = -1, .clip_norm = clip_norm, .scale = 1.0 / 24};
  kernel_run_begin(k, DT_GPU_F32);
  k->program.trained_elements = count;
  k->run.blocks.grad = kernel_memory(gradient, (size_t)count * sizeof *gradient);
  size_t work = 0;
  assert_int_equal(dt_gpu_grad_norm_work(&k->gpu, &k->program, &k->instr, &work), DT_OK);
  k->memory[DT_ARG_WORK] = kernel_memory(NULL, work);
  kernel_write(k->step, &step, sizeof step);
}

static dt_step norm_now(kernel_run *k) {
  dt_step step;
  kernel_ok(dt_gpu_grad_norm(&k->run, &k->instr, &k->micro));
  kernel_read(&step, k->step, sizeof step);
  return step;
}

static void test_norm(void **state) {
  static const int64_t counts[] = {16, 4096, 4112, 100000, 5000000};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    kernel_run k;
    float *gradient = kernel_numbers(40, counts[i], 0, 1e20);
    double sum = 0;
    for (int64_t e = 0; e < counts[i]; e++) sum += (double)gradient[e] * gradient[e];
    norm_begin(&k, gradient, counts[i], 0);
    dt_step step = norm_now(&k);
    double got = step.grad_norm, expected = sqrt(sum) / 24;
    assert_true(step.scale == 1.0 / 24 && !step.skip);
    if (!(fabs(got - expected) <= 1e-12 * expected)) fail_msg("norm: found %.17g, expected %.17g", got, expected);
    free(gradient);
    kernel_run_end(&k);
  }
}

/* Three tensors, the padding behind each being zero. */
static void test_tensor_norm(void **state) {
  enum { ALL = 40000 };
  const dt_segment tensors[] = {{.first = 0, .count = 16}, {.first = 16, .count = 5008}, {.first = 5024, .count = ALL - 5024}};
  float *p = kernel_numbers(43, ALL, 0, 3), *g = kernel_numbers(44, ALL, 0, 1e10);
  double got[3][2];
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_F32);
  k.program.segment_count = 3;
  k.tensors = kernel_memory(tensors, sizeof tensors);
  k.run.blocks.param = kernel_memory(p, ALL * sizeof *p), k.run.blocks.grad = kernel_memory(g, ALL * sizeof *g);
  k.memory[DT_ARG_Y] = kernel_memory(NULL, sizeof got);
  kernel_ok(dt_gpu_tensor_norm(&k.run, &k.instr, &k.micro));
  kernel_read(got, k.memory[DT_ARG_Y], sizeof got);
  for (int t = 0; t < 3; t++) {
    double sum[2] = {0};
    for (int64_t i = tensors[t].first; i < tensors[t].first + tensors[t].count; i++) {
      sum[0] += (double)p[i] * p[i];
      sum[1] += (double)g[i] * g[i];
    }
    for (int c = 0; c < 2; c++) {
      if (!(fabs(got[t][c] - sum[c]) <= 1e-12 * sum[c]))
        fail_msg("tensor %d: found %.17g, expected %.17g", t, got[t][c], sum[c]);
    }
  }
  free(p), free(g);
  kernel_run_end(&k);
}

/* A tensor of many units, one of units that begin anywhere, and one that is a unit; of some units the norm is nearly 0. */
static void test_clip_units(void **state) {
  enum { FIRST = 70 * 300, SECOND = 5 * 1003, THIRD = 48, ALL = 21008 + 5024 + 48 };
  const dt_segment tensors[] = {{.first = 0, .count = 21008, .units = 300, .unit_count = 70},
                                {.first = 21008, .count = 5024, .units = 5, .unit_count = 1003},
                                {.first = 21008 + 5024, .count = 48, .units = 1, .unit_count = THIRD}};
  const int64_t elements[] = {FIRST, SECOND, THIRD};
  float *p = kernel_numbers(45, ALL, 0, 3), *g = kernel_numbers(46, ALL, 0, 60), *got = kernel_numbers(0, ALL, 0, 0);
  const dt_step step = {.scale = 1.0 / 24, .clip_units = 0.9};
  int clipped = 0, spared = 0;
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_F32);
  for (int u = 0; u < 300; u++) {
    for (int i = 0; i < 70; i++) {
      if (u % 3 == 0) p[70 * u + i] *= 1e-6f;
      if (u % 3 == 1) g[70 * u + i] *= 0.9f;
    }
  }
  k.program.segment_count = 3;
  k.tensors = kernel_memory(tensors, sizeof tensors);
  k.run.blocks.param = kernel_memory(p, ALL * sizeof *p), k.run.blocks.grad = kernel_memory(g, ALL * sizeof *g);
  kernel_write(k.step, &step, sizeof step);
  kernel_ok(dt_gpu_clip_units(&k.run, &k.instr, &k.micro));
  kernel_read(got, k.run.blocks.grad, ALL * sizeof *got);
  for (int t = 0; t < 3; t++) {
    for (int64_t i = 0, unit = tensors[t].unit_count; i < elements[t]; i += unit) {
      const float *of_p = p + tensors[t].first + i, *of_g = g + tensors[t].first + i, *have = got + tensors[t].first + i;
      double w = 0, norm = 0;
      for (int64_t e = 0; e < unit; e++) w += (double)of_p[e] * of_p[e], norm += (double)of_g[e] / 24 * of_g[e] / 24;
      const double factor = fmin(1, 0.9 * fmax(1e-3, sqrt(w)) / sqrt(norm));
      factor < 1 ? clipped++ : spared++;
      for (int64_t e = 0; e < unit; e++) {
        if (!(fabs(have[e] - factor * of_g[e]) <= 2e-7 * fabs(factor * of_g[e])))
          fail_msg("tensor %d, element %d: found %.9g, expected %.9g", t, (int)(i + e), have[e], factor * of_g[e]);
      }
    }
  }
  assert_true(clipped > 50 && spared > 50);
  free(p), free(g), free(got);
  kernel_run_end(&k);
}

/* Tensors as above, the last of which has one dimension; the copy in half precision follows where a unit is too long, and there
 * alone, as the rest is written by the update. */
static void test_max_norm(void **state) {
  enum { FIRST = 70 * 300, SECOND = 5 * 1003, THIRD = 48, ALL = 21008 + 5024 + 48 };
  const dt_segment tensors[] = {{.first = 0, .count = 21008, .bounded = true, .units = 300, .unit_count = 70},
                                {.first = 21008, .count = 5024, .bounded = true, .units = 5, .unit_count = 1003},
                                {.first = 21008 + 5024, .count = 48, .units = 1, .unit_count = THIRD}};
  const int64_t elements[] = {FIRST, SECOND, THIRD};
  static float got[ALL], low[ALL];
  float *p = kernel_numbers(47, ALL, 0, 0.5);
  const dt_step step = {.max_norm = 4};
  int shortened = 0, spared = 0;
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_BF16);
  k.program.segment_count = 3;
  k.tensors = kernel_memory(tensors, sizeof tensors);
  k.run.blocks.param = kernel_memory(p, sizeof got);
  k.low = kernel_memory(NULL, ALL * dt_gpu_type_bytes(DT_GPU_BF16));
  kernel_write(k.step, &step, sizeof step);
  kernel_ok(dt_gpu_max_norm(&k.run, &k.instr, &k.micro));
  kernel_read(got, k.run.blocks.param, sizeof got);
  kernel_read_values(low, k.low, ALL);
  for (int t = 0; t < 3; t++) {
    for (int64_t u = 0, unit = tensors[t].unit_count; u < elements[t]; u += unit) {
      const int64_t first = tensors[t].first + u;
      double squares = 0;
      for (int64_t i = first; i < first + unit; i++) squares += (double)p[i] * p[i];
      const bool longer = t < 2 && sqrt(squares) > 4;
      longer ? shortened++ : spared++;
      for (int64_t i = first; i < first + unit; i++) {
        const double expected = longer ? 4 / sqrt(squares) * p[i] : p[i];
        if (!(fabs(got[i] - expected) <= 2e-7 * fabs(expected)) || low[i] != (longer ? kernel_round(DT_GPU_BF16, got[i]) : 0))
          fail_msg("tensor %d, element %d: found %.9g and %.9g, expected %.9g", t, (int)u, got[i], low[i], expected);
      }
    }
  }
  assert_true(shortened > 50 && spared > 50);
  free(p);
  kernel_run_end(&k);
}

/* A gradient of norm 4 * 24 / 24 = 4: what clipping leaves of it is in the scale. */
static void test_clip(void **state) {
  static const double clip[] = {0, 0.5, 3, 4.001, 1e9};
  for (size_t i = 0; i < sizeof clip / sizeof *clip; i++) {
    float gradient[16] = {[5] = -96};
    kernel_run k;
    norm_begin(&k, gradient, 16, clip[i]);
    double expected = clip[i] == 0 ? 1 : fmin(1, clip[i] / (4 + 1e-6));
    assert_true(norm_now(&k).scale == expected / 24);
    kernel_run_end(&k);
  }
}

/* One step of loss scaling: what was there, the gradient, what is there after it. */
typedef struct scale_case {
  const char *name;
  float scale, steps, gradient;
  float next_scale, next_steps, skip;
} scale_case;

static const scale_case scale_cases[] = {
    {"a finite gradient counts a step", 1024, 5, 3, 1024, 6, 0},
    {"an infinite one halves the scale", 1024, 5, INFINITY, 512, 0, 1},
    {"so does a NaN", 1024, 1999, NAN, 512, 0, 1},
    {"the scale stays one at least", 1.5f, 7, -INFINITY, 1, 0, 1},
    {"after 1999 steps it holds", 1024, 1998, 3, 1024, 1999, 0},
    {"after 2000 steps it doubles", 1024, 1999, 3, 2048, 0, 0},
    {"to 2^24 at most", 16777216, 1999, 3, 16777216, 0, 0},
};

static void test_scale(void **state) {
  const scale_case *row = *state;
  enum { COUNT = 5008 };
  float gradient[COUNT] = {0}, scaling[DT_LOSS_SCALE_COUNT] = {row->scale, row->steps, 7, 7};
  kernel_run k;
  gradient[COUNT - 3] = row->gradient;
  norm_begin(&k, gradient, COUNT, 0.25);
  k.loss_scale = kernel_memory(scaling, sizeof scaling);
  dt_step step = norm_now(&k);
  double expected = row->skip != 0 ? 0 : fabs(row->gradient) / 24 / row->scale;
  kernel_read(scaling, k.loss_scale, sizeof scaling);
  assert_true(scaling[0] == row->next_scale);
  assert_true(scaling[1] == row->next_steps);
  assert_true(scaling[2] == row->skip);
  assert_true(scaling[3] == row->scale);
  assert_true(fabs(step.grad_norm - expected) <= 1e-15);
  assert_true(step.skip == (row->skip != 0));
  if (!step.skip) assert_true(step.scale == fmin(1, 0.25 / (step.grad_norm + 1e-6)) / 24 / row->scale);
  kernel_run_end(&k);
}

int main(void) {
  enum { COLUMNS = sizeof column_cases / sizeof *column_cases, SCALES = sizeof scale_cases / sizeof *scale_cases };
  struct CMUnitTest columns[COLUMNS], scales[SCALES];
  const struct CMUnitTest others[] = {cmocka_unit_test(test_add),         cmocka_unit_test(test_fold),
                                      cmocka_unit_test(test_norm),        cmocka_unit_test(test_clip),
                                      cmocka_unit_test(test_tensor_norm), cmocka_unit_test(test_clip_units),
                                      cmocka_unit_test(test_max_norm)};
  for (int i = 0; i < COLUMNS; i++) {
    columns[i] =
        (struct CMUnitTest){.name = column_cases[i].name, .test_func = test_columns, .initial_state = (void *)&column_cases[i]};
  }
  for (int i = 0; i < SCALES; i++) {
    scales[i] =
        (struct CMUnitTest){.name = scale_cases[i].name, .test_func = test_scale, .initial_state = (void *)&scale_cases[i]};
  }
  int failed = cmocka_run_group_tests_name("columns", columns, NULL, NULL);
  failed += cmocka_run_group_tests_name("loss scale", scales, NULL, NULL);
  return failed + cmocka_run_group_tests_name("sums", others, NULL, NULL);
}
