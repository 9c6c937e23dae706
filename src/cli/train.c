/* dtrain train. */
#include <limits.h>

#include "cli/cli.h"
#include "core/trainer.h"

static const dt_cli_option options[] = {
    {"resume", NULL, "goes on from the run's newest checkpoint that verifies, at any number of ranks"},
    {"accept", "KEY[,KEY]", "with --resume: changes of the config that are meant, though they change the training"},
    {"stop-after", "STEPS", "saves and ends after so many steps of this process"},
    {NULL},
};

static void print_result(const dt_train_result *result) {
  printf("done: %lld steps, %lld samples in %.1f s (%.0f samples/s)\n", (long long)result->steps,
         (long long)result->samples_seen, result->train_seconds, result->samples_per_second);
  if (result->accuracy >= 0) printf("accuracy: %.2f %%  loss: %.4f\n", 100 * result->accuracy, result->loss);
  printf("run: %s\ncheckpoint: %s\n", result->run_dir, result->checkpoint);
}

static dt_status run(dt_cli *cli) {
  dt_train_options train = {
      .resume = dt_cli_value(cli, "resume") != NULL, .accept = dt_cli_value(cli, "accept"), .command = cli->line};
  DT_TRY(dt_cli_integer(cli, "stop-after", 0, 1, INT64_MAX, &train.stop_after_steps));
  DT_REQUIRE(train.accept == NULL || train.resume, DT_USAGE, "--accept needs --resume");
  dt_config *config = NULL;
  dt_train_result result;
  dt_status status = dt_cli_config(cli, 0, &config);
  if (status == DT_OK) status = dt_train(config, cli->comm, &train, &result);
  dt_config_destroy(&config);
  if (status == DT_OK && cli->comm->rank == 0) print_result(&result);
  return status;
}

const dt_command dt_command_train = {
    .name = "train",
    .summary = "trains a network",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Started alone it is a world of one rank; under mpirun or srun each rank holds a replica of the network and its share "
        "of\n"
        "every batch. The result is the same, bit for bit, for any number of ranks and threads (comm.reduce: ordered).\n"
        "\n"
        "A run lives in <output>/<name>/: config.yaml as resolved, run.json, metrics.jsonl, a log a rank, and ckpt/. A new "
        "run\n"
        "under a name that is taken sets the old folder aside as <name>.1, .2, ...; --resume goes on in it.\n"
        "\n"
        "SIGUSR1 saves and exits with 75, which asks a scheduler to start the job again; SIGINT (Ctrl-C) and\n"
        "SIGTERM save and stop; a second one ends at once. mpirun passes SIGUSR1 on; of Ctrl-C it makes SIGTERM, and ends\n"
        "by force what has not saved after a second: export OMPI_MCA_odls_base_sigkill_timeout=SECONDS for large networks.",
    .options = options,
    .parallel = true,
    .run = run,
};
