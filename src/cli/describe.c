/* dtrain describe: what a config will do, before it does it. */
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "core/describe.h"
#include "core/job.h"
#include "core/memory.h"

static const dt_cli_option options[] = {
    {"resolved", NULL, "prints the config with every value and where it came from"},
    {"program", NULL, "prints the step program, one instruction a line"},
    {"gpu", "MODEL", "plans for this model of GPU without having one: a100, h100, h200, b200; implies --device gpu"},
    {"plans", NULL, "prints the library engine and workspace of each instruction that a gpu leaves to one"},
    {"ranks", "N", "as rank 0 of N ranks would run it (default 1)"},
    {"reference", NULL, "prints the reference of all config keys; takes no CONFIG"},
    {NULL},
};

typedef struct description {
  dt_device *device;
  dt_graph *graph;
  dt_tree *tree;
  dt_program *train, *eval;
} description;

static dt_status lower(const dt_config *config, int ranks, const char *model, description *d) {
  dt_spec spec = *dt_config_spec(config);
  int threads;
  char missing[DT_MISSING_TEXT];
  DT_REQUIRE(model == NULL || spec.device == DT_DEVICE_AUTO || spec.device == DT_DEVICE_GPU, DT_USAGE,
             "--gpu %s: found another device asked for, expected gpu or auto; leave --device out", model);
  if (model != NULL) spec.device = DT_DEVICE_GPU;
  DT_TRY(dt_device_create(&spec, 0, 1, model, &threads, missing, &d->device));
  DT_TRY(dt_graph_create(config, &d->graph));
  DT_TRY(dt_tree_create((int)spec.train.shards, ranks, 0, dt_job_pass_shards(&spec, d->device), &d->tree));
  DT_TRY(dt_program_create(d->graph, &spec, d->device, DT_PROGRAM_TRAIN, d->tree->pass_shards, &d->train));
  if (spec.data.eval.kind == NULL) return DT_OK;
  return dt_program_create(d->graph, &spec, d->device, DT_PROGRAM_EVAL, d->tree->pass_shards, &d->eval);
}

static void print_tables(const dt_config *config, const description *d) {
  const dt_spec *spec = dt_config_spec(config);
  dt_describe_layers(d->graph, d->train, d->device, stdout);
  printf("\n");
  dt_describe_memory(d->device, spec, d->tree, d->train, d->eval, stdout);
  if (dt_memory_check(d->device, spec, d->graph, d->tree, d->train, d->eval, 1) != DT_OK) {
    printf("does not fit: %s\n", dt_error_text());
    dt_error_clear();
  }
  printf("\n");
  dt_describe_schedule(spec, stdout);
}

static void print_plans(const description *d) {
  const dt_device_ops *ops = d->device->ops;
  if (ops->print_plans == NULL) {
    printf("the %s device computes everything itself; --gpu MODEL prints the plans for a GPU\n", ops->name);
    return;
  }
  printf("%s, %s\ntraining\n", d->device->kernels, d->device->library);
  ops->print_plans(d->device, d->train, stdout);
  if (d->eval == NULL) return;
  printf("evaluation\n");
  ops->print_plans(d->device, d->eval, stdout);
}

static void dismantle(description *d) {
  dt_program_destroy(&d->eval);
  dt_program_destroy(&d->train);
  dt_tree_destroy(&d->tree);
  dt_graph_destroy(&d->graph);
  if (d->device != NULL) d->device->ops->destroy(&d->device);
}

static dt_status describe(const dt_cli *cli, const dt_config *config, int ranks) {
  if (dt_cli_value(cli, "resolved") != NULL) return dt_config_print(config, true, stdout);
  description d = {0};
  dt_status status = lower(config, ranks, dt_cli_value(cli, "gpu"), &d);
  if (status == DT_OK && dt_cli_value(cli, "plans") != NULL) {
    print_plans(&d);
  } else if (status == DT_OK && dt_cli_value(cli, "program") != NULL) {
    dt_program_print(d.train, true, stdout);
    printf("hash %016llx\n", (unsigned long long)dt_program_hash(d.train));
  } else if (status == DT_OK) {
    print_tables(config, &d);
  }
  dismantle(&d);
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
