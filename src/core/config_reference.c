/* The reference page: the option tables as Markdown. */
#include <stdio.h>
#include <string.h>

#include "core/config_internal.h"

enum { TEXT_BYTES = 512 };

static const char preamble[] =
    "# Config reference\n"
    "\n"
    "Written by `dtrain describe --reference` from the table that also parses, checks and prints configs.\n"
    "\n"
    "A config is one YAML document in UTF-8, at most 1 MiB, without anchors, aliases and tags. A leading byte order mark is "
    "skipped,\n"
    "lines may end in CRLF. Every key is known or refused; keys are case-sensitive and appear once. Numbers are decimal, with "
    "a\n"
    "point whatever the locale. Any value can be overridden on the command line: `--set train.length='2 epochs'`, list items "
    "by\n"
    "index: `--set model.layers.0.conv.filters=8`.\n"
    "\n"
    "- *One of several kinds* is written `{kind: {option: value}}`, `kind: value` where the kind names an option that a bare "
    "value\n"
    "  stands for, or just `kind`.\n"
    "- *A duration* is a number and a unit: `10 epochs`, `1000 steps`, `60000 samples` (a step counts as a full batch), and, "
    "where\n"
    "  it changes nothing in the result, `30 s`, `5 min`, `2 h`.\n"
    "- *Free* options never change a bit of what is trained: a resumed run may change them.\n";

typedef struct page {
  FILE *out;
  const dt_kind *const *seen[64]; /* kind tables already described */
  int seen_count;
} page;

static const char *default_text(const dt_option *option) {
  if (option->fallback == NULL) return option->type == DT_OPT_MAP ? "" : "required";
  return option->fallback[0] != '\0' ? option->fallback : "none";
}

static void print_row(page *p, const char *path, const dt_option *option) {
  char expected[TEXT_BYTES];
  if (option->short_for != NULL)
    snprintf(expected, sizeof expected, "a decimal number");
  else
    dt_value_expected(option, expected, sizeof expected);
  fprintf(p->out, "| `%s` | %s%s%s%s | %s | %s%s |\n", path, expected, option->unit != NULL ? " (" : "",
          option->unit != NULL ? option->unit : "", option->unit != NULL ? ")" : "", default_text(option), option->doc,
          option->neutral ? " *Free.*" : "");
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
    if (option->type == DT_OPT_MAP) print_rows(p, path, option->fields);
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
  fprintf(p->out, "\n## Kinds of `%s`\n", path);
  for (const dt_kind *const *kind = *option->kinds; *kind != NULL; kind++) print_kind(p, *kind);
}

dt_status dt_config_reference(FILE *out) {
  page p = {.out = out};
  dt_plain_locale locale = dt_plain_locale_enter();
  fputs(preamble, out);
  fputs("\n## Options\n", out);
  print_header(&p);
  print_rows(&p, "", dt_spec_options);
  dt_options_visit(dt_spec_options, print_chapter, &p);
  dt_plain_locale_leave(locale);
  DT_REQUIRE(!ferror(out), DT_IO, "writing the reference failed");
  return DT_OK;
}
