/* The gpu device against the reference over every net of support/cases.c: one step with its gradients, parameters, running
 * statistics and logits; the same bits whether a step is issued or replayed; and a hundred steps of whole nets.
 *
 *   test_parity_gpu_reference [fp32|tf32|bf16|fp16 [WORD]]     WORD: the cases with it in their names alone
 *
 * The plug-in is the one beside the program, or the one that DTRAIN_GPU_PLUGIN names: in the test suite the emulated GPU.
 * DTRAIN_TEST_REPLAY=nets replays whole nets alone: which launches are recorded does not depend on the precision. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/outcome.h"
#include "support/unit.h"

/* What a precision is held to. Narrow types round activations to 8 or 11 bits, so a gradient that passes through several layers
 * is a few of these roundings away; and where a net has kinks, a rounding can make another pixel the largest of its window, or
 * turn a unit on or off, which moves a small gradient by much. What holds whole gradients closer than these distances are the
 * fits. */
typedef struct precision {
  const char *name;
  double one_step, kinked, hundred_steps;
  bool counts;
} precision;

static const precision precisions[] = {
    {"fp32", 1e-5, 1e-5, 1e-4, true},
    {"tf32", 1e-2, 0.6, 0.1, false},
    {"bf16", 0.1, 0.6, 0.1, false},
    {"fp16", 1e-2, 0.6, 0.1, false},
};
static const precision *wanted = &precisions[0];
static const char *wanted_name = "";

static void run_on(const net_case *row, dt_status (*device)(const dt_device_options *, dt_device **), outcome *o) {
  net_options options = outcome_options(row);
  options.device = device;
  options.precision = wanted->name;
  outcome_run(row, &options, o);
}

/* Garbage behind buffers shows in one step as in many; more would cost time alone. */
static void set_guards(bool wanted_here) {
  static const char *asked;
  if (asked == NULL) asked = getenv("DTRAIN_GPU_GUARDS") != NULL ? getenv("DTRAIN_GPU_GUARDS") : "0";
  setenv("DTRAIN_GPU_GUARDS", wanted_here && strcmp(asked, "0") != 0 ? "1" : "0", 1);
}

static bool has_kinks(const net_case *row) {
  return strstr(row->layers, "relu") != NULL || strstr(row->layers, "maxpool") != NULL;
}

static void scale(double *value, int64_t count, double factor) {
  for (int64_t i = 0; i < count; i++) value[i] *= factor;
}

static void require_far(const outcome *gpu, const outcome *reference, const char *what) {
  const outcome_fits fits = outcome_fit_all(gpu, reference);
  if (outcome_fits_are_near(&fits)) fail_msg("a factor of 1.1 does not show: %s", what);
}

/* A factor of 1.1 shows in the gradient, in the logits, and in each weight which is right to 1.8 %. */
static void require_factors_show(outcome *gpu, const outcome *reference) {
  const dt_program *program = gpu->net.train;
  outcome_fit fit;
  for (int i = 0; i < program->param_count; i++) {
    const dt_param *param = &program->param[i];
    if (!outcome_fit_weight(gpu, reference, i, &fit) || fit.factor <= 0.982) continue;
    scale(gpu->grad + param->offset, param->count, 1.1);
    require_far(gpu, reference, param->name);
    scale(gpu->grad + param->offset, param->count, 1 / 1.1);
  }
  scale(gpu->grad, gpu->params, 1.1);
  require_far(gpu, reference, "gradient");
  scale(gpu->grad, gpu->params, 1 / 1.1);
  scale(gpu->logit, gpu->logits, 1.1);
  require_far(gpu, reference, "logits");
}

static void test_fits(outcome *gpu, const outcome *reference) {
  const outcome_fits f = outcome_fit_all(gpu, reference);
  print_message("             factors and cosines: gradient %.4f %.5f, rest %.4f %.5f, logits %.4f %.5f, %s %.4f\n",
                f.gradient.factor, f.gradient.cosine, f.rest.factor, f.rest.cosine, f.logits.factor, f.logits.cosine,
                f.weight_name, f.weight.factor);
  if (!outcome_fits_are_near(&f)) fail_msg("a factor or a cosine is too far from 1");
  require_factors_show(gpu, reference);
}

static void test_step(void **state) {
  const net_case *row = *state;
  outcome gpu = {0}, reference = {0};
  comparison c = {.tolerance = has_kinks(row) ? wanted->kinked : wanted->one_step, .counts = wanted->counts};
  run_on(row, dt_reference_create, &reference);
  set_guards(true);
  run_on(row, dt_gpu_create, &gpu);
  set_guards(false);
  outcome_compare(&gpu, &reference, &c);
  print_message("             %s: worst relative distance %.1e\n", row->name, c.worst);
  test_fits(&gpu, &reference);
  outcome_free(&gpu);
  outcome_free(&reference);
}

/* Parameters after so many steps, in the order of their names' list in the training program; free them. */
static double *train(const net_case *row, dt_status (*device)(const dt_device_options *, dt_device **), int steps, double lr,
                     uint64_t *out_hash, net *n) {
  net_sums sums;
  net_options options = outcome_options(row);
  options.device = device;
  options.precision = wanted->name;
  options.lr = lr;
  net_open(n, &options);
  net_fill(n);
  for (int s = 0; s < steps; s++) {
    char tag[16];
    snprintf(tag, sizeof tag, "batch %d", s % 5);
    net_step(n, tag, s % 7 == 6 ? (row->samples + 1) / 2 : row->samples, s * row->global_batch, &sums);
  }
  double *param = net_memory((size_t)n->train->param_elements * sizeof(double));
  net_read(n, NET_PARAM, 0, n->train->param_elements, param);
  NET_OK(dt_executor_hash(n->trainer, out_hash));
  return param;
}

/* The first step is issued, the second recorded, the third replayed: to the same bits as when every step is issued. */
static void test_replay(void **state) {
  const net_case *row = *state;
  uint64_t replayed, issued;
  net n;
  free(train(row, dt_gpu_create, 3, 0.0625, &replayed, &n));
  net_close(&n);
  setenv("DTRAIN_GPU_GRAPH", "0", 1);
  free(train(row, dt_gpu_create, 3, 0.0625, &issued, &n));
  net_close(&n);
  unsetenv("DTRAIN_GPU_GRAPH");
  assert_true(replayed == issued);
}

static double distance(const net *a, const double *x, const net *b, const double *y) {
  double apart = 0, all = 0;
  for (int p = 0; p < a->train->param_count; p++) {
    const dt_param *mine = &a->train->param[p], *other = net_find(b->train->param, b->train->param_count, mine->name);
    for (int64_t e = 0; e < mine->count; e++) {
      double d = x[mine->offset + e] - y[other->offset + e];
      apart += d * d;
      all += y[other->offset + e] * y[other->offset + e];
    }
  }
  return sqrt(apart / all);
}

static void print_warning(const char *name, const net *n) {
  char text[DT_WARNING_TEXT];
  NET_OK(n->device->ops->libraries->warning(n->device, (dt_program *const[]){n->train, n->eval}, text));
  if (text[0] != '\0') print_message("             %s: %s\n", name, text);
}

static void test_hundred_steps(void **state) {
  const net_case *row = *state;
  uint64_t hash;
  net reference, gpu;
  double *expected = train(row, dt_reference_create, 100, 0.01, &hash, &reference);
  double *got = train(row, dt_gpu_create, 100, 0.01, &hash, &gpu);
  double error = distance(&gpu, got, &reference, expected);
  print_warning(row->name, &gpu);
  print_message("             %s after 100 steps: relative distance %.1e\n", row->name, error);
  if (!(error <= wanted->hundred_steps)) fail_msg("relative distance %.3g, expected %.0e", error, wanted->hundred_steps);
  free(expected);
  free(got);
  net_close(&reference);
  net_close(&gpu);
}

/* Without a plug-in or a GPU there is nothing to compare, unless a plug-in was named. */
static bool has_gpu(void) {
  dt_device *device = NULL;
  dt_status status = dt_gpu_create(&(dt_device_options){.threads = 1}, &device);
  if (status == DT_OK) {
    printf("%s, %s, %s\n", device->title, device->kernels, device->library);
    device->ops->destroy(&device);
    return true;
  }
  printf("SKIP: parity.gpu_reference, %s\n", dt_error_text());
  dt_error_clear();
  return false;
}

static const precision *find_precision(const char *name) {
  for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
    if (strcmp(name, precisions[i].name) == 0) return &precisions[i];
  }
  return NULL;
}

static bool is_whole_net(const net_case *row) {
  return strstr(row->name, "lenet") != NULL || strstr(row->name, "resnet") != NULL || strncmp(row->name, "mlp", 3) == 0;
}

static bool is_replayed(const net_case *row) {
  const char *which = getenv("DTRAIN_TEST_REPLAY");
  return which == NULL || strcmp(which, "nets") != 0 || is_whole_net(row);
}

int main(int argc, char **argv) {
  struct CMUnitTest tests[3 * net_case_count];
  int count = 0;
  memset(tests, 0, sizeof tests); /* cmocka micro-batches over rows without a name */
  if (argc > 1) wanted = find_precision(argv[1]);
  if (wanted == NULL) {
    fprintf(stderr, "found %s, expected fp32, tf32, bf16 or fp16\n", argv[1]);
    return 2;
  }
  if (argc > 2) wanted_name = argv[2];
  if (!has_gpu()) return getenv("DTRAIN_GPU_PLUGIN") != NULL ? 1 : 77;
  for (int i = 0; i < net_case_count; i++) {
    const net_case *row = &net_cases[i];
    void *state = (void *)row;
    if (strstr(row->name, wanted_name) == NULL) continue;
    tests[count++] = (struct CMUnitTest){.name = row->name, .test_func = test_step, .initial_state = state};
    if (is_replayed(row)) {
      tests[count++] = (struct CMUnitTest){.name = row->name, .test_func = test_replay, .initial_state = state};
    }
    if (is_whole_net(row)) {
      tests[count++] = (struct CMUnitTest){.name = row->name, .test_func = test_hundred_steps, .initial_state = state};
    }
  }
  if (count == 0) {
    fprintf(stderr, "found no case with %s in its name\n", wanted_name);
    return 2;
  }
  return _cmocka_run_group_tests("tests", tests, (size_t)count, NULL, NULL);
}
