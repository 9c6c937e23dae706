/* Penalties of parameters on the devices that compute in host memory: the gradient against finite differences of loss and
 * penalty together, and both against plain doubles, with parameters among them that are zero. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support/net.h"
#include "support/unit.h"

enum { SAMPLES = 6, ELEMENTS = 16384 };

typedef dt_status device_create_fn(const dt_device_options *options, dt_device **out);

/* Two layers with a penalty, of which `train` may spare biases, and between them one without; long enough for several pieces.
 */
static void open_net(net *n, device_create_fn *device, const char *train, int threads) {
  const net_options how = {.input = "40",
                           .layers = "[{linear: 120}, tanh, {linear: 40, decay: false}, tanh, {linear: 3}]",
                           .train = train,
                           .global_batch = SAMPLES,
                           .shards = 2,
                           .lr = 0,
                           .device = device,
                           .threads = threads};
  net_open(n, &how);
  net_fill(n);
}

/* What there is to know of a step at these parameters. */
typedef struct point {
  double gradient[ELEMENTS], loss, penalty;
} point;

static void step_at(net *n, const double *param, point *out) {
  net_sums sums;
  net_write(n, NET_PARAM, 0, n->train->param_elements, param);
  net_step(n, "penalty", SAMPLES, 0, &sums);
  net_read(n, NET_GRAD, 0, n->train->trained_elements, out->gradient);
  out->loss = net_loss(n, &sums);
  out->penalty = sums.penalty;
}

/* Every seventh element of each tensor, a bias among them. */
static void test_differences(void **state) {
  static const double h = 1e-6;
  static double param[ELEMENTS];
  static point at, side[2];
  int checked = 0;
  net n;
  open_net(&n, dt_reference_create, ", l1: 0.01, l2: 0.3", 1);
  assert_in_range(n.train->param_elements, 1, ELEMENTS);
  net_read(&n, NET_PARAM, 0, n.train->param_elements, param);
  step_at(&n, param, &at);
  for (int p = 0; p < n.train->trained_count; p++) {
    const dt_param *of = &n.train->param[p];
    for (int64_t i = of->offset + 3; i<of->offset + of->count; i += of->count> 200 ? 397 : 7) {
      const double value = param[i];
      if (fabs(value) < 2 * h) continue; /* a corner of |p| */
      param[i] = value + h, step_at(&n, param, &side[0]);
      param[i] = value - h, step_at(&n, param, &side[1]);
      param[i] = value;
      const double expected = (side[0].loss + SAMPLES * side[0].penalty - side[1].loss - SAMPLES * side[1].penalty) / (2 * h);
      if (!(fabs(at.gradient[i] - expected) <= 1e-6 * fmax(1, fabs(expected))))
        fail_msg("%s, element %d: found %.12g, finite differences give %.12g", of->name, (int)(i - of->offset), at.gradient[i],
                 expected);
      checked++;
    }
  }
  assert_in_range(checked, 20, 200);
  net_close(&n);
}

static void check_formula(device_create_fn *device, bool weights_alone, double l1, double l2) {
  static double param[ELEMENTS];
  static point plain, penalised;
  const double tolerance = device == dt_reference_create ? 1e-12 : 1e-6;
  char keys[128];
  double sum = 0;
  net with, without;
  snprintf(keys, sizeof keys, ", %s: %g%s%s%s", l1 > 0 ? "l1" : "l2", l1 > 0 ? l1 : l2, l1 > 0 && l2 > 0 ? ", l2: " : "",
           l1 > 0 && l2 > 0 ? "0.75" : "", weights_alone ? ", decayed: weights" : "");
  open_net(&without, device, "", 2);
  open_net(&with, device, keys, 2);
  const dt_program *program = with.train;
  net_read(&with, NET_PARAM, 0, program->param_elements, param);
  for (int p = 0; p < program->trained_count; p++) param[program->param[p].offset + 1] = 0;
  step_at(&without, param, &plain);
  step_at(&with, param, &penalised);
  assert_true(plain.penalty == 0 && plain.loss == penalised.loss);
  for (int p = 0; p < program->trained_count; p++) {
    const dt_param *of = &program->param[p];
    const bool taken = strncmp(of->name, "linear2", 7) != 0 && (!weights_alone || strstr(of->name, ".bias") == NULL);
    for (int64_t i = of->offset; i < of->offset + of->count; i++) {
      const double x = param[i], by = taken ? SAMPLES * (l1 * (x > 0 ? 1 : x < 0 ? -1 : 0) + l2 * x) : 0;
      const double expected = plain.gradient[i] + by;
      if (taken) sum += l1 * fabs(x) + l2 / 2 * x * x;
      if (!(fabs(penalised.gradient[i] - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%s, element %d: found %.12g, expected %.12g", of->name, (int)(i - of->offset), penalised.gradient[i],
                 expected);
    }
  }
  if (!(fabs(penalised.penalty - sum) <= 1e-12 * sum)) fail_msg("penalty: found %.17g, expected %.17g", penalised.penalty, sum);
  net_close(&with);
  net_close(&without);
}

static void test_formula(void **state) {
  device_create_fn *const device[] = {dt_reference_create, dt_cpu_create};
  for (int d = 0; d < 2; d++) {
    check_formula(device[d], false, 0.5, 0.75);
    check_formula(device[d], true, 0.5, 0);
    check_formula(device[d], true, 0, 0.25);
  }
}

/* Threads share pieces out; they never cut a sum. */
static void test_threads(void **state) {
  static double param[ELEMENTS];
  static point one, more;
  for (int threads = 1; threads <= 3; threads++) {
    net n;
    open_net(&n, dt_cpu_create, ", l1: 0.01, l2: 0.3", threads);
    net_read(&n, NET_PARAM, 0, n.train->param_elements, param);
    step_at(&n, param, threads == 1 ? &one : &more);
    if (threads > 1) assert_memory_equal(&one, &more, sizeof one);
    net_close(&n);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_differences), cmocka_unit_test(test_formula),
                                     cmocka_unit_test(test_threads)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
