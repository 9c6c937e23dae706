/* The reference page: the option tables as Markdown. */
#include <stdio.h>
#include <string.h>

#include "core/config/internal.h"

enum { TEXT_BYTES = 512 };

static const char preamble[] =
    "# Config reference\n"
    "\n"
    "Written by `dtrain describe --reference` from the table that also parses, checks and prints configs.\n"
    "\n"
    "A config is one YAML document in UTF-8, at most 1 MiB, without anchors, aliases and tags. A leading byte order mark is\n"
    "skipped, lines may end in CRLF. Every key is known or refused; keys are case-sensitive and appear once. Numbers are "
    "decimal,\n"
    "with a point whatever the locale. A path is taken as it stands: `~` at its beginning is refused, and a variable but in\n"
    "data.dir; `./~` and `./$` name files that are called so.\n"
    "\n"
    "- *One of several kinds* is written `{kind: {option: value}}`, `kind: value` where the kind names an option that a bare "
    "value\n"
    "  stands for, or just `kind`.\n"
    "- *A duration* is a number and a unit: `10 epochs`, `1000 steps`, `60000 samples`, and, where it changes nothing in the\n"
    "  result, `30 s`, `5 min`, `2 h`. A step is a step, also where the last one of an epoch is short; a fraction of a step "
    "counts\n"
    "  as a whole one, a fraction of an epoch is rounded to the nearest sample.\n"
    "- An option that *does not affect results* never changes a bit of what is trained: a resumed run may change it.\n"
    "- *Scheduled* options are hyper-parameters that `schedule` may give over time, by their names.\n"
    "\n"
    "## Overrides\n"
    "\n"
    "`--set KEY=VALUE` changes a value on the command line; `--set` may be repeated, and the last one counts. VALUE is read as "
    "in\n"
    "a config. An override changes what it names and keeps the rest:\n"
    "\n"
    "- *A path of keys:* `--set train.length='2 epochs'`. The kind that is there may be left out: `optimizer.momentum=0.5` "
    "and\n"
    "  `optimizer.sgd.momentum=0.5` are the same.\n"
    "- *Layers* by the name or the index that `dtrain describe` prints: `model.layers.conv2.filters=8`,\n"
    "  `model.layers.residual3.conv1.kernel=5`, `model.layers.2.0.kernel=5`; other lists alike: `data.augment.shift1=2`.\n"
    "- *A bare value* goes to the main option of what is there: `schedule.lr=0.02` is `schedule.lr.peak=0.02` and keeps "
    "warm-up and\n"
    "  decay, `model.layers.linear1=100` is `model.layers.linear1.units=100`.\n"
    "- *A map* is merged into the one that is there: `train={shards: 4}`, `optimizer={momentum: 0.5}`. A list replaces the "
    "whole\n"
    "  list.\n"
    "- *Another kind* replaces the one that is there with all its options, which a warning tells: `schedule.lr.decay=linear`. "
    "The\n"
    "  same kind changes nothing: `optimizer=sgd`. A path that could mean an option of what is there or another kind means the "
    "option:\n"
    "  `data.eval.images=FILE` is idx's, `data.eval={images: FOLDER}` the format.\n"
    "- *`null`* takes out what may be absent, and a layer: `data.eval=null`, `model.layers.dropout1=null`. Of what has a "
    "default,\n"
    "  the default comes back. Within a map too: `data.eval={idx: {images: FILE, labels: null}}`.\n";

typedef struct page {
  FILE *out;
  const dt_kind *const *seen[64]; /* kind tables already described */
  int seen_count;
} page;

static const char *default_text(const dt_option *option) {
  if (option->default_text == NULL) return option->type == DT_OPT_MAP ? "" : "required";
  return option->default_text[0] != '\0' ? option->default_text : "none";
}

static void print_row(page *p, const char *path, const dt_option *option) {
  char expected[TEXT_BYTES];
  if (option->short_for != NULL && option->unit != NULL)
    snprintf(expected, sizeof expected, "a decimal number");
  else
    dt_value_expected(option, expected, sizeof expected);
  fprintf(p->out, "| `%s` | %s%s%s%s | %s | %s%s%s |\n", path, expected, option->unit != NULL ? " (" : "",
          option->unit != NULL ? option->unit : "", option->unit != NULL ? ")" : "", default_text(option), option->doc,
          option->scheduled ? " *Scheduled.*" : "", option->keeps_results ? " *Does not affect results.*" : "");
}

static void print_header(page *p) {
  fputs("\n| option | what | default | meaning |\n|---|---|---|---|\n", p->out);
}

static void print_rows(page *p, const char *prefix, const dt_option *table) {
  for (const dt_option *option = table; option->name != NULL; option++) {
    char path[TEXT_BYTES];
    int bytes = snprintf(path, sizeof path, "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", option->name);
    DT_ASSERT(bytes < TEXT_BYTES);
    print_row(p, path, option);
    if (option->fields != NULL) print_rows(p, path, option->fields);
  }
}

static void print_kind(page *p, const dt_kind *kind) {
  fprintf(p->out, "\n### %s\n\n%s\n", kind->name, kind->doc);
  if (kind->positional != NULL) fprintf(p->out, "\nA bare value stands for `%s`.\n", kind->positional);
  if (kind->options == NULL) return;
  print_header(p);
  print_rows(p, "", kind->options);
}

static bool is_first(page *p, const dt_kind *const *kinds) {
  for (int i = 0; i < p->seen_count; i++)
    if (p->seen[i] == kinds) return false;
  DT_ASSERT(p->seen_count < (int)(sizeof p->seen / sizeof p->seen[0]));
  p->seen[p->seen_count++] = kinds;
  return true;
}

/* A chapter for each table of kinds, the first time that an option of that type comes by. */
static void print_chapter(void *context, const char *path, const dt_option *option, const dt_kind *of_kind) {
  page *p = context;
  if (option == NULL || option->kinds == NULL || !is_first(p, *option->kinds)) return;
  fprintf(p->out, "\n## %s of `%s`\n", option->type == DT_OPT_NAMED ? "Items" : "Kinds", path);
  if (option->beside != NULL) {
    fputs("\nBeside its kind each takes, between the same braces:\n", p->out);
    print_header(p);
    print_rows(p, "", option->beside);
  }
  for (const dt_kind *const *kind = *option->kinds; *kind != NULL; kind++) print_kind(p, *kind);
}

dt_status dt_config_reference(FILE *out) {
  page p = {.out = out};
  fputs(preamble, out);
  fputs("\n## Options\n", out);
  print_header(&p);
  print_rows(&p, "", dt_spec_options);
  dt_options_visit(dt_spec_options, print_chapter, &p);
  DT_REQUIRE(!ferror(out), DT_IO, "writing the reference failed");
  return DT_OK;
}
