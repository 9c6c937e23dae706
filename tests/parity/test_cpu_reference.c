/* The cpu device against the reference device: two training steps and an evaluation of every case, from the same parameters and
 * data. Gradients, parameters, running statistics and logits must agree to single precision; and the cpu device's own bits must
 * depend neither on threads, nor on how many shards run at once, nor on the instruction set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support/cases.h"
#include "support/net.h"
#include "support/unit.h"

static const double TOLERANCE = 1e-5;

static net_options options_of(const net_case *row) {
  return (net_options){
      .input = row->input,
      .layers = row->layers,
      .optimizer = "{sgd: {momentum: 0.875, nesterov: true, weight_decay: 0.015625}}",
      .global_batch = row->global_batch,
      .shards = row->shards,
      .lr = 0.0625,
      .pixels = row->pixels,
  };
}

/* One device's results: gradients of the first step, everything else after it. */
typedef struct outcome {
  net net;
  int64_t params, states, logits; /* counts */
  double *grad, *param, *state, *logit;
  double tail[DT_TAIL_COUNT];
  dt_score score;
} outcome;

static void run_case(const net_case *row, const net_options *options, outcome *o) {
  net *n = &o->net;
  net_open(n, options);
  net_fill(n);
  o->params = n->train->param_elements;
  o->states = n->train->state_elements;
  o->logits = row->samples * net_classes(n);
  o->grad = net_memory((size_t)o->params * sizeof(double));
  o->param = net_memory((size_t)o->params * sizeof(double));
  o->state = net_memory((size_t)o->states * sizeof(double));
  o->logit = net_memory((size_t)o->logits * sizeof(double));
  net_step(n, "first", row->samples, 0, o->tail);
  net_read(n, NET_GRAD, 0, o->params, o->grad);
  net_read(n, NET_PARAM, 0, o->params, o->param);
  net_read(n, NET_STATE, 0, o->states, o->state);
  net_evaluate(n, "eval", row->samples, o->logit, &o->score);
}

static void end_case(outcome *o) {
  free(o->grad);
  free(o->param);
  free(o->state);
  free(o->logit);
  net_close(&o->net);
}

static double norm_of(const double *value, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += value[i] * value[i];
  return sqrt(sum);
}

static double distance_of(const double *a, const double *b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sqrt(sum);
}

/* Relative distance in the 2-norm. `floor` stands in for the norm of a tensor that is zero but for rounding, as the gradient of
 * a bias before batchnorm is. */
static void require_close(const char *kind, const char *name, const double *got, const double *expected, int64_t count,
                          double floor, double *worst) {
  double error = distance_of(got, expected, count) / fmax(norm_of(expected, count), floor);
  if (!(error <= TOLERANCE)) fail_msg("%s %s: relative distance %.3g, expected at most %.0e", kind, name, error, TOLERANCE);
  *worst = fmax(*worst, error);
}

/* Compares the tensors of two lists by name: devices may lay out their blocks in different orders. */
static void require_tensors(const char *kind, const dt_param *list, int count, const double *got, const dt_param *expected_list,
                            const double *expected, double all_norm, double *worst) {
  int64_t all = 0;
  for (int i = 0; i < count; i++) all += list[i].count;
  for (int i = 0; i < count; i++) {
    const dt_param *other = net_find(expected_list, count, list[i].name);
    double floor = 0.05 * all_norm * sqrt((double)list[i].count / (double)all);
    require_close(kind, list[i].name, got + list[i].offset, expected + other->offset, list[i].count, floor, worst);
  }
}

static void require_equal_outcomes(const outcome *cpu, const outcome *reference, double *worst) {
  const dt_program *c = cpu->net.train, *r = reference->net.train;
  assert_int_equal(c->param_count, r->param_count);
  assert_int_equal(c->state_count, r->state_count);
  require_tensors("gradient", c->param, c->param_count, cpu->grad, r->param, reference->grad,
                  norm_of(reference->grad, reference->params), worst);
  require_tensors("parameter", c->param, c->param_count, cpu->param, r->param, reference->param, 0, worst);
  require_tensors("state", c->state, c->state_count, cpu->state, r->state, reference->state, 0, worst);
  require_close("logits", "", cpu->logit, reference->logit, reference->logits, 0, worst);
  require_close("loss", "", &cpu->tail[DT_TAIL_LOSS], &reference->tail[DT_TAIL_LOSS], 1, 0, worst);
  assert_true(cpu->tail[DT_TAIL_CORRECT] == reference->tail[DT_TAIL_CORRECT]);
  assert_true(cpu->tail[DT_TAIL_SAMPLES] == reference->tail[DT_TAIL_SAMPLES]);
  assert_true(cpu->tail[DT_TAIL_NONFINITE] == 0);
  assert_int_equal(cpu->score.samples, reference->score.samples);
  assert_int_equal(cpu->score.correct, reference->score.correct);
  assert_true(llabs(cpu->score.loss - reference->score.loss) <= 8 * reference->score.samples);
}

static void test_parity(void **state) {
  const net_case *row = *state;
  outcome cpu = {0}, reference = {0};
  net_options options = options_of(row);
  options.device = dt_reference_create;
  run_case(row, &options, &reference);
  options.device = dt_cpu_create;
  run_case(row, &options, &cpu);
  double worst = 0;
  require_equal_outcomes(&cpu, &reference, &worst);
  print_message("             %s: worst relative distance %.1e\n", row->name, worst);
  end_case(&cpu);
  end_case(&reference);
}

static void require_same_bits(const char *what, const outcome *a, const outcome *b) {
  const struct {
    const char *name;
    const double *a, *b;
    int64_t count;
  } pieces[] = {
      {"gradients", a->grad, b->grad, a->params},    {"parameters", a->param, b->param, a->params},
      {"states", a->state, b->state, a->states},     {"logits", a->logit, b->logit, a->logits},
      {"sums", a->tail, b->tail, DT_TAIL_NONFINITE},
  };
  for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
    for (int64_t k = 0; k < pieces[i].count; k++) {
      if (memcmp(&pieces[i].a[k], &pieces[i].b[k], sizeof(double)) != 0) {
        fail_msg("%s: %s differ at %lld: %a, expected %a", what, pieces[i].name, (long long)k, pieces[i].b[k], pieces[i].a[k]);
      }
    }
  }
  assert_memory_equal(&a->score, &b->score, sizeof a->score);
}

/* Runs the case in a variation and compares it with the plain run. */
static void require_variation(const net_case *row, const outcome *plain, const char *what, const net_options *options) {
  outcome varied = {0};
  run_case(row, options, &varied);
  require_same_bits(what, plain, &varied);
  end_case(&varied);
}

static void require_isa(const net_case *row, const outcome *plain, const char *isa) {
  net_options options = options_of(row);
  dt_device *device = NULL;
  options.device = dt_cpu_create;
  setenv("DTRAIN_ISA", isa, 1);
  if (dt_cpu_create(&(dt_device_options){.threads = 1}, &device) == DT_OK) {
    device->ops->destroy(&device);
    require_variation(row, plain, isa, &options);
  }
  dt_error_clear();
  unsetenv("DTRAIN_ISA");
}

static void test_bits(void **state) {
  const net_case *row = *state;
  outcome plain = {0};
  net_options options = options_of(row);
  options.device = dt_cpu_create;
  run_case(row, &options, &plain);
  options.threads = 2;
  require_variation(row, &plain, "two threads", &options);
  options.pass_shards = 1;
  require_variation(row, &plain, "two threads, one shard at a time", &options);
  static const char *const isas[] = {"avx512", "avx2", "plain"};
  for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) require_isa(row, &plain, isas[i]);
  end_case(&plain);
}

int main(void) {
  struct CMUnitTest tests[2 * net_case_count];
  for (int i = 0; i < net_case_count; i++) {
    void *row = (void *)&net_cases[i];
    tests[2 * i] = (struct CMUnitTest){.name = net_cases[i].name, .test_func = test_parity, .initial_state = row};
    tests[2 * i + 1] = (struct CMUnitTest){.name = net_cases[i].name, .test_func = test_bits, .initial_state = row};
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
