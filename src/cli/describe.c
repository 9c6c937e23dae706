/* dtrain describe: what a config will do, before it does it. */
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/lowered.h"
#include "comm/cores.h"
#include "core/config/warnings.h"
#include "core/program/dot.h"
#include "core/wrap.h"
#include "data/sets.h"
#include "train/describe.h"
#include "train/job.h"
#include "train/memory.h"
#include "train/shares.h"

static const dt_cli_option options[] = {
    {"resolved", NULL, "prints the config with every value and where it came from"},
    {"program", NULL, "prints the step program, one instruction a line (on a terminal, as many as it takes)"},
    {"dot", NULL, "draws the step program for Graphviz, forward and backward: dtrain describe --dot CONFIG | dot -Tsvg"},
    {"gpu", "MODEL", "plans for this model of GPU without having one: a100, h100, h200, b200; implies --device gpu"},
    {"plans", NULL, "prints the library engine and workspace of each instruction that a gpu leaves to one"},
    {"plan-table", NULL, "prints these choices as lines of a plan table, for the config key plans"},
    {"ranks", "N", "as rank 0 of N ranks would run it (default 1)"},
    {"reference", NULL, "prints the reference of all config keys; takes no CONFIG"},
    {NULL},
};

static dt_status print_warning(const dt_lowered *d, FILE *out) {
  char text[DT_WARNING_TEXT];
  if (d->device->note != NULL) fprintf(out, "%s\n", d->device->note);
  if (d->device->ops->libraries == NULL) return DT_OK;
  DT_TRY(d->device->ops->libraries->warning(d->device, (dt_program *const[]){d->train, d->eval}, text));
  if (text[0] != '\0') fprintf(out, "%s\n", text);
  return DT_OK;
}

static void print_line(void *context, const char *line) {
  fprintf(context, "%s\n", line);
}

/* Files that are not there, or are not what they should be, are a run's trouble; here they only leave a number out. */
static int64_t count_samples(const dt_spec *spec, dt_set set, size_t *bytes) {
  dt_data_info info;
  if (dt_set_inspect(spec, set, true, &info) != DT_OK) {
    dt_error_clear();
    return 0;
  }
  *bytes += dt_dataset_bytes(&info);
  return info.count;
}

static void print_fit(const dt_spec *spec, const dt_lowered *d, const dt_memory_setting *setting, FILE *out) {
  if (dt_memory_check(d->device, spec, d->graph, d->tree, d->train, d->eval, setting) != DT_OK) {
    fprintf(out, "does not fit: %s\n", dt_error_text());
    dt_error_clear();
  } else if (dt_device_on_host(d->device) && setting->sharers > 1) {
    fprintf(out, "%d ranks fit on this host\n", setting->sharers);
  }
}

static void print_warnings(const dt_spec *spec, const dt_lowered *d, int64_t train_samples, FILE *out) {
  const dt_warnings to = {print_line, out};
  const dt_shares shares = {.ranks = d->tree->size,
                            .local_ranks = dt_device_on_host(d->device) ? d->tree->size : 1,
                            .cores = dt_cores_available() / d->tree->size,
                            .available = (int)dt_cores_available(),
                            .train_samples = train_samples};
  dt_spec_warnings(spec, shares.available, &to);
  dt_share_warnings(spec, d->device, &shares, &to);
}

static dt_status print_tables(const dt_config *config, const dt_lowered *d, FILE *out) {
  const dt_spec *spec = dt_config_spec(config);
  size_t bytes = 0;
  const int64_t train = count_samples(spec, DT_SET_TRAIN, &bytes), eval = count_samples(spec, DT_SET_EVAL, &bytes);
  const dt_memory_setting setting = {.train_samples = train,
                                     .eval_samples = eval,
                                     .data_bytes = bytes,
                                     .sharers = dt_device_on_host(d->device) ? d->tree->size : 1,
                                     .one_host = true};
  dt_describe_layers(spec, d->graph, d->train, d->device, out);
  fputc('\n', out);
  dt_describe_memory(d->device, spec, d->tree, d->train, d->eval, &setting, out);
  print_fit(spec, d, &setting, out);
  DT_TRY(print_warning(d, out));
  print_warnings(spec, d, setting.train_samples, out);
  fputc('\n', out);
  dt_describe_schedule(spec, out);
  return DT_OK;
}

static dt_status print_plan_table(const dt_lowered *d) {
  const dt_library_ops *libraries = d->device->ops->libraries;
  DT_REQUIRE(libraries != NULL, DT_USAGE,
             "--plan-table: found the %s device, which leaves nothing to libraries, expected a gpu, or --gpu MODEL",
             d->device->ops->name);
  return libraries->print_plan_table(d->device, (const dt_program *[]){d->train, d->eval}, d->eval != NULL ? 2 : 1, stdout);
}

static dt_status print_plans(const dt_lowered *d, FILE *out) {
  const dt_library_ops *libraries = d->device->ops->libraries;
  if (libraries == NULL) {
    fprintf(out, "the %s device computes everything itself; --gpu MODEL plans for a GPU\n", d->device->ops->name);
    return DT_OK;
  }
  const int shards = d->tree->micro_batch_shards;
  fprintf(out, "%s, %s\n", d->device->kernels, d->device->library);
  if (shards > 1) {
    fprintf(out, "%d shards at once, where the first step finds that an engine gives each the bits that it has alone\n",
            shards);
  }
  fprintf(out, "training\n");
  DT_TRY(libraries->print_plans(d->device, d->train, shards, out));
  if (d->eval == NULL) return DT_OK;
  fprintf(out, "evaluation\n");
  return libraries->print_plans(d->device, d->eval, shards, out);
}

/* What a line has room for: $COLUMNS, else what the terminal has, and 80 at least, as tables have; 0, any length, where
 * something else reads. */
static int line_columns(void) {
  const char *text = getenv("COLUMNS");
  struct winsize size;
  long columns = text != NULL ? strtol(text, NULL, 10) : 0;
  if (columns <= 0 && !isatty(STDOUT_FILENO)) return 0;
  if (columns <= 0 && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) columns = size.ws_col;
  return columns < DT_LINE_COLUMNS ? DT_LINE_COLUMNS : columns < INT_MAX ? (int)columns : INT_MAX;
}

/* Lines that are too long go on under the part that tells most. */
static dt_status print_text(const dt_cli *cli, const dt_config *config, const dt_lowered *d, FILE *out, int *out_indent) {
  enum { TABLE_INDENT = 2, PROGRAM_INDENT = 20, PLANS_INDENT = 25 };
  *out_indent = TABLE_INDENT;
  if (dt_cli_value(cli, "plans") != NULL) {
    *out_indent = PLANS_INDENT;
    return print_plans(d, out);
  }
  if (dt_cli_value(cli, "program") == NULL) return print_tables(config, d, out);
  *out_indent = PROGRAM_INDENT;
  dt_program_print(d->train, true, out);
  fprintf(out, "hash %016llx\n", (unsigned long long)dt_program_hash(d->train));
  return DT_OK;
}

static dt_status print_wrapped(const dt_cli *cli, const dt_config *config, const dt_lowered *d) {
  char *text = NULL;
  size_t bytes;
  int indent;
  FILE *memory = open_memstream(&text, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for the description");
  dt_status status = print_text(cli, config, d, memory, &indent);
  if (fclose(memory) != 0 && status == DT_OK)
    status = dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory for the description");
  if (status == DT_OK) dt_wrap_print(text, indent, line_columns(), stdout);
  free(text);
  return status;
}

/* What other programs read goes out as it is. */
static dt_status print(const dt_cli *cli, const dt_config *config, const dt_lowered *d) {
  if (dt_cli_value(cli, "plan-table") != NULL) return print_plan_table(d);
  if (dt_cli_value(cli, "dot") != NULL) return dt_program_dot(d->train, stdout);
  return print_wrapped(cli, config, d);
}

static dt_status describe(const dt_cli *cli, const dt_config *config, int ranks) {
  if (dt_cli_value(cli, "resolved") != NULL) return dt_config_print(config, true, stdout);
  dt_lowered d;
  dt_status status = dt_lowered_create(config, NULL, ranks, dt_cli_value(cli, "gpu"), true, &d);
  if (status == DT_OK) status = print(cli, config, &d);
  dt_lowered_destroy(&d);
  return status;
}

static dt_status run(dt_cli *cli) {
  signal(SIGPIPE, SIG_DFL); /* `dtrain describe CONFIG | head` ends when head has enough */
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
        "Everything is known before the first step: shapes, parameters, FLOPs, memory to the byte, the learning rate over "
        "the run and the instructions of a step. Of the data only the size is looked up, where the files are there.",
    .options = options,
    .run = run,
};
