/* The optimizer's kernel gives the bits of the cpu's: core/optim/sgd.c compiled for the host is the oracle. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/optim/sgd.h"
#include "gpu/kernel_run.h"
#include "support/unit.h"

typedef struct sgd_case {
  const char *name;
  dt_step step;
  bool nesterov;
  dt_gpu_type type;
  float loss_scale; /* that was used; 0 = no loss scaling */
  bool skip;
} sgd_case;

#define STEP(...) \
  { .batch_samples = 96, __VA_ARGS__ }
static const sgd_case cases[] = {
    {"plain", STEP(.lr = 0.1), false, DT_GPU_F32, 0, false},
    {"momentum and decay", STEP(.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4), false, DT_GPU_F32, 0, false},
    {"nesterov", STEP(.lr = 0.3, .momentum = 0.9, .weight_decay = 5e-4), true, DT_GPU_F32, 0, false},
    {"clipped", STEP(.lr = 0.1, .momentum = 0.9, .clip_norm = 0.7, .grad_norm = 3.3), false, DT_GPU_F32, 0, false},
    {"not clipped", STEP(.lr = 0.1, .momentum = 0.9, .clip_norm = 7, .grad_norm = 3.3), true, DT_GPU_F32, 0, false},
    {"with a copy in bf16", STEP(.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4), false, DT_GPU_BF16, 0, false},
    {"a scaled loss", STEP(.lr = 0.1, .momentum = 0.9, .clip_norm = 0.7, .grad_norm = 3.3), false, DT_GPU_F32, 1024, false},
    {"a skipped step", STEP(.lr = 0.1, .momentum = 0.9, .weight_decay = 5e-4), false, DT_GPU_BF16, 1024, true},
};

/* A slice in the middle of the blocks; what lies around it must stay. */
enum { FIRST = 48, COUNT = 4128, AFTER = 32, ALL = FIRST + COUNT + AFTER };

static double clip_factor(const dt_step *step) {
  return step->clip_norm == 0 ? 1 : fmin(1, step->clip_norm / (step->grad_norm + 1e-6));
}

/* The cpu's update of the slice. */
static void update_here(const sgd_case *row, const dt_optimizer *sgd, const dt_sgd_attr *attr, float *p, const float *g,
                        float *v) {
  double scale = clip_factor(&row->step) / (double)row->step.batch_samples;
  float *slot[4] = {v + FIRST};
  if (row->loss_scale != 0) scale /= row->loss_scale;
  if (!row->skip) sgd->update_f32(attr, &row->step, scale, COUNT, p + FIRST, g + FIRST, slot);
}

static void check_copy(const kernel_run *k, const sgd_case *row, const float *p) {
  float low[ALL];
  kernel_read_values(low, k->low, ALL);
  for (int i = 0; i < ALL; i++) {
    bool written = i >= FIRST && i < FIRST + COUNT && !row->skip;
    assert_true(low[i] == (written ? kernel_round(row->type, p[i]) : 0));
  }
}

static void test_update(void **state) {
  const sgd_case *row = *state;
  extern const dt_kind dt_optimizer_sgd;
  dt_sgd_attr attr = {.nesterov = row->nesterov};
  dt_bucket bucket[] = {{.first = 0}, {.first = FIRST, .count = COUNT + AFTER, .param_count = COUNT}};
  float *p = kernel_numbers(50, ALL, 0, 1), *g = kernel_numbers(51, ALL, 0, 60), *v = kernel_numbers(52, ALL, 0, 1), got[ALL];
  float scaling[DT_LOSS_SCALE_COUNT] = {2 * row->loss_scale, 0, row->skip ? 1 : 0, row->loss_scale};
  kernel_run k;
  kernel_run_begin(&k, row->type);
  k.program.bucket = bucket, k.instr.bucket = 1;
  k.run.optimizer = dt_optimizer_sgd.impl, k.run.optimizer_attr = &attr;
  k.run.blocks.param = kernel_memory(p, sizeof got), k.run.blocks.grad = kernel_memory(g, sizeof got);
  k.run.blocks.slot[0] = kernel_memory(v, sizeof got);
  if (row->type != DT_GPU_F32) k.low = kernel_memory(NULL, ALL * dt_gpu_type_bytes(row->type));
  if (row->loss_scale != 0) k.loss_scale = kernel_memory(scaling, sizeof scaling);
  kernel_write(k.step, &row->step, sizeof row->step);
  kernel_ok(dt_gpu_update(&k.run, &k.instr, &k.pass));
  update_here(row, k.run.optimizer, &attr, p, g, v);
  kernel_read(got, k.run.blocks.param, sizeof got);
  if (memcmp(got, p, sizeof got) != 0) fail_msg("%s: parameters have other bits than the cpu's", row->name);
  kernel_read(got, k.run.blocks.slot[0], sizeof got);
  if (memcmp(got, v, sizeof got) != 0) fail_msg("%s: velocities have other bits than the cpu's", row->name);
  if (k.low != NULL) check_copy(&k, row, p);
  free(p), free(g), free(v);
  kernel_run_end(&k);
}

static void test_unknown(void **state) {
  static const dt_optimizer other = {.name = "adagrad"};
  kernel_run k;
  kernel_run_begin(&k, DT_GPU_F32);
  k.run.optimizer = &other;
  assert_int_equal(dt_gpu_update(&k.run, &k.instr, &k.pass), DT_USAGE);
  assert_non_null(strstr(dt_error_text(), "adagrad"));
  dt_error_clear();
  kernel_run_end(&k);
}

int main(void) {
  enum { CASES = sizeof cases / sizeof *cases };
  struct CMUnitTest tests[CASES + 1];
  for (int i = 0; i < CASES; i++) {
    tests[i] = (struct CMUnitTest){.name = cases[i].name, .test_func = test_update, .initial_state = (void *)&cases[i]};
  }
  tests[CASES] = (struct CMUnitTest)cmocka_unit_test(test_unknown);
  return cmocka_run_group_tests_name("sgd", tests, NULL, NULL);
}
