/* Ten steps of sharpness-aware minimization against PyTorch's (tests/oracles/make_steps.py), in double precision and in floats.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/batch.h"
#include "support/files.h"
#include "support/fill.h"
#include "support/unit.h"
#include "train/steps.h"

enum { LINE = 1 << 14, SAMPLES = 12, OUTPUTS = 3, STEPS = 10 };

static char dir[DT_TEST_PATH];

static dt_status nothing(void *context, const dt_in_flight *batch, const dt_step_result *outcome) {
  return DT_OK;
}

static void run_steps(dt_job *job) {
  dt_steps steps = {.job = job, .taken = nothing};
  assert_int_equal(dt_steps_begin(&steps, STEPS * SAMPLES), DT_OK);
  for (int i = 0; i < STEPS; i++) {
    assert_int_equal(dt_steps_advance(&steps), DT_OK);
    assert_int_equal(steps.step, i + 1);
    assert_int_equal(steps.samples_seen, (i + 1) * SAMPLES);
  }
  assert_int_equal(dt_steps_drain(&steps), DT_OK);
  dt_steps_end(&steps);
}

static const dt_param *find(const dt_program *program, const char *name) {
  for (int p = 0; p < program->trained_count; p++) {
    if (strcmp(program->param[p].name, name) == 0) return &program->param[p];
  }
  fail_msg("no parameter %s", name);
  return NULL;
}

/* The largest difference from the numbers of the oracle's line. */
static double compare(dt_job *job, char *numbers) {
  static const char *const names[] = {"linear1.weight", "linear1.bias", "linear2.weight", "linear2.bias"};
  const dt_program *program = job->program[0];
  double *param = calloc((size_t)program->trained_elements, sizeof *param), worst = 0;
  assert_int_equal(dt_executor_read_trained(job->executor[0], param), DT_OK);
  for (size_t n = 0; n < sizeof names / sizeof *names; n++) {
    const dt_param *p = find(program, names[n]);
    for (int64_t e = 0; e < p->count; e++) worst = fmax(worst, fabs(param[p->offset + e] - strtod(numbers, &numbers)));
  }
  free(param);
  return worst;
}

static void set_params(dt_job *job) {
  const dt_program *program = job->program[0];
  double *param = calloc((size_t)program->trained_elements, sizeof *param);
  for (int p = 0; p < program->trained_count; p++)
    fill_initial(program->param[p].name, &program->param[p].shape, param + program->param[p].offset);
  assert_int_equal(dt_executor_write_trained(job->executor[0], param), DT_OK);
  free(param);
}

static void check_case(const char *device, const char *solver, const char *optimizer, char *numbers, double allowed) {
  char text[2048];
  dt_config *config;
  dt_comm *comm;
  dt_job *job;
  snprintf(text, sizeof text,
           "name: a\nseed: 1\ndevice: %s\nthreads: 2\nsolver: %s\noptimizer: %s\n"
           "data: {dir: %s, train: {npy: {fields: {input: x.npy, label: label.npy}}}, mean: [0, 0, 0, 0, 0, 0], std: [1, 1, 1, "
           "1, 1, 1]}\n"
           "model: {input: [6], layers: [{linear: 37}, tanh, {linear: 3}]}\ntrain: {global_batch: 12, shards: 3, epochs: 20}\n"
           "schedule: {lr: 0.1}\n",
           device, solver, optimizer, dir);
  if (dt_config_parse("a.yaml", text, strlen(text), NULL, 0, &config) != DT_OK) fail_msg("%s", dt_error_text());
  assert_int_equal(dt_comm_self_create(&comm), DT_OK);
  if (dt_job_create(config, comm, DT_JOB_TRAIN, false, &job) != DT_OK) fail_msg("%s", dt_error_text());
  set_params(job);
  run_steps(job);
  const double worst = compare(job, numbers);
  print_message("             %s, %s, %s: off by %.1e\n", device, solver, optimizer, worst);
  if (!(worst <= allowed)) fail_msg("%s, %s: off by %g, expected at most %g", device, optimizer, worst, allowed);
  dt_job_destroy(&job);
  comm->ops->destroy(&comm);
  dt_config_destroy(&config);
}

static void test_steps(void **state) {
  static char line[LINE];
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/steps.txt", "r");
  int cases = 0;
  assert_non_null(file);
  for (; fgets(line, LINE, file) != NULL; cases++) {
    char *rest = line, *solver = strsep(&rest, "|"), *optimizer = strsep(&rest, "|");
    assert_non_null(rest);
    check_case("reference", solver, optimizer, rest, 1e-11);
    check_case("cpu", solver, optimizer, rest, 2e-5);
  }
  fclose(file);
  assert_true(cases == 4);
}

static int begin(void **state) {
  if (dt_test_dir_create(dir) != DT_OK) return -1;
  dt_test_write_batch(dir, "steps", "6", SAMPLES, OUTPUTS);
  return 0;
}

static int end(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_steps)};
  return cmocka_run_group_tests(tests, begin, end);
}
