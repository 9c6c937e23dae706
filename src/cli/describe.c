/* dtrain describe: what a config will do, before it does it. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/lowered.h"
#include "core/describe.h"
#include "core/job.h"
#include "core/memory.h"

static const dt_cli_option options[] = {
    {"resolved", NULL, "prints the config with every value and where it came from"},
    {"program", NULL, "prints the step program, one instruction a line"},
    {"gpu", "MODEL", "plans for this model of GPU without having one: a100, h100, h200, b200; implies --device gpu"},
    {"plans", NULL, "prints the library engine and workspace of each instruction that a gpu leaves to one"},
    {"plan-table", NULL, "prints these choices as lines of a plan table, for the config key plans"},
    {"ranks", "N", "as rank 0 of N ranks would run it (default 1)"},
    {"reference", NULL, "prints the reference of all config keys; takes no CONFIG"},
    {NULL},
};

static dt_status print_remark(const dt_lowered *d) {
  char text[DT_REMARK_TEXT];
  if (d->device->ops->remark == NULL) return DT_OK;
  DT_TRY(d->device->ops->remark(d->device, (dt_program *const[]){d->train, d->eval}, text));
  if (text[0] != '\0') printf("%s: see --plans\n", text);
  return DT_OK;
}

static dt_status print_tables(const dt_config *config, const dt_lowered *d) {
  const dt_spec *spec = dt_config_spec(config);
  dt_describe_layers(d->graph, d->train, d->device, stdout);
  printf("\n");
  dt_describe_memory(d->device, spec, d->tree, d->train, d->eval, stdout);
  if (dt_memory_check(d->device, spec, d->graph, d->tree, d->train, d->eval, 1) != DT_OK) {
    printf("does not fit: %s\n", dt_error_text());
    dt_error_clear();
  }
  DT_TRY(print_remark(d));
  printf("\n");
  dt_describe_schedule(spec, stdout);
  return DT_OK;
}

static dt_status print_plan_table(const dt_lowered *d) {
  const dt_device_ops *ops = d->device->ops;
  DT_REQUIRE(ops->print_plan_table != NULL, DT_USAGE,
             "--plan-table: found the %s device, which leaves nothing to libraries, expected a gpu, or --gpu MODEL", ops->name);
  return ops->print_plan_table(d->device, (const dt_program *[]){d->train, d->eval}, d->eval != NULL ? 2 : 1, stdout);
}

static dt_status print_plans(const dt_lowered *d) {
  const dt_device_ops *ops = d->device->ops;
  if (ops->print_plans == NULL) {
    printf("the %s device computes everything itself; --gpu MODEL prints the plans for a GPU\n", ops->name);
    return DT_OK;
  }
  printf("%s, %s\ntraining\n", d->device->kernels, d->device->library);
  DT_TRY(ops->print_plans(d->device, d->train, stdout));
  if (d->eval == NULL) return DT_OK;
  printf("evaluation\n");
  return ops->print_plans(d->device, d->eval, stdout);
}

static dt_status describe(const dt_cli *cli, const dt_config *config, int ranks) {
  if (dt_cli_value(cli, "resolved") != NULL) return dt_config_print(config, true, stdout);
  dt_lowered d;
  dt_status status = dt_lowered_create(config, ranks, dt_cli_value(cli, "gpu"), true, &d);
  if (status == DT_OK && dt_cli_value(cli, "plan-table") != NULL) {
    status = print_plan_table(&d);
  } else if (status == DT_OK && dt_cli_value(cli, "plans") != NULL) {
    status = print_plans(&d);
  } else if (status == DT_OK && dt_cli_value(cli, "program") != NULL) {
    dt_program_print(d.train, true, stdout);
    printf("hash %016llx\n", (unsigned long long)dt_program_hash(d.train));
  } else if (status == DT_OK) {
    status = print_tables(config, &d);
  }
  dt_lowered_destroy(&d);
  return status;
}

static dt_status run(dt_cli *cli) {
  if (dt_cli_value(cli, "reference") != NULL) return dt_config_reference(stdout);
  DT_REQUIRE(cli->word_count == 1, DT_USAGE, "found no CONFIG, expected: dtrain describe CONFIG");
  int64_t ranks;
  DT_TRY(dt_cli_integer(cli, "ranks", 1, 1, 1 << 20, &ranks));
  dt_config *config = NULL;
  DT_TRY(dt_cli_config(cli, 0, &config));
  dt_status status = describe(cli, config, (int)ranks);
  dt_config_destroy(&config);
  return status;
}

const dt_command dt_command_describe = {
    .name = "describe",
    .summary = "prints layers, memory, schedule and step program of a config",
    .words = "CONFIG",
    .words_min = 0,
    .words_max = 1,
    .description =
        "Everything is known before the first step: shapes, parameters, FLOPs, memory to the byte, the learning rate over\n"
        "the run and the instructions of a step. No data is read.",
    .options = options,
    .run = run,
};
