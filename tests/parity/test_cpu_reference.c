/* The cpu device against the reference device: two training steps and an evaluation of every case, from the same parameters and
 * data. Gradients, parameters, running statistics and logits must agree to single precision; and the cpu device's own bits must
 * depend neither on threads, nor on how many shards run at once, nor on the instruction set. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu/cpu.h"
#include "support/outcome.h"
#include "support/unit.h"

static void test_parity(void **state) {
  const net_case *row = *state;
  outcome cpu = {0}, reference = {0};
  net_options options = outcome_options(row);
  options.device = dt_reference_create;
  outcome_run(row, &options, &reference);
  options.device = dt_cpu_create;
  outcome_run(row, &options, &cpu);
  comparison c = {.tolerance = 1e-5, .counts = true};
  outcome_compare(&cpu, &reference, &c);
  print_message("             %s: worst relative distance %.1e\n", row->name, c.worst);
  outcome_free(&cpu);
  outcome_free(&reference);
}

/* Runs the case in a variation and compares it with the plain run. */
static void require_variation(const net_case *row, const outcome *plain, const char *what, const net_options *options) {
  outcome varied = {0};
  outcome_run(row, options, &varied);
  outcome_require_same_bits(what, plain, &varied);
  outcome_free(&varied);
}

static void require_isa(const net_case *row, const outcome *plain, const char *isa) {
  net_options options = outcome_options(row);
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
  net_options options = outcome_options(row);
  options.device = dt_cpu_create;
  outcome_run(row, &options, &plain);
  options.threads = 2;
  require_variation(row, &plain, "two threads", &options);
  options.micro_batch_shards = 1;
  require_variation(row, &plain, "two threads, one shard at a time", &options);
  static const char *const isas[] = {"avx512", "avx2", "plain"};
  for (size_t i = 0; i < sizeof isas / sizeof *isas; i++) require_isa(row, &plain, isas[i]);
  outcome_free(&plain);
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
