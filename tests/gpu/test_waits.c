/* How long a step waited for its input is in its outcome: all of it where the source is slow, and next to nothing where it is
 * not. `test_gpu_waits cpu` tests the same of the cpu device. */
#include <math.h>
#include <time.h>

#include "gpu/device.h"
#include "support/net.h"
#include "support/unit.h"

enum { SLOW_MS = 60, STEPS = 5 };

static device_create *create;

typedef struct source {
  net *n;
  bool slow;
} source;

static dt_status next_batch(void *context, const dt_batch **out) {
  const source *s = context;
  if (s->slow) nanosleep(&(struct timespec){.tv_nsec = SLOW_MS * 1000000l}, NULL);
  *out = &s->n->batch;
  return DT_OK;
}

/* The waits of steps that follow one another: the least and the greatest. */
static void run_steps(net *n, bool slow, double *out_least, double *out_greatest) {
  source from = {.n = n, .slow = slow};
  double flags[DT_STATISTIC_COUNT] = {0};
  dt_step_result got;
  *out_least = INFINITY;
  *out_greatest = 0;
  int lag = dt_executor_depth(n->trainer);
  for (int step = 0; step < STEPS + lag; step++) {
    if (step < STEPS) NET_OK(dt_executor_step(n->trainer, next_batch, &from, flags));
    if (step < lag) continue;
    NET_OK(dt_executor_result(n->trainer, &got));
    *out_least = fmin(*out_least, got.data_wait);
    *out_greatest = fmax(*out_greatest, got.data_wait);
    assert_true(got.reduce_wait == 0);
  }
}

static void a_slow_source_is_waited_for(void **state) {
  net n;
  double least, greatest;
  net_options options = {.input = "1, 3, 3",
                         .layers = "[{conv: {filters: 2, kernel: 3}}, flatten, {linear: 2}]",
                         .global_batch = 2,
                         .shards = 1,
                         .device = create,
                         .threads = 1};
  net_open(&n, &options);
  NET_OK(dt_executor_init_params(n.trainer));
  dt_executor_run_state(n.trainer)->step->batch_samples = 2;
  n.filled[0] = 2;
  n.batch.samples = 2;
  run_steps(&n, false, &least, &greatest);
  assert_true(least >= 0 && least < 1e-3 * SLOW_MS / 4);
  run_steps(&n, true, &least, &greatest);
  /* What the step before computes meanwhile is no wait. */
  assert_true(least > 1e-3 * SLOW_MS / 2);
  assert_true(greatest < 1e-3 * SLOW_MS * 10);
  net_close(&n);
}

int main(int argc, char **argv) {
  create = device_wanted(argc, argv);
  int missing = device_missing(create, "gpu.waits");
  if (missing != 0) return missing;
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_slow_source_is_waited_for)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
