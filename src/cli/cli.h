/* Commands: one file and one row each. The row parses the command line, prints --help and makes the man page. */
#ifndef DT_CLI_CLI_H
#define DT_CLI_CLI_H

#include <stdio.h>

#include "comm/comm.h"
#include "core/config/spec.h"

typedef struct dt_cli_option {
  const char *name;     /* without the dashes; NULL ends the table */
  const char *argument; /* what it takes, for help; NULL = a flag */
  const char *doc;
  bool repeats;
  const char *sets; /* the config key it stands for ("device"); NULL = read by the command */
} dt_cli_option;

enum { DT_CLI_VALUES = 64, DT_CLI_WORDS = 16 };

typedef struct dt_cli {
  const struct dt_command *command;
  const char *word[DT_CLI_WORDS];       /* what is no option */
  const char *set_before[DT_CLI_WORDS]; /* the value of a --set right before that word; NULL where none is */
  int word_count;
  struct {
    const dt_cli_option *option;
    const char *value; /* "" for a flag */
  } value[DT_CLI_VALUES];
  int value_count;
  const char *line; /* the whole command line, for the record */
  dt_comm *comm;    /* of parallel commands */
} dt_cli;

typedef struct dt_command {
  const char *name, *summary;
  const char *words; /* "CONFIG": what follows the options, for help */
  int words_min, words_max;
  const char *description; /* paragraphs of the man page */
  const dt_cli_option *options;
  bool parallel; /* several ranks may run it */
  /* What is wrong with the values of the options, before ranks meet: one rank's command line may be another one. NULL = nothing
   * can be. DT_USAGE. */
  dt_status (*check)(const dt_cli *cli);
  dt_status (*run)(dt_cli *cli);
} dt_command;

extern const dt_command dt_command_train;
extern const dt_command dt_command_eval;
extern const dt_command dt_command_predict;
extern const dt_command dt_command_describe;
extern const dt_command dt_command_data;
extern const dt_command dt_command_check;
extern const dt_command dt_command_lr_range;
extern const dt_command dt_command_bench;
extern const dt_command *const dt_commands[];       /* NULL-terminated; the first is the default */
extern const dt_cli_option dt_cli_config_options[]; /* --set, --device, --threads: rows that commands with a CONFIG share */

/* Fills cli from the command line. *done is set when --help, --version or --man was answered. DT_USAGE. */
dt_status dt_cli_parse(int argc, char **argv, dt_cli *cli, bool *done);
/* The value of an option, the last one given; NULL when absent. */
const char *dt_cli_value(const dt_cli *cli, const char *name);
/* An option's value as an integer in [min, max]; `standard` when absent. */
dt_status dt_cli_integer(const dt_cli *cli, const char *name, int64_t standard, int64_t min, int64_t max, int64_t *out);
/* Loads word[index] as config with --set and the options that stand for config keys; ranks agree on success and on the
 * resolved text. *out is NULL after a failure. Collective where the command is parallel. */
dt_status dt_cli_config(const dt_cli *cli, int index, dt_config **out);
/* The same with overrides of the command's own behind the user's; NULL ends them. */
dt_status dt_cli_config_with(const dt_cli *cli, int index, const char *const *sets, dt_config **out);
void dt_cli_man(const dt_command *command, FILE *out);

#endif
