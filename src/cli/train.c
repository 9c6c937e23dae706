/* dtrain train. */
#include <limits.h>

#include "cli/cli.h"
#include "core/numbers.h"
#include "train/trainer.h"

static const dt_cli_option options[] = {
    {"resume", NULL, "goes on from the run's newest checkpoint that verifies, at any number of ranks"},
    {"accept", "KEY[,KEY]", "with --resume: changes that are meant though they change the training; a key takes all below it"},
    {"stop-after", "STEPS", "saves and ends after so many steps of this process"},
    {"quiet", NULL, "prints warnings, errors and the result only"},
    {"verbose", NULL, "prints every line that goes to the log file"},
    {NULL},
};

/* "accuracy: 97.50 %  loss: 0.0812": the loss last. */
static void print_measured(const dt_measured *m) {
  char number[DT_NUMBER_TEXT];
  for (int i = 0; i < m->count; i++) {
    const int k = dt_measured_printed(m, i);
    printf("%s%s: ", i > 0 ? "  " : "", m->item[k].name);
    if (m->item[k].percent)
      printf("%.2f %%", 100 * m->item[k].value);
    else
      printf("%s", dt_number_text(m->item[k].value, number));
  }
  if (m->count > 0) putchar('\n');
}

static void print_result(const dt_train_result *result) {
  printf("done: %lld step%s, %lld samples", (long long)result->steps, dt_plural(result->steps),
         (long long)result->samples_seen);
  if (result->trained_samples < result->samples_seen) printf(", %lld of them now", (long long)result->trained_samples);
  if (result->trained_samples > 0) printf(" in %.1f s (%.0f samples/s)", result->train_seconds, result->samples_per_second);
  printf(", %s\n", result->outcome);
  print_measured(&result->measured);
  printf("run: %s\ncheckpoint: %s\n", result->run_dir, result->checkpoint);
}

static dt_status read_output(const dt_cli *cli, dt_output *out) {
  bool quiet = dt_cli_value(cli, "quiet") != NULL, verbose = dt_cli_value(cli, "verbose") != NULL;
  DT_REQUIRE(!quiet || !verbose, DT_USAGE, "found --quiet and --verbose, expected one of them");
  *out = (dt_output){.terminal = true, .most = quiet ? DT_LEVEL_WARNING : verbose ? DT_LEVEL_DETAIL : DT_LEVEL_INFO};
  return DT_OK;
}

static dt_status read_options(const dt_cli *cli, dt_train_options *out) {
  *out = (dt_train_options){
      .resume = dt_cli_value(cli, "resume") != NULL, .accept = dt_cli_value(cli, "accept"), .command = cli->line};
  DT_TRY(read_output(cli, &out->output));
  DT_TRY(dt_cli_integer(cli, "stop-after", 0, 1, INT64_MAX, &out->stop_after_steps));
  DT_REQUIRE(out->accept == NULL || out->resume, DT_USAGE, "--accept needs --resume");
  return DT_OK;
}

static dt_status check(const dt_cli *cli) {
  dt_train_options train;
  return read_options(cli, &train);
}

static dt_status run(dt_cli *cli) {
  dt_train_options train;
  DT_TRY(read_options(cli, &train)); /* checked before */
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
        "of "
        "every batch. The result is the same, bit for bit, for any number of ranks and threads (comm.reduce: ordered).\n"
        "\n"
        "A run lives in <output>/<name>/: config.yaml as resolved, run.json, metrics.jsonl, a log a rank, and ckpt/; "
        "docs/run.md tells every field. A new run under a name that is taken sets the old folder aside as <name>.1, .2, ... "
        "once its first checkpoint is written: a start that fails leaves the old run where it is. --resume goes on in it.\n"
        "\n"
        "On a terminal a bar moves, and every epoch is a line; in a file every line begins with the time (log.terminal says "
        "how often one comes).\n"
        "\n"
        "SIGUSR1 saves and exits with 75, which asks a scheduler to start the job again; SIGINT (Ctrl-C) and SIGTERM save and "
        "stop; a second one ends at once. mpirun passes SIGUSR1 on; of Ctrl-C it makes SIGTERM, and ends by force what has not "
        "saved after a second: export OMPI_MCA_odls_base_sigkill_timeout=SECONDS for large networks.",
    .options = options,
    .parallel = true,
    .check = check,
    .run = run,
};
