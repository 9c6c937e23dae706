/* A spec back to YAML, every value written out, one to a line. */
#include <stdio.h>

#include "core/config_internal.h"

typedef struct printer {
  const dt_config *config;
  bool origins;
  FILE *out;
} printer;

static void print_fields(const printer *p, const dt_option *table, const void *from, int indent);

static void print_indent(const printer *p, int indent) {
  fprintf(p->out, "%*s", indent, "");
}

static void print_end(const printer *p, dt_origin origin) {
  if (p->origins && origin.line > 0)
    fprintf(p->out, "  # %s:%d:%d", origin.source, origin.line, origin.column);
  else if (p->origins)
    fprintf(p->out, "  # %s", origin.source);
  fputc('\n', p->out);
}

/* "kind" or "kind:" with its options below; the caller has written what stands before. */
static void print_choice(const printer *p, const dt_choice *choice, int indent) {
  bool has_options = choice->kind->options != NULL;
  fprintf(p->out, "%s%s", choice->kind->name, has_options ? ":" : "");
  print_end(p, choice->origin);
  if (has_options) print_fields(p, choice->kind->options, choice->attr, indent + 2);
}

static void print_choices(const printer *p, const dt_choices *list, int indent) {
  for (int i = 0; i < list->count; i++) {
    print_indent(p, indent);
    fputs("- ", p->out);
    print_choice(p, &list->item[i], indent + 2);
  }
}

static void print_lists(const printer *p, const dt_choice_lists *lists, int indent) {
  for (int i = 0; i < lists->count; i++) {
    print_indent(p, indent);
    fputs(lists->list[i].count > 0 ? "-\n" : "- []\n", p->out);
    print_choices(p, &lists->list[i], indent + 2);
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
    default:
      return false;
  }
}

static void print_nested(const printer *p, const dt_option *option, const void *value, int indent) {
  const dt_choices *list = value;
  switch (option->type) {
    case DT_OPT_MAP:
      fputc('\n', p->out);
      print_fields(p, option->fields, value, indent + 2);
      break;
    case DT_OPT_ONE:
      if (((const dt_choice *)value)->kind->options != NULL) {
        fputc('\n', p->out);
        print_indent(p, indent + 2);
      } else {
        fputc(' ', p->out);
      }
      print_choice(p, value, indent + 2);
      break;
    case DT_OPT_LIST:
      fputs(list->count > 0 ? "\n" : " []\n", p->out);
      print_choices(p, list, indent + 2);
      break;
    case DT_OPT_LISTS:
      fputs(((const dt_choice_lists *)value)->count > 0 ? "\n" : " []\n", p->out);
      print_lists(p, value, indent + 2);
      break;
    default:
      fputc(' ', p->out);
      dt_value_print(option, value, p->out);
      print_end(p, dt_config_origin(p->config, value));
  }
}

static void print_fields(const printer *p, const dt_option *table, const void *from, int indent) {
  for (const dt_option *option = table; option->name != NULL; option++) {
    const void *value = (const char *)from + option->offset;
    if (option->short_for != NULL || is_absent(option, value)) continue;
    print_indent(p, indent);
    fprintf(p->out, "%s:", option->name);
    print_nested(p, option, value, indent);
  }
}

dt_status dt_config_print(const dt_config *config, bool origins, FILE *out) {
  printer p = {.config = config, .origins = origins, .out = out};
  dt_plain_locale locale = dt_plain_locale_enter();
  print_fields(&p, dt_spec_options, &config->spec, 0);
  dt_plain_locale_leave(locale);
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
