/* dtrain eval: a checkpoint is scored. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/numbers.h"
#include "train/evaluate.h"
#include "train/trainer.h"

static const dt_cli_option eval_options[] = {
    {"from", "CKPT",
     "a checkpoint folder, or a file in it, or a folder of them (the newest that verifies is taken); default: the run's own"},
    {"on", "SET", "eval (default) or train"},
    {NULL},
};

static dt_status check_eval(const dt_cli *cli) {
  const char *on = dt_cli_value(cli, "on");
  DT_REQUIRE(on == NULL || strcmp(on, "eval") == 0 || strcmp(on, "train") == 0, DT_USAGE,
             "--on: found %s, expected eval or train", on);
  return DT_OK;
}

/* "975 of 1000 right, accuracy 97.50 %, loss 0.0812", in the order in which train prints them. Without shares, the number of
 * samples comes first. */
static void print_measured(const dt_measured *m) {
  char number[DT_NUMBER_TEXT];
  bool shares = false;
  for (int i = 0; i < m->count; i++) shares |= m->item[i].percent;
  if (!shares) printf("%lld samples", (long long)m->samples);
  for (int i = 0; i < m->count; i++) {
    const int k = dt_measured_printed(m, i);
    printf("%s", i > 0 || !shares ? ", " : "");
    if (m->item[k].of > 0) printf("%lld of %lld right, ", (long long)m->item[k].counted, (long long)m->item[k].of);
    if (m->item[k].percent)
      printf("%s %.2f %%", m->item[k].name, 100 * m->item[k].value);
    else
      printf("%s %s", m->item[k].name, dt_number_text(m->item[k].value, number));
  }
  putchar('\n');
}

/* A row a label, a column a class, as wide as the largest count. */
static void print_matrix(const dt_eval_result *result) {
  int width = snprintf(NULL, 0, "%d", result->classes);
  for (int i = 0; i < result->classes * result->classes; i++) {
    const int digits = snprintf(NULL, 0, "%lld", (long long)result->matrix[i]);
    if (digits > width) width = digits;
  }
  for (int label = 0; label < result->classes; label++) {
    printf("label %*d:", snprintf(NULL, 0, "%d", result->classes), label);
    for (int c = 0; c < result->classes; c++) printf(" %*lld", width, (long long)result->matrix[label * result->classes + c]);
    putchar('\n');
  }
}

static dt_status run_eval(dt_cli *cli) {
  const char *on = dt_cli_value(cli, "on");
  dt_config *config = NULL;
  dt_eval_result result = {.matrix = NULL};
  dt_status status = dt_cli_config(cli, 0, &config);
  if (status == DT_OK) {
    status = dt_evaluate(config, cli->comm, dt_cli_value(cli, "from"), on != NULL && strcmp(on, "train") == 0, &result);
  }
  dt_config_destroy(&config);
  DT_TRY(status);
  if (cli->comm->rank == 0) {
    const dt_source *from = &result.source;
    printf("checkpoint: %s\nstep %lld, %lld samples seen, saved %s; run: %s\n", from->checkpoint, (long long)from->step,
           (long long)from->samples_seen, from->saved, from->outcome[0] != '\0' ? from->outcome : "not there any more");
    print_measured(&result.measured);
    print_matrix(&result);
  }
  free(result.matrix);
  return DT_OK;
}

const dt_command dt_command_eval = {
    .name = "eval",
    .summary = "scores a checkpoint on the evaluation set",
    .words = "CONFIG",
    .words_min = 1,
    .words_max = 1,
    .description =
        "Every sample is scored once, whatever the number of ranks, and the counts are exact integers. A checkpoint of step "
        "0, before any training, is scored only when --from names its very folder.",
    .options = eval_options,
    .parallel = true,
    .check = check_eval,
    .run = run_eval,
};
