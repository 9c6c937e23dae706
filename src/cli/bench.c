/* dtrain bench: measured, with the physical floor beside it. */
#include <string.h>

#include "cli/bench_augment.h"
#include "cli/bench_steps.h"
#include "cli/cli.h"
#include "cli/lowered.h"
#include "comm/bench.h"

static const dt_cli_option options[] = {
    {"max-bytes", "BYTES", "allreduce: the largest message (default 268435456)"},
    {"steps", "N", "step, layers: steps to time after as many to warm up (default 50)"},
    {"out", "FILE", "plans: the plan table that is made or gone on with (default plans.txt)"},
    {NULL},
};

/* --- step, layers --- */

static dt_status read_steps(const dt_cli *cli, int64_t *out) {
  return dt_cli_integer(cli, "steps", 50, 1, 1000000, out);
}

static dt_status check_steps(const dt_cli *cli) {
  int64_t steps;
  DT_REQUIRE(cli->word_count >= 2, DT_USAGE, "found no CONFIG, expected: dtrain bench %s CONFIG", cli->word[0]);
  DT_REQUIRE(cli->word_count == 2, DT_USAGE, "found %s after %s, expected one CONFIG", cli->word[2], cli->word[1]);
  return read_steps(cli, &steps);
}

static dt_status bench_config(dt_cli *cli, bool layers) {
  int64_t steps;
  dt_config *config = NULL;
  DT_TRY(read_steps(cli, &steps));
  DT_TRY(dt_cli_config(cli, 1, &config));
  dt_status status = dt_bench_steps(config, cli->comm, steps, layers, stdout);
  dt_config_destroy(&config);
  return status;
}

/* --- plans --- */

static dt_status time_plans(const dt_cli *cli, const dt_lowered *lowered) {
  const dt_library_ops *libraries = lowered->device->ops->libraries;
  const dt_program *program[] = {lowered->train, lowered->eval};
  const char *path = dt_cli_value(cli, "out");
  DT_REQUIRE(
      libraries != NULL, DT_USAGE,
      "bench plans: found the %s device, which leaves nothing to libraries, expected a gpu (--device gpu says what is missing)",
      lowered->device->ops->name);
  return libraries->time_plans(lowered->device, program, lowered->eval != NULL ? 2 : 1, path != NULL ? path : "plans.txt",
                               stdout);
}

/* The table that the config names is not used: it may be the one that is to be made. */
static dt_status plans_of_config(const dt_cli *cli, int word) {
  dt_config *config = NULL;
  dt_lowered lowered;
  DT_TRY(dt_cli_config(cli, word, &config));
  if (cli->word_count > 2) printf("%s\n", cli->word[word]);
  dt_status status = dt_lowered_create(config, cli->comm, 1, NULL, false, &lowered);
  if (status == DT_OK) status = time_plans(cli, &lowered);
  dt_lowered_destroy(&lowered);
  dt_config_destroy(&config);
  return status;
}

static dt_status check_config(const dt_cli *cli, int word) {
  dt_config *config = NULL;
  DT_TRY(dt_cli_config(cli, word, &config));
  dt_config_destroy(&config);
  return DT_OK;
}

static dt_status check_plans(const dt_cli *cli) {
  DT_REQUIRE(cli->word_count >= 2, DT_USAGE, "found no CONFIG, expected: dtrain bench plans CONFIG...");
  return DT_OK;
}

/* Timing takes minutes: a mistake in the last config is told before the first one's. */
static dt_status bench_plans(dt_cli *cli) {
  DT_REQUIRE(cli->comm->size == 1, DT_USAGE, "bench plans: found %d ranks, expected 1: a table is made once", cli->comm->size);
  for (int i = 1; i < cli->word_count; i++) DT_TRY(check_config(cli, i));
  for (int i = 1; i < cli->word_count; i++) DT_TRY(plans_of_config(cli, i));
  return DT_OK;
}

/* --- allreduce --- */

static dt_status read_most(const dt_cli *cli, int64_t *out) {
  return dt_cli_integer(cli, "max-bytes", 268435456, 1024, (int64_t)1 << 32, out);
}

static dt_status check_allreduce(const dt_cli *cli) {
  int64_t bytes;
  DT_REQUIRE(cli->word_count == 1, DT_USAGE, "found %s, expected nothing after bench allreduce", cli->word[1]);
  return read_most(cli, &bytes);
}

static dt_status bench_allreduce(dt_cli *cli) {
  dt_bench_options bench = {0};
  DT_TRY(read_most(cli, &bench.max_bytes));
  return dt_bench_allreduce(cli->comm, &bench, stdout);
}

/* --- augment --- */

static dt_status bench_augment(dt_cli *cli) {
  dt_config *config = NULL;
  DT_REQUIRE(cli->comm->size == 1, DT_USAGE, "bench augment: found %d ranks, expected 1", cli->comm->size);
  DT_TRY(dt_cli_config(cli, 1, &config));
  dt_status status = dt_bench_augment(config, stdout);
  dt_config_destroy(&config);
  return status;
}

/* --- the command --- */

static dt_status bench_step(dt_cli *cli) {
  return bench_config(cli, false);
}

static dt_status check_augment(const dt_cli *cli) {
  DT_REQUIRE(dt_cli_value(cli, "steps") == NULL, DT_USAGE, "--steps: bench augment makes no steps");
  return check_steps(cli);
}

static dt_status bench_layers(dt_cli *cli) {
  return bench_config(cli, true);
}

static const struct bench {
  const char *name;
  dt_status (*check)(const dt_cli *cli); /* of the command line */
  dt_status (*run)(dt_cli *cli);
} benches[] = {
    {"allreduce", check_allreduce, bench_allreduce}, {"step", check_steps, bench_step},   {"layers", check_steps, bench_layers},
    {"augment", check_augment, bench_augment},       {"plans", check_plans, bench_plans},
};

static const struct bench *find(const dt_cli *cli) {
  for (size_t i = 0; i < sizeof benches / sizeof *benches; i++) {
    if (strcmp(cli->word[0], benches[i].name) == 0) return &benches[i];
  }
  return NULL;
}

static dt_status check(const dt_cli *cli) {
  const struct bench *bench = find(cli);
  DT_REQUIRE(bench != NULL, DT_USAGE, "bench: found %s, expected allreduce, step, layers, augment or plans", cli->word[0]);
  return bench->check(cli);
}

static dt_status run(dt_cli *cli) {
  return find(cli)->run(cli);
}

const dt_command dt_command_bench = {
    .name = "bench",
    .summary = "measures all-reduce, a training step, each instruction of one, augmentations, or engines for a plan table",
    .words = "allreduce | step CONFIG | layers CONFIG | augment CONFIG | plans CONFIG...",
    .words_min = 1,
    .words_max = DT_CLI_WORDS,
    .description =
        "allreduce compares the ordered and the fast reduction with MPI_Allreduce, in GB/s, from 1 KB up.\n"
        "step times whole training steps, data included, and on CPUs prints the arithmetic floor beside them.\n"
        "layers times every instruction of the step.\n"
        "augment times each augmentation of the config on its training images, on one thread.\n"
        "plans times each engine that cuDNN and cuBLASLt offer on a gpu for the convolutions and products of the configs, and "
        "writes a plan table, which the config key plans then names.",
    .options = options,
    .parallel = true,
    .check = check,
    .run = run,
};
