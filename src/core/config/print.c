/* A spec back to YAML, every value written out, one to a line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"
#include "core/text.h"
#include "core/wrap.h"

typedef struct printer {
  const dt_config *config;
  bool origins;
  FILE *out;
} printer;

static void print_fields(const printer *p, const dt_option *table, const void *from, int indent);
static void print_nested(const printer *p, const dt_option *option, const void *value, int indent);
static bool is_absent(const dt_option *option, const void *value);

static void print_indent(const printer *p, int indent) {
  fprintf(p->out, "%*s", indent, "");
}

/* A comment has to stay on its line and UTF-8, or the text would not load again: a source is a path, or a whole --set. */
static void print_origin(const printer *p, dt_origin origin) {
  char *source = dt_text_line(origin.source, strlen(origin.source));
  fprintf(p->out, "  # %s", source != NULL ? source : "?");
  if (origin.line > 0) fprintf(p->out, ":%d:%d", origin.line, origin.column);
  free(source);
}

static void print_end(const printer *p, dt_origin origin) {
  if (p->origins) print_origin(p, origin);
  fputc('\n', p->out);
}

/* Whether a value beside a kind is its default, which is not printed: few items have any. */
static bool is_default(const dt_option *option, const void *value) {
  char *text = NULL;
  size_t bytes = 0;
  if (is_absent(option, value)) return true;
  FILE *memory = open_memstream(&text, &bytes);
  if (memory == NULL) return false;
  dt_value_print(option, value, memory);
  fclose(memory);
  bool same = strcmp(text, option->default_text) == 0;
  free(text);
  return same;
}

static bool has_beside(const dt_option *option, const dt_choice *choice) {
  for (const dt_option *row = choice->beside != NULL ? option->beside : NULL; row != NULL && row->name != NULL; row++)
    if (!is_default(row, (const char *)choice->beside + row->offset)) return true;
  return false;
}

static void print_beside(const printer *p, const dt_option *option, const dt_choice *choice, int indent) {
  for (const dt_option *row = option->beside; row->name != NULL; row++) {
    const void *value = (const char *)choice->beside + row->offset;
    if (is_default(row, value)) continue;
    print_indent(p, indent);
    fprintf(p->out, "%s:", row->name);
    print_nested(p, row, value, indent);
  }
}

static bool has_lines(const dt_option *option, const dt_choice *choice) {
  return choice->kind->options != NULL || has_beside(option, choice);
}

/* "kind", or "kind:" with its options below and what is beside it; the caller has written what stands before. */
static void print_choice(const printer *p, const dt_option *option, const dt_choice *choice, int indent) {
  fprintf(p->out, "%s%s", choice->kind->name, has_lines(option, choice) ? ":" : "");
  print_end(p, choice->kind_origin);
  if (choice->kind->options != NULL) print_fields(p, choice->kind->options, choice->attr, indent + 2);
  if (has_beside(option, choice)) print_beside(p, option, choice, indent);
}

static void print_choices(const printer *p, const dt_option *option, const dt_choices *list, int indent) {
  for (int i = 0; i < list->count; i++) {
    print_indent(p, indent);
    fputs("- ", p->out);
    print_choice(p, option, &list->item[i], indent + 2);
  }
}

static void print_lists(const printer *p, const dt_option *option, const dt_choice_lists *lists, int indent) {
  for (int i = 0; i < lists->count; i++) {
    print_indent(p, indent);
    fputs(lists->list[i].count > 0 ? "-\n" : "- []\n", p->out);
    print_choices(p, option, &lists->list[i], indent + 2);
  }
}

static void print_named(const printer *p, const dt_named *named, int indent) {
  for (int i = 0; i < named->count; i++) {
    print_indent(p, indent);
    fprintf(p->out, "%s:", named->name[i]);
    print_end(p, named->item[i].kind_origin);
    print_fields(p, named->item[i].kind->options, named->item[i].attr, indent + 2);
  }
}

/* Whether the option has nothing to print: it was left out and has no default. */
static bool is_absent(const dt_option *option, const void *value) {
  switch (option->type) {
    case DT_OPT_STRING:
      return (*(const char *const *)value)[0] == '\0';
    case DT_OPT_INTS:
      return ((const dt_ints *)value)->count == 0;
    case DT_OPT_REALS:
      return ((const dt_reals *)value)->count == 0;
    case DT_OPT_STRINGS:
      return ((const dt_strings *)value)->count == 0;
    case DT_OPT_MAP:
      return option->has_given && !*(const bool *)value;
    case DT_OPT_ONE:
      return ((const dt_choice *)value)->kind == NULL;
    case DT_OPT_LIST:
      return ((const dt_choices *)value)->count == 0 && option->default_text != NULL && option->default_text[0] == '\0';
    case DT_OPT_NAMED:
      return ((const dt_named *)value)->count == 0;
    default:
      return false;
  }
}

/* Of a line with the value and its origin. */
static size_t line_columns(const printer *p, const dt_option *option, const void *value, int indent) {
  char *text = NULL;
  size_t bytes = 0;
  FILE *memory = open_memstream(&text, &bytes);
  if (memory == NULL) return 0;
  const printer measured = {.config = p->config, .origins = p->origins, .out = memory};
  dt_value_print(option, value, memory);
  print_end(&measured, dt_config_origin(p->config, value));
  fclose(memory);
  const size_t columns = (size_t)indent + strlen(option->name) + 2 + (size_t)dt_text_columns(text, bytes - 1);
  free(text);
  return columns;
}

/* A list of names that is longer than a terminal's line has a line for each. */
static void print_value(const printer *p, const dt_option *option, const void *value, int indent) {
  const dt_strings *strings = value;
  if (option->type != DT_OPT_STRINGS || strings->count < 2 || line_columns(p, option, value, indent) <= DT_LINE_COLUMNS) {
    fputc(' ', p->out);
    dt_value_print(option, value, p->out);
    return;
  }
  for (int i = 0; i < strings->count; i++) {
    fprintf(p->out, "%s\n%*s", i == 0 ? " [" : ",", indent + 4, "");
    dt_string_print(strings->value[i], p->out);
  }
  fputc(']', p->out);
}

static void print_nested(const printer *p, const dt_option *option, const void *value, int indent) {
  const dt_choices *list = value;
  switch (option->type) {
    case DT_OPT_MAP:
      fputc('\n', p->out);
      print_fields(p, option->fields, value, indent + 2);
      break;
    case DT_OPT_ONE:
      if (has_lines(option, value)) {
        fputc('\n', p->out);
        print_indent(p, indent + 2);
      } else {
        fputc(' ', p->out);
      }
      print_choice(p, option, value, indent + 2);
      break;
    case DT_OPT_LIST:
      fputs(list->count > 0 ? "\n" : " []\n", p->out);
      print_choices(p, option, list, indent + 2);
      break;
    case DT_OPT_LISTS:
      fputs(((const dt_choice_lists *)value)->count > 0 ? "\n" : " []\n", p->out);
      print_lists(p, option, value, indent + 2);
      break;
    case DT_OPT_NAMED:
      fputc('\n', p->out);
      print_named(p, value, indent + 2);
      break;
    default:
      print_value(p, option, value, indent);
      print_end(p, dt_config_origin(p->config, value));
  }
}

static void print_others(const printer *p, const dt_option *option, const dt_others *named, int indent) {
  for (int i = 0; i < named->count; i++) {
    print_indent(p, indent);
    dt_string_print(named->item[i].name, p->out);
    fputs(":\n", p->out);
    print_fields(p, option->fields, named->item[i].value, indent + 2);
  }
}

static void print_fields(const printer *p, const dt_option *table, const void *from, int indent) {
  for (const dt_option *option = table; option->name != NULL; option++) {
    const void *value = (const char *)from + option->offset;
    if (option->short_for != NULL || is_absent(option, value)) continue;
    if (option->type == DT_OPT_OTHERS) {
      print_others(p, option, value, indent);
      continue;
    }
    print_indent(p, indent);
    fprintf(p->out, "%s:", option->name);
    print_nested(p, option, value, indent);
  }
}

dt_status dt_config_print(const dt_config *config, bool origins, FILE *out) {
  printer p = {.config = config, .origins = origins, .out = out};
  print_fields(&p, dt_spec_options, &config->spec, 0);
  DT_REQUIRE(!ferror(out), DT_IO, "writing the config failed");
  return DT_OK;
}

dt_status dt_config_print_text(const dt_config *config, char **out_text) {
  size_t bytes = 0;
  *out_text = NULL;
  FILE *memory = open_memstream(out_text, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory to print the config");
  dt_status status = dt_config_print(config, false, memory);
  if (fclose(memory) != 0 && status == DT_OK) {
    status = dt_error_set(DT_MEMORY, __FILE__, __LINE__, "no memory to print the config");
  }
  return status;
}
