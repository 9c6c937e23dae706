/* Fully connected layers against plain double loops, and the same bytes whatever the instruction set and threads. */
#include <math.h>

#include "cpu/one_kernel.h"

typedef struct linear_case {
  int inputs, outputs, shards, slots, short_by; /* the last shard lacks short_by samples */
  dt_act_kind act;
  bool addend;
} linear_case;

static const linear_case cases[] = {
    {.inputs = 7, .outputs = 3, .shards = 1, .slots = 5},
    {.inputs = 50, .outputs = 10, .shards = 2, .slots = 16, .act = DT_ACT_RELU},
    {.inputs = 33, .outputs = 70, .shards = 3, .slots = 20, .short_by = 7, .act = DT_ACT_TANH, .addend = true},
    {.inputs = 70, .outputs = 300, .shards = 1, .slots = 33, .act = DT_ACT_SIGMOID},
    {.inputs = 300, .outputs = 37, .shards = 7, .slots = 17, .short_by = 17, .addend = true},
    {.inputs = 64, .outputs = 64, .shards = 4, .slots = 64, .act = DT_ACT_RELU, .addend = true},
};
enum { CASES = sizeof cases / sizeof cases[0] };

static double activate(dt_act_kind act, double x) {
  return act == DT_ACT_RELU ? fmax(x, 0) : act == DT_ACT_TANH ? tanh(x) : act == DT_ACT_SIGMOID ? 1 / (1 + exp(-x)) : x;
}

static double slope(dt_act_kind act, double y) {
  return act == DT_ACT_RELU ? y > 0 : act == DT_ACT_TANH ? 1 - y * y : act == DT_ACT_SIGMOID ? y * (1 - y) : 1;
}

static bool create(one_kernel *k, const linear_case *c, dt_op op, const char *isa, int threads) {
  if (!one_create(k, op, isa, threads, c->shards, c->slots)) return false;
  k->filled[c->shards - 1] -= c->short_by;
  k->instr.act.kind = c->act;
  return true;
}

static dt_shape vector(int64_t n) {
  return (dt_shape){1, {n}};
}

/* The instruction's output bytes; checked against double loops when `check`. Returns new. */
typedef float *linear_run(const linear_case *c, const char *isa, int threads, bool check, size_t *out_bytes);

static float *keep(const float *from, size_t count, size_t *out_bytes) {
  float *copy = malloc(count * sizeof *copy);
  memcpy(copy, from, count * sizeof *copy);
  *out_bytes = count * sizeof *copy;
  return copy;
}

static float *run_forward(const linear_case *c, const char *isa, int threads, bool check, size_t *out_bytes) {
  one_kernel k;
  if (!create(&k, c, DT_OP_LINEAR_FWD, isa, threads)) return NULL;
  one_buffer(&k, DT_ARG_X, DT_BUF_VALUE, vector(c->inputs));
  one_buffer(&k, DT_ARG_Y, DT_BUF_VALUE, vector(c->outputs));
  one_buffer(&k, DT_ARG_W, DT_BUF_PARAM, (dt_shape){2, {c->outputs, c->inputs}});
  one_buffer(&k, DT_ARG_B, DT_BUF_PARAM, vector(c->outputs));
  if (c->addend) one_buffer(&k, DT_ARG_ADDEND, DT_BUF_VALUE, vector(c->outputs));
  one_bind(&k);
  double *x = one_fill_value(&k, DT_ARG_X, 1, true), *addend = c->addend ? one_fill_value(&k, DT_ARG_ADDEND, 2, true) : NULL;
  float *w = one_fill_flat(&k, DT_ARG_W, 3), *b = one_fill_flat(&k, DT_ARG_B, 4);
  one_run(&k);
  double *y = one_read_value(&k, DT_ARG_Y);
  for (int64_t i = 0; check && i < c->shards * c->slots * c->outputs; i++) {
    int64_t n = i / c->outputs, o = i % c->outputs;
    double sum = b[o] + (addend != NULL ? addend[i] : 0);
    for (int64_t j = 0; j < c->inputs; j++) sum += (double)w[o * c->inputs + j] * x[n * c->inputs + j];
    assert_close(y[i], activate(c->act, sum), 1e-5, "y", i);
  }
  float *copy = keep(one_flat(&k, DT_ARG_Y), k.buffer[k.instr.arg[DT_ARG_Y]].bytes / 4, out_bytes);
  free(x);
  free(addend);
  free(y);
  one_destroy(&k);
  return copy;
}

static float *run_input_gradient(const linear_case *c, const char *isa, int threads, bool check, size_t *out_bytes) {
  one_kernel k;
  if (!create(&k, c, DT_OP_LINEAR_DGRAD, isa, threads)) return NULL;
  one_buffer(&k, DT_ARG_DY, DT_BUF_VALUE, vector(c->outputs));
  one_buffer(&k, DT_ARG_DX, DT_BUF_VALUE, vector(c->inputs));
  one_buffer(&k, DT_ARG_W, DT_BUF_PARAM, (dt_shape){2, {c->outputs, c->inputs}});
  if (c->addend) one_buffer(&k, DT_ARG_ADDEND, DT_BUF_VALUE, vector(c->inputs));
  if (c->act != DT_ACT_NONE) one_buffer(&k, DT_ARG_MASK, DT_BUF_VALUE, vector(c->inputs));
  one_bind(&k);
  double *dy = one_fill_value(&k, DT_ARG_DY, 1, true), *addend = c->addend ? one_fill_value(&k, DT_ARG_ADDEND, 2, true) : NULL;
  double *mask = c->act != DT_ACT_NONE ? one_fill_value(&k, DT_ARG_MASK, 5, false) : NULL;
  float *w = one_fill_flat(&k, DT_ARG_W, 3);
  one_run(&k);
  double *dx = one_read_value(&k, DT_ARG_DX);
  for (int64_t i = 0; check && i < c->shards * c->slots * c->inputs; i++) {
    int64_t n = i / c->inputs, j = i % c->inputs;
    double sum = addend != NULL ? addend[i] : 0;
    for (int64_t o = 0; o < c->outputs; o++) sum += (double)w[o * c->inputs + j] * dy[n * c->outputs + o];
    assert_close(dx[i], sum * (mask != NULL ? slope(c->act, mask[i]) : 1), 1e-5, "dx", i);
  }
  float *copy = keep(one_flat(&k, DT_ARG_DX), k.buffer[k.instr.arg[DT_ARG_DX]].bytes / 4, out_bytes);
  free(dy);
  free(addend);
  free(mask);
  free(dx);
  one_destroy(&k);
  return copy;
}

static float *run_weight_gradient(const linear_case *c, const char *isa, int threads, bool check, size_t *out_bytes) {
  one_kernel k;
  if (!create(&k, c, DT_OP_LINEAR_WGRAD, isa, threads)) return NULL;
  one_buffer(&k, DT_ARG_X, DT_BUF_VALUE, vector(c->inputs));
  one_buffer(&k, DT_ARG_DY, DT_BUF_VALUE, vector(c->outputs));
  one_buffer(&k, DT_ARG_DW, DT_BUF_GRAD, (dt_shape){2, {c->outputs, c->inputs}});
  one_buffer(&k, DT_ARG_DB, DT_BUF_GRAD, vector(c->outputs));
  one_bind(&k);
  double *x = one_fill_value(&k, DT_ARG_X, 1, false), *dy = one_fill_value(&k, DT_ARG_DY, 2, true);
  one_run(&k);
  float *dw = one_flat(&k, DT_ARG_DW), *db = one_flat(&k, DT_ARG_DB);
  for (int64_t o = 0; check && o < c->outputs; o++) {
    double bias = 0;
    for (int64_t n = 0; n < c->shards * c->slots; n++) bias += dy[n * c->outputs + o];
    assert_close(db[o], bias, 1e-5, "db", o);
    for (int64_t j = 0; j < c->inputs; j++) {
      double sum = 0;
      for (int64_t n = 0; n < c->shards * c->slots; n++) sum += dy[n * c->outputs + o] * x[n * c->inputs + j];
      assert_close(dw[o * c->inputs + j], sum, 1e-5, "dw", o * c->inputs + j);
    }
  }
  float *copy = keep(k.run.blocks.grad, (size_t)k.grad_elements, out_bytes);
  free(x);
  free(dy);
  one_destroy(&k);
  return copy;
}

static void check_all(linear_run *run) {
  for (int i = 0; i < CASES; i++) {
    size_t bytes;
    float *expected = run(&cases[i], "plain", 1, true, &bytes);
    for (int isa = 0; isa < ONE_ISAS; isa++) {
      for (int threads = 1; threads <= 3; threads++) {
        float *got = run(&cases[i], one_isas[isa], threads, false, &bytes);
        if (got != NULL) assert_memory_equal(got, expected, bytes);
        free(got);
      }
    }
    free(expected);
  }
}

static void test_forward(void **state) {
  check_all(run_forward);
}

static void test_input_gradient(void **state) {
  check_all(run_input_gradient);
}

static void test_weight_gradient(void **state) {
  check_all(run_weight_gradient);
}

/* `math: blas` is right too, and its bits do not depend on threads. */
static void test_blas(void **state) {
  linear_run *const runs[] = {run_forward, run_input_gradient, run_weight_gradient};
  for (int i = 0; i < CASES; i++) {
    for (int r = 0; r < 3; r++) {
      size_t bytes;
      float *one = runs[r](&cases[i], "blas", 1, true, &bytes);
      if (one == NULL) skip();
      float *three = runs[r](&cases[i], "blas", 3, true, &bytes);
      assert_memory_equal(one, three, bytes);
      free(one);
      free(three);
    }
  }
}

/* The order of the weight gradient's sum: serially by fma over a shard's samples, shards by the tree. */
static void test_order_of_weight_gradient(void **state) {
  linear_case c = {.inputs = 40, .outputs = 9, .shards = 5, .slots = 18, .short_by = 1};
  one_kernel k;
  assert_true(create(&k, &c, DT_OP_LINEAR_WGRAD, "plain", 1));
  one_buffer(&k, DT_ARG_X, DT_BUF_VALUE, vector(c.inputs));
  one_buffer(&k, DT_ARG_DY, DT_BUF_VALUE, vector(c.outputs));
  one_buffer(&k, DT_ARG_DW, DT_BUF_GRAD, (dt_shape){2, {c.outputs, c.inputs}});
  one_bind(&k);
  double *x = one_fill_value(&k, DT_ARG_X, 1, false), *dy = one_fill_value(&k, DT_ARG_DY, 2, true);
  one_run(&k);
  for (int i = 0; i < c.outputs * c.inputs; i++) {
    float shard[5] = {0};
    for (int s = 0; s < 5; s++) {
      for (int n = s * c.slots; n < s * c.slots + k.filled[s]; n++) {
        shard[s] = fmaf((float)dy[n * c.outputs + i / c.inputs], (float)x[n * c.inputs + i % c.inputs], shard[s]);
      }
    }
    float expected = ((shard[0] + shard[1]) + (shard[2] + shard[3])) + shard[4];
    assert_true(one_flat(&k, DT_ARG_DW)[i] == expected);
  }
  free(x);
  free(dy);
  one_destroy(&k);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_forward), cmocka_unit_test(test_input_gradient),           cmocka_unit_test(test_weight_gradient),
      cmocka_unit_test(test_blas),    cmocka_unit_test(test_order_of_weight_gradient),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
