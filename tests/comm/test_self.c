/* A world of one: its collectives, its reducer, and which environments lead to it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm/bench.h"
#include "comm/comm.h"

static void test_collectives(void **state) {
  dt_comm *comm = NULL;
  assert_int_equal(dt_comm_self_create(&comm), DT_OK);
  assert_int_equal(comm->rank, 0);
  assert_int_equal(comm->size, 1);
  assert_int_equal(comm->local_rank, 0);
  assert_int_equal(comm->local_size, 1);
  int64_t value = 7;
  assert_int_equal(comm->ops->allreduce_i64(comm, &value, 1, DT_MAX), DT_OK);
  assert_int_equal(value, 7);
  assert_int_equal(comm->signature, (uint64_t)1 << 56 | (uint64_t)DT_I64 << 48 | 1);
  int in = 3, out = 0;
  assert_int_equal(comm->ops->gather(comm, &in, sizeof in, &out, 0), DT_OK);
  assert_int_equal(out, 3);
  assert_int_equal(comm->ops->bcast(comm, &in, sizeof in, 0), DT_OK);
  assert_int_equal(comm->ops->barrier(comm), DT_OK);
  assert_int_equal(comm->sequence, 4);
  comm->ops->destroy(&comm);
  assert_null(comm);
  dt_bench_options options = {.seconds = 1};
  assert_int_equal(dt_comm_self_create(&comm), DT_OK);
  assert_int_equal(dt_bench_allreduce(comm, &options, NULL), DT_USAGE);
  dt_error_clear();
  comm->ops->destroy(&comm);
}

static void test_agree(void **state) {
  dt_comm *comm = NULL;
  assert_int_equal(dt_comm_self_create(&comm), DT_OK);
  assert_int_equal(dt_comm_agree(comm, DT_OK), DT_OK);
  dt_status failed = dt_error_set(DT_IO, __FILE__, __LINE__, "disk full");
  assert_int_equal(dt_comm_agree(comm, failed), DT_IO);
  assert_string_equal(dt_error_text(), "disk full");
  dt_error_clear();
  assert_int_equal(dt_comm_agree_text(comm, "config", "a\nb"), DT_OK);
  comm->ops->destroy(&comm);
}

/* The tree leaves one root on one rank; a tree with several shows that the reducer sums them. */
static void test_reducer_sums_several_roots(void **state) {
  dt_root roots[3] = {{.rank = 0, .partial = 0}, {.rank = 0, .partial = 2}, {.rank = 0, .partial = 1}};
  dt_merge fold[2] = {{.into = 1, .from = 2}, {.into = 0, .from = 1}};
  dt_tree tree = {.shards = 3,
                  .size = 1,
                  .partials = 3,
                  .partials_max = 3,
                  .roots = roots,
                  .root_count_all = 3,
                  .root_count = 3,
                  .fold = fold,
                  .fold_count = 2};
  dt_bucket bucket[2] = {{.first = 0, .count = 5}, {.first = 8, .count = 20}};
  dt_reducer_options options = {.tree = &tree, .dtype = DT_F32, .bucket = bucket, .bucket_count = 2, .partial_elements = 32};
  dt_comm *comm = NULL;
  dt_reducer *reducer = NULL;
  assert_int_equal(dt_comm_self_create(&comm), DT_OK);
  assert_int_equal(comm->ops->reducer_create(comm, &options, &reducer), DT_OK);
  assert_int_equal((uintptr_t)reducer->gradient % 64, 0);
  float *g = reducer->gradient;
  for (int i = 0; i < 96; i++) g[i] = 0.1f * (float)(i + 1) + (i < 32 ? 1e6f : 0);
  float expected[32];
  for (int i = 0; i < 32; i++) expected[i] = i < 5 || (i >= 8 && i < 28) ? g[i] + (g[64 + i] + g[32 + i]) : g[i];
  for (int b = 0; b < 2; b++) assert_int_equal(reducer->ops->begin(reducer, b), DT_OK);
  for (int b = 0; b < 2; b++) assert_int_equal(reducer->ops->end(reducer, b), DT_OK);
  assert_memory_equal(g, expected, sizeof expected);
  reducer->ops->destroy(&reducer);
  assert_null(reducer);
  comm->ops->destroy(&comm);
}

static void test_launchers(void **state) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK",           "PMI_RANK", "SLURM_JOB_ID", "SLURM_NTASKS",
                                      "SLURM_PROCID",         "SLURM_STEP_NUM_TASKS"};
  static const struct {
    const char *what, *set[7];
    dt_status expected;
  } cases[] = {
      {"no launcher", {NULL}, DT_OK},
      {"the shell of salloc", {NULL, NULL, NULL, "9", "4"}, DT_OK},
      {"a batch script", {NULL, NULL, NULL, "9", "4", "0"}, DT_OK},
      {"srun with one task", {NULL, NULL, NULL, "9", "4", "0", "1"}, DT_OK},
      {"srun with several tasks and no pmix", {NULL, NULL, NULL, "9", "4", "2", "4"}, DT_ENVIRONMENT},
  };
  for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
      if (cases[c].set[n] != NULL)
        setenv(names[n], cases[c].set[n], 1);
      else
        unsetenv(names[n]);
    }
    dt_comm *comm = NULL;
    dt_status status = dt_comm_create(NULL, NULL, &comm);
    if (status != cases[c].expected) fail_msg("%s: %s (%s)", cases[c].what, dt_status_name(status), dt_error_text());
    if (status == DT_OK) {
      assert_string_equal(comm->ops->name, "self");
      comm->ops->destroy(&comm);
    } else {
      assert_non_null(strstr(dt_error_text(), "4 processes"));
      assert_non_null(strstr(dt_error_text(), "srun --mpi=pmix"));
      dt_error_clear();
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_collectives),
      cmocka_unit_test(test_agree),
      cmocka_unit_test(test_reducer_sums_several_roots),
      cmocka_unit_test(test_launchers),
  };
  return cmocka_run_group_tests_name("comm.self", tests, NULL, NULL);
}
