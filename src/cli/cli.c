#include "cli/cli.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/config/aliases.h"
#include "core/config/names.h"
#include "core/wrap.h"
#include "train/job.h"

/* clang-format off */
const dt_command *const dt_commands[] = {
    &dt_command_train,
    &dt_command_eval,
    &dt_command_predict,
    &dt_command_describe,
    &dt_command_data,
    &dt_command_check,
    &dt_command_lr_range,
    &dt_command_bench,
    NULL,
};
/* clang-format on */

const dt_cli_option dt_cli_config_options[] = {
    {"set", "KEY=VALUE",
     "overrides a value of the config (schedule.lr=0.02, model.layers.conv1.filters=8, data.eval=null; docs/config.md has the "
     "rules); may be repeated",
     .repeats = true},
    {"device", "NAME", "auto, gpu, cpu or reference", .sets = "device"},
    {"threads", "N", "CPU threads of a rank; never changes a bit of the result", .sets = "threads"},
    {NULL},
};

static const dt_cli_option common_options[] = {
    {"help", NULL, "prints this help"},
    {"man", NULL, "prints the manual page in roff"},
    {NULL},
};

typedef void option_visitor(void *context, const dt_cli_option *option);

static bool takes_config(const dt_command *command) {
  return strstr(command->words, "CONFIG") != NULL;
}

static void visit_options(const dt_command *command, option_visitor *visit, void *context) {
  const dt_cli_option *tables[] = {command->options, takes_config(command) ? dt_cli_config_options : NULL, common_options};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    for (const dt_cli_option *o = tables[t]; o != NULL && o->name != NULL; o++) visit(context, o);
  }
}

enum { DOC_COLUMN = 27, SUMMARY_COLUMN = 13, HINT_BYTES = 256 };

static void print_option(void *context, const dt_cli_option *option) {
  char left[64];
  snprintf(left, sizeof left, "--%s%s%s", option->name, option->argument ? " " : "", option->argument ? option->argument : "");
  dt_wrap_printf(DOC_COLUMN, context, "  %-24s %s\n", left, option->doc);
}

static void print_help(const dt_command *command, FILE *out) {
  dt_wrap_printf(4, out, "usage: dtrain %s [OPTION...] %s\n", command->name, command->words);
  dt_wrap_printf(0, out, "\n%s\n\noptions:\n", command->summary);
  visit_options(command, print_option, out);
  dt_wrap_printf(0, out, "\n%s\n", command->description);
}

static void print_overview(FILE *out) {
  dt_wrap_print("dtrain trains neural networks: one binary, one config, any number of ranks, the same bits.\n\n", 0,
                DT_LINE_COLUMNS, out);
  fputs("  dtrain CONFIG                 trains on this machine (dtrain train CONFIG)\n", out);
  fputs("  mpirun -np 4 dtrain CONFIG    the same on four ranks\n\ncommands:\n", out);
  for (const dt_command *const *c = dt_commands; *c != NULL; c++)
    dt_wrap_printf(SUMMARY_COLUMN, out, "  %-10s %s\n", (*c)->name, (*c)->summary);
  dt_wrap_print(
      "\ndtrain COMMAND --help tells more, dtrain --version the version; docs/config.md lists every key of a config.\n", 0,
      DT_LINE_COLUMNS, out);
}

/* Roff takes a leading dot or quote for a request, and a backslash for an escape. */
static void print_roff(FILE *out, const char *text) {
  bool line_start = true;
  for (const char *c = text; *c != '\0'; c++) {
    if (line_start && (*c == '.' || *c == '\'')) fputs("\\&", out);
    if (*c == '\\')
      fputs("\\e", out);
    else if (*c == '-')
      fputs("\\-", out);
    else
      fputc(*c, out);
    line_start = *c == '\n';
  }
}

static void print_man_option(void *context, const dt_cli_option *option) {
  fprintf(context, ".TP\n.B \\-\\-%s", option->name);
  if (option->argument != NULL) fprintf(context, " \\fI%s\\fR", option->argument);
  fputs("\n", context);
  print_roff(context, option->doc);
  fputs("\n", context);
}

void dt_cli_man(const dt_command *command, FILE *out) {
  fprintf(out, ".TH DTRAIN-%s 1 \"\" \"dtrain %s\" \"dtrain\"\n.SH NAME\ndtrain\\-%s \\- ", command->name, DTRAIN_VERSION,
          command->name);
  print_roff(out, command->summary);
  fprintf(out, "\n.SH SYNOPSIS\n.B dtrain %s\n[\\fIOPTION\\fR...] \\fI%s\\fR\n.SH DESCRIPTION\n", command->name,
          command->words);
  print_roff(out, command->description);
  fputs("\n.SH OPTIONS\n", out);
  visit_options(command, print_man_option, out);
  fputs(".SH EXIT STATUS\n", out);
  for (int s = 0; s < DT_STATUS_COUNT; s++) {
    fprintf(out, ".TP\n.B %d\n%s\n", dt_status_exit_code((dt_status)s), dt_status_name((dt_status)s));
  }
}

typedef struct find_context {
  const char *name;
  size_t length;
  const dt_cli_option *found;
} find_context;

static void find_option(void *context, const dt_cli_option *option) {
  find_context *find = context;
  if (strlen(option->name) == find->length && strncmp(option->name, find->name, find->length) == 0) find->found = option;
}

typedef struct option_names {
  const char *name[2 * DT_CLI_VALUES];
  int count;
} option_names;

static void collect_name(void *context, const dt_cli_option *option) {
  option_names *names = context;
  if (names->count < 2 * DT_CLI_VALUES - 1) names->name[names->count++] = option->name;
}

/* An option that is mistyped, or a key of the config that somebody takes for one. */
static dt_status unknown_option(const dt_command *command, const char *written, const char *name) {
  char hint[HINT_BYTES] = "", path[HINT_BYTES];
  option_names names = {.count = 0};
  visit_options(command, collect_name, &names);
  const char *nearest = dt_name_nearest_text(name, names.name),
             *key = takes_config(command) ? dt_key_path(name, path, sizeof path) : NULL;
  if (nearest != NULL)
    snprintf(hint, sizeof hint, " (did you mean \"--%s\"?)", nearest);
  else if (key != NULL && strchr(key, '[') == NULL)
    snprintf(hint, sizeof hint, " (did you mean \"--set %s=...\"?)", key);
  DT_RAISE(DT_USAGE, "unknown option %s%s; dtrain %s --help lists what there is", written, hint, command->name);
}

static dt_status parse_option(int argc, char **argv, int *i, dt_cli *cli) {
  const char *text = strcmp(argv[*i], "-h") == 0 ? "help" : argv[*i] + 2, *equals = strchr(text, '=');
  find_context find = {.name = text, .length = equals ? (size_t)(equals - text) : strlen(text)};
  visit_options(cli->command, find_option, &find);
  if (find.found == NULL) {
    char name[HINT_BYTES];
    snprintf(name, sizeof name, "%.*s", (int)find.length, find.name);
    return unknown_option(cli->command, argv[*i], name);
  }
  const char *value = "";
  if (find.found->argument == NULL) {
    DT_REQUIRE(equals == NULL, DT_USAGE, "--%s takes no value", find.found->name);
  } else if (equals != NULL) {
    value = equals + 1;
  } else {
    DT_REQUIRE(*i + 1 < argc, DT_USAGE, "--%s needs %s", find.found->name, find.found->argument);
    value = argv[++*i];
  }
  DT_REQUIRE(find.found->repeats || dt_cli_value(cli, find.found->name) == NULL, DT_USAGE, "--%s is given twice",
             find.found->name);
  DT_REQUIRE(cli->value_count < DT_CLI_VALUES, DT_USAGE, "more than %d options", DT_CLI_VALUES);
  cli->value[cli->value_count].option = find.found;
  cli->value[cli->value_count++].value = value;
  return DT_OK;
}

static const dt_command *find_command(const char *name) {
  for (const dt_command *const *c = dt_commands; *c != NULL; c++) {
    if (strcmp((*c)->name, name) == 0) return *c;
  }
  return NULL;
}

static bool answer_overview(const char *first) {
  if (strcmp(first, "--version") == 0) {
    printf("dtrain %s\n", DTRAIN_VERSION);
    return true;
  }
  if (strcmp(first, "--help") == 0 || strcmp(first, "-h") == 0 || strcmp(first, "help") == 0) {
    print_overview(stdout);
    return true;
  }
  return false;
}

static const char *command_name(const void *context, int index) {
  return dt_commands[index] != NULL ? dt_commands[index]->name : NULL;
}

/* A first word that is no file, where a config was to stand: a command is meant, or a file that is not there. */
static dt_status check_first_word(const dt_cli *cli) {
  const char *word = cli->word[0], *nearest = dt_name_nearest(word, command_name, NULL);
  char hint[HINT_BYTES];
  if (access(word, F_OK) == 0 || (nearest == NULL && cli->word_count < 2)) return DT_OK;
  DT_RAISE(DT_USAGE, "found %s, which is no file and no command%s; dtrain --help lists the commands", word,
           dt_did_you_mean(nearest, hint, sizeof hint));
}

/* A word too many: an override without its --set, or, behind one, most likely the rest of its value. */
static dt_status check_loose_words(const dt_cli *cli) {
  for (int i = 0; i < cli->word_count; i++) {
    DT_REQUIRE(strchr(cli->word[i], '=') == NULL || access(cli->word[i], F_OK) == 0, DT_USAGE,
               "found the word %s, expected --set %s", cli->word[i], cli->word[i]);
    if (cli->set_before[i] == NULL) continue;
    DT_RAISE(DT_USAGE, "found the word %s behind --set %s, expected a value with spaces in quotes: --set '%s %s'", cli->word[i],
             cli->set_before[i], cli->set_before[i], cli->word[i]);
  }
  return DT_OK;
}

static dt_status check_words(const dt_cli *cli, bool command_named) {
  const dt_command *command = cli->command;
  bool fits = cli->word_count >= command->words_min && cli->word_count <= command->words_max;
  if (!fits) DT_TRY(check_loose_words(cli));
  if (!command_named && cli->word_count > 0) DT_TRY(check_first_word(cli));
  DT_REQUIRE(command_named || cli->word_count < 2, DT_USAGE,
             "found %s and %s, expected: dtrain CONFIG, or a command first (dtrain --help lists them)", cli->word[0],
             cli->word[1]);
  DT_REQUIRE(fits, DT_USAGE, "found %d argument%s, expected: dtrain %s %s", cli->word_count, cli->word_count == 1 ? "" : "s",
             command->name, command->words);
  return DT_OK;
}

dt_status dt_cli_parse(int argc, char **argv, dt_cli *cli, bool *done) {
  *done = false;
  DT_REQUIRE(argc > 1, DT_USAGE, "no config given: dtrain CONFIG, or dtrain --help");
  if (answer_overview(argv[1])) {
    *done = true;
    return DT_OK;
  }
  cli->command = find_command(argv[1]);
  int i = cli->command != NULL ? 2 : 1;
  if (cli->command == NULL) cli->command = dt_commands[0];
  bool command_named = i == 2, options_ended = false, is_set = false;
  for (; i < argc; i++) {
    bool after_set = is_set;
    is_set = false;
    if (!options_ended && strcmp(argv[i], "--") == 0) {
      options_ended = true;
    } else if (!options_ended && (strncmp(argv[i], "--", 2) == 0 || strcmp(argv[i], "-h") == 0)) {
      DT_TRY(parse_option(argc, argv, &i, cli));
      is_set = strcmp(cli->value[cli->value_count - 1].option->name, "set") == 0;
    } else {
      DT_REQUIRE(options_ended || argv[i][0] != '-' || argv[i][1] == '\0', DT_USAGE, "unknown option %s", argv[i]);
      DT_REQUIRE(cli->word_count < DT_CLI_WORDS, DT_USAGE, "more than %d arguments", DT_CLI_WORDS);
      cli->set_before[cli->word_count] = after_set ? cli->value[cli->value_count - 1].value : NULL;
      cli->word[cli->word_count++] = argv[i];
    }
  }
  if (dt_cli_value(cli, "help") != NULL)
    print_help(cli->command, stdout);
  else if (dt_cli_value(cli, "man") != NULL)
    dt_cli_man(cli->command, stdout);
  *done = dt_cli_value(cli, "help") != NULL || dt_cli_value(cli, "man") != NULL;
  if (*done) return DT_OK;
  DT_TRY(check_words(cli, command_named));
  return cli->command->check != NULL ? cli->command->check(cli) : DT_OK;
}

const char *dt_cli_value(const dt_cli *cli, const char *name) {
  for (int i = cli->value_count - 1; i >= 0; i--) {
    if (strcmp(cli->value[i].option->name, name) == 0) return cli->value[i].value;
  }
  return NULL;
}

dt_status dt_cli_integer(const dt_cli *cli, const char *name, int64_t standard, int64_t min, int64_t max, int64_t *out) {
  const char *text = dt_cli_value(cli, name);
  *out = standard;
  if (text == NULL) return DT_OK;
  char *end;
  errno = 0;
  long long value = strtoll(text, &end, 10);
  DT_REQUIRE(*text != '\0' && *end == '\0' && errno == 0 && value >= min && value <= max, DT_USAGE,
             "--%s: found %s, expected an integer from %lld to %lld", name, text, (long long)min, (long long)max);
  *out = value;
  return DT_OK;
}

/* --set as it is; --device X becomes --device=X, or whatever key it sets. made[] owns what was built. */
static dt_status collect_sets(const dt_cli *cli, const char **set, char **made, int *set_count, int *made_count) {
  for (int i = 0; i < cli->value_count; i++) {
    const dt_cli_option *option = cli->value[i].option;
    if (strcmp(option->name, "set") == 0) {
      set[(*set_count)++] = cli->value[i].value;
    } else if (option->sets != NULL) {
      DT_REQUIRE(asprintf(&made[*made_count], "--%s=%s", option->sets, cli->value[i].value) >= 0, DT_MEMORY,
                 "no memory for --%s", option->name);
      set[(*set_count)++] = made[(*made_count)++];
    }
  }
  return DT_OK;
}

enum { OWN_SETS = 32 };

static dt_status load_config(const dt_cli *cli, int index, const char *const *own, dt_config **out) {
  const char *set[DT_CLI_VALUES + OWN_SETS];
  char *made[DT_CLI_VALUES];
  int set_count = 0, made_count = 0;
  dt_status status = collect_sets(cli, set, made, &set_count, &made_count);
  for (int i = 0; i < OWN_SETS && own[i] != NULL; i++) set[set_count++] = own[i];
  if (status == DT_OK) status = dt_config_load(cli->word[index], set, set_count, out);
  for (int i = 0; i < made_count; i++) free(made[i]);
  return status;
}

dt_status dt_cli_config(const dt_cli *cli, int index, dt_config **out) {
  static const char *const none[] = {NULL};
  return dt_cli_config_with(cli, index, none, out);
}

dt_status dt_cli_config_with(const dt_cli *cli, int index, const char *const *sets, dt_config **out) {
  *out = NULL;
  dt_status status = load_config(cli, index, sets, out);
  if (cli->comm != NULL) status = dt_job_agree_config(cli->comm, status, *out);
  if (status != DT_OK) dt_config_destroy(out);
  return status;
}
