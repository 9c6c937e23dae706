/* dtrain eval and dtrain predict: a checkpoint at work. */
#include <errno.h>
#include <signal.h>
#include <string.h>

#include "cli/cli.h"
#include "core/trainer.h"

static const dt_cli_option eval_options[] = {
    {"from", "CKPT", "a checkpoint folder, or a folder of them (the newest that verifies is taken); default: the run's own"},
    {"on", "SET", "eval (default) or train"},
    {NULL},
};

static dt_status run_eval(dt_cli *cli) {
  const char *on = dt_cli_value(cli, "on");
  DT_REQUIRE(on == NULL || strcmp(on, "eval") == 0 || strcmp(on, "train") == 0, DT_USAGE,
             "--on: found %s, expected eval or train", on);
  dt_config *config = NULL;
  dt_eval_result result;
  dt_status status = dt_cli_config(cli, 0, &config);
  if (status == DT_OK) {
    status = dt_evaluate(config, cli->comm, dt_cli_value(cli, "from"), on != NULL && strcmp(on, "train") == 0, &result);
  }
  dt_config_destroy(&config);
  DT_TRY(status);
  if (cli->comm->rank == 0) {
    printf("checkpoint: %s\n", result.checkpoint);
    printf("%lld of %lld right, accuracy %.2f %%, loss %.4f\n", (long long)result.correct, (long long)result.samples,
           100 * result.accuracy, result.loss);
  }
  return DT_OK;
}

const dt_command dt_command_eval = {
    .name = "eval",
    .summary = "scores a checkpoint on the evaluation set",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description = "Every sample is scored once, whatever the number of ranks, and the counts are exact integers.",
    .options = eval_options,
    .parallel = true,
    .run = run_eval,
};

static const dt_cli_option predict_options[] = {
    {"from", "CKPT", "a checkpoint folder, or a folder of them; default: the run's own"},
    {"output", "FILE", "where the CSV goes; default: standard output"},
    {NULL},
};

static dt_status run_predict(dt_cli *cli) {
  dt_config *config = NULL;
  const char *path = dt_cli_value(cli, "output");
  FILE *out = stdout;
  /* `dtrain predict CONFIG | head` ends when head has enough, as other filters do. */
  if (path == NULL && cli->comm->size == 1) signal(SIGPIPE, SIG_DFL);
  DT_TRY(dt_cli_config(cli, 0, &config));
  dt_status status = DT_OK;
  if (path != NULL && cli->comm->rank == 0 && (out = fopen(path, "w")) == NULL) {
    status = dt_error_set(DT_IO, __FILE__, __LINE__, "%s: can't be written: %s", path, strerror(errno));
  }
  status = dt_comm_agree(cli->comm, status);
  if (status == DT_OK) status = dt_predict(config, cli->comm, dt_cli_value(cli, "from"), out);
  dt_config_destroy(&config);
  if (out != NULL && out != stdout && fclose(out) != 0 && status == DT_OK) {
    DT_RAISE(DT_IO, "%s: %s", path, strerror(errno));
  }
  return status;
}

const dt_command dt_command_predict = {
    .name = "predict",
    .summary = "labels data with a checkpoint",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Prints one CSV line a sample, in the order of the data: index, the class of the largest probability, and that\n"
        "probability. Other data than the config's evaluation set: --set data.eval='{idx: {images: FILE}}'.",
    .options = predict_options,
    .parallel = true,
    .run = run_predict,
};
