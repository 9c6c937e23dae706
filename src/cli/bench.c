/* dtrain bench: measured, with the physical floor beside it. */
#include <string.h>

#include "cli/bench_steps.h"
#include "cli/cli.h"
#include "comm/bench.h"

static const dt_cli_option options[] = {
    {"max-bytes", "BYTES", "allreduce: the largest message (default 268435456)"},
    {"steps", "N", "step, layers: steps to time after as many to warm up (default 50)"},
    {NULL},
};

static dt_status bench_config(dt_cli *cli, bool layers) {
  DT_REQUIRE(cli->word_count == 2, DT_USAGE, "found no CONFIG, expected: dtrain bench %s CONFIG", cli->word[0]);
  int64_t steps;
  DT_TRY(dt_cli_integer(cli, "steps", 50, 1, 1000000, &steps));
  dt_config *config = NULL;
  DT_TRY(dt_cli_config(cli, 1, &config));
  dt_status status = dt_bench_steps(config, cli->comm, steps, layers, stdout);
  dt_config_destroy(&config);
  return status;
}

static dt_status run(dt_cli *cli) {
  if (strcmp(cli->word[0], "allreduce") == 0) {
    int64_t bytes;
    DT_TRY(dt_cli_integer(cli, "max-bytes", 268435456, 1024, (int64_t)1 << 32, &bytes));
    dt_bench_options bench = {.max_bytes = bytes};
    return dt_bench_allreduce(cli->comm, &bench, stdout);
  }
  if (strcmp(cli->word[0], "step") == 0) return bench_config(cli, false);
  if (strcmp(cli->word[0], "layers") == 0) return bench_config(cli, true);
  DT_RAISE(DT_USAGE, "bench: found %s, expected allreduce, step or layers", cli->word[0]);
}

const dt_command dt_command_bench = {
    .name = "bench",
    .summary = "measures all-reduce, a training step, or each instruction of one",
    .words = "allreduce | step CONFIG | layers CONFIG",
    .words_min = 1,
    .words_max = 2,
    .description =
        "allreduce compares the ordered and the fast reduction with MPI_Allreduce, in GB/s, from 1 KB up.\n"
        "step times whole training steps, data included, and prints the arithmetic floor beside them.\n"
        "layers times every instruction of the step.",
    .options = options,
    .parallel = true,
    .run = run,
};
