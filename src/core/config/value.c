/* Single values: text to number and back, what an option accepts in words. */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/config/internal.h"

enum { STRING_BYTES_MAX = PATH_MAX - 1 };

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static const char *skip_digits(const char *p) {
  while (is_digit(*p)) p++;
  return p;
}

/* End of a decimal number (YAML 1.2's core schema, without its words for infinity and not-a-number); NULL when there is none.
 */
static const char *skip_real(const char *p) {
  if (*p == '+' || *p == '-') p++;
  const char *digits = p;
  p = skip_digits(p);
  bool any = p > digits;
  if (*p == '.') {
    const char *fraction = ++p;
    p = skip_digits(p);
    any = any || p > fraction;
  }
  if (!any) return NULL;
  if (*p != 'e' && *p != 'E') return p;
  p++;
  if (*p == '+' || *p == '-') p++;
  return is_digit(*p) ? skip_digits(p) : NULL;
}

bool dt_value_within(const dt_option *option, double value) {
  if (option->min == 0 && option->max == 0) return true;
  if (value < option->min || (option->open_min && value == option->min)) return false;
  if (option->max < option->min) return true;
  return value < option->max || (!option->open_max && value == option->max);
}

/* A decimal number that a double can hold, followed by `rest`. */
static bool read_real(const char *text, double *out, const char **rest) {
  const char *end = skip_real(text);
  if (end == NULL) return false;
  errno = 0;
  *out = strtod(text, NULL);
  if (errno == ERANGE || !isfinite(*out)) return false;
  *out += 0.0; /* -0 becomes 0 */
  *rest = end;
  return true;
}

static bool read_int(const char *text, int64_t *out) {
  const char *digits = text + (*text == '+' || *text == '-');
  const char *end = skip_digits(digits);
  if (end == digits || *end != '\0' || (*digits == '0' && end > digits + 1)) return false;
  errno = 0;
  *out = strtoll(text, NULL, 10);
  return errno == 0;
}

static bool read_uint64(const char *text, uint64_t *out) {
  const char *end = skip_digits(text);
  if (end == text || *end != '\0' || (*text == '0' && end > text + 1)) return false;
  errno = 0;
  *out = strtoull(text, NULL, 10);
  return errno == 0;
}

static int find_name(const char *const *names, const char *text) {
  for (int i = 0; names != NULL && names[i] != NULL; i++)
    if (strcmp(names[i], text) == 0) return i;
  return -1;
}

/* Words of a duration, the unit they mean, how many of it, and the most that makes sense. */
static const struct {
  const char *word;
  dt_unit unit;
  double factor, most;
} duration_words[] = {
    {"sample", DT_SAMPLES, 1, 0x1p53}, {"samples", DT_SAMPLES, 1, 0x1p53}, {"step", DT_STEPS, 1, 1e12},
    {"steps", DT_STEPS, 1, 1e12},      {"epoch", DT_EPOCHS, 1, 1e6},       {"epochs", DT_EPOCHS, 1, 1e6},
    {"s", DT_SECONDS, 1, 1e9},         {"min", DT_SECONDS, 60, 1e9},       {"h", DT_SECONDS, 3600, 1e9},
};

static bool unit_allowed(const dt_option *option, dt_unit unit) {
  return option->choices == NULL || find_name(option->choices, dt_unit_names[unit]) >= 0;
}

static bool read_duration(const dt_option *option, const char *text, dt_duration *out) {
  if (strcmp(text, dt_unit_names[DT_NEVER]) == 0) {
    *out = (dt_duration){0, DT_NEVER};
    return unit_allowed(option, DT_NEVER);
  }
  double amount;
  const char *word;
  if (!read_real(text, &amount, &word) || amount < 0 || !dt_value_within(option, amount)) return false;
  if (*word == '\0' && amount == 0) word = duration_words[0].word; /* nothing is the same in any unit */
  if (*word == ' ') word++;
  for (size_t i = 0; i < sizeof duration_words / sizeof duration_words[0]; i++) {
    if (strcmp(duration_words[i].word, word) != 0) continue;
    *out = (dt_duration){amount * duration_words[i].factor, duration_words[i].unit};
    return unit_allowed(option, out->unit) && out->amount <= duration_words[i].most;
  }
  return false;
}

static bool read_bool(const char *text, bool *out) {
  *out = strcmp(text, "true") == 0;
  return *out || strcmp(text, "false") == 0;
}

/* What a shell would have put in for the beginning of a path, and dtrain does not; NULL when there is nothing of the kind. */
static const char *unexpanded(const dt_option *option, const char *text) {
  if (text[0] == '~' && option->path == DT_PATH_VARIABLE)
    return "a path; ~ is not expanded: write $HOME (or ./~ for a folder of that name)";
  if (text[0] == '~' && option->path == DT_PATH_PLAIN)
    return "a path; ~ is not expanded: write the folder out (or ./~ for one of that name)";
  if (text[0] == '$' && option->path == DT_PATH_PLAIN)
    return "a path; variables are expanded in data.dir alone (write ./$ for a file of that name)";
  return NULL;
}

static bool read_string(const dt_option *option, const char *text, const char **out) {
  size_t most = option->max > 0 ? (size_t)option->max : STRING_BYTES_MAX;
  if (text[0] == '\0' || strlen(text) > most || unexpanded(option, text) != NULL) return false;
  for (const unsigned char *p = (const unsigned char *)text; *p != '\0'; p++)
    if (*p < 0x20 || *p == 0x7F) return false;
  *out = text;
  return true;
}

/* The word that stands for 0, if the option has one. */
static const char *zero_word(const dt_option *option) {
  return option->choices != NULL ? option->choices[0] : NULL;
}

static bool is_zero_word(const dt_option *option, const char *text) {
  return zero_word(option) != NULL && strcmp(text, zero_word(option)) == 0;
}

static bool read_bounded_int(const dt_option *option, const char *text, int64_t *out) {
  *out = 0;
  return is_zero_word(option, text) || (read_int(text, out) && dt_value_within(option, (double)*out));
}

static bool read_bounded_real(const dt_option *option, const char *text, double *out) {
  const char *rest;
  *out = 0;
  return is_zero_word(option, text) || (read_real(text, out, &rest) && *rest == '\0' && dt_value_within(option, *out));
}

bool dt_value_read(const dt_option *option, const dt_yaml *node, void *into) {
  if (node->type != DT_NODE_SCALAR || dt_yaml_is_nothing(node)) return false;
  switch (option->type) {
    case DT_OPT_BOOL:
      return node->plain && read_bool(node->text, into);
    case DT_OPT_INT:
      return node->plain && read_bounded_int(option, node->text, into);
    case DT_OPT_UINT64:
      return node->plain && read_uint64(node->text, into);
    case DT_OPT_REAL:
      return node->plain && read_bounded_real(option, node->text, into);
    case DT_OPT_STRING:
      return read_string(option, node->text, into);
    case DT_OPT_DURATION:
      return read_duration(option, node->text, into);
    case DT_OPT_ENUM:
      *(int *)into = find_name(option->choices, node->text);
      return *(int *)into >= 0;
    default:
      return false;
  }
}

static void append_names(char *text, size_t bytes, const char *const *names) {
  for (int i = 0; names[i] != NULL; i++) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : names[i + 1] == NULL ? " or " : ", ", names[i]);
  }
}

static void append_bounds(char *text, size_t bytes, const dt_option *option) {
  if ((option->min == 0 && option->max == 0) || (isinf(option->min) && isinf(option->max))) return;
  size_t used = strlen(text);
  char low[32], high[32];
  dt_real_text(option->min, low);
  dt_real_text(option->max, high);
  const char *above = option->open_min ? " above " : " of at least ";
  if (option->max < option->min || isinf(option->max))
    snprintf(text + used, bytes - used, "%s%s", above, low);
  else if (isinf(option->min))
    snprintf(text + used, bytes - used, "%s%s", option->open_max ? " below " : " of at most ", high);
  else if (option->open_min)
    snprintf(text + used, bytes - used, " above %s and %s %s", low, option->open_max ? "below" : "at most", high);
  else
    snprintf(text + used, bytes - used, option->open_max ? " from %s to below %s" : " from %s to %s", low, high);
}

static void append_duration(char *text, size_t bytes, const dt_option *option) {
  size_t used = strlen(text);
  snprintf(text + used, bytes - used, "%s in samples, steps or epochs%s%s", option->open_min ? " above 0" : "",
           unit_allowed(option, DT_SECONDS) ? ", or in s, min or h" : "",
           unit_allowed(option, DT_NEVER) ? ", or never" : ", such as \"10 epochs\"");
}

static const char *type_words(dt_option_type type) {
  switch (type) {
    case DT_OPT_BOOL:
      return "true or false";
    case DT_OPT_INT:
      return "an integer";
    case DT_OPT_UINT64:
      return "an integer from 0 to 18446744073709551615";
    case DT_OPT_REAL:
      return "a decimal number";
    case DT_OPT_STRING:
      return "text";
    case DT_OPT_ENUM:
      return "";
    case DT_OPT_DURATION:
      return "a duration";
    case DT_OPT_INTS:
      return "integers (one or a list), each";
    case DT_OPT_REALS:
      return "decimal numbers (one or a list), each";
    case DT_OPT_STRINGS:
      return "text (one or a list)";
    case DT_OPT_MAP:
    case DT_OPT_OTHERS:
      return "a map";
    case DT_OPT_ONE:
      return "one of ";
    case DT_OPT_LIST:
      return "a list, each item one of ";
    case DT_OPT_LISTS:
      return "a list of lists, each item one of ";
    case DT_OPT_NAMED:
      return "a map of names, each with the options of ";
  }
  return "";
}

static void append_kinds(char *text, size_t bytes, const dt_kind *const *kinds) {
  for (int i = 0; kinds[i] != NULL; i++) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : kinds[i + 1] == NULL ? " or " : ", ", kinds[i]->name);
  }
}

const char *dt_value_expected(const dt_option *option, char *text, size_t bytes) {
  snprintf(text, bytes, "%s", type_words(option->type));
  size_t used;
  switch (option->type) {
    case DT_OPT_ENUM:
      append_names(text, bytes, option->choices);
      break;
    case DT_OPT_DURATION:
      append_duration(text, bytes, option);
      break;
    case DT_OPT_STRING:
      used = strlen(text);
      snprintf(text + used, bytes - used, " of 1 to %d bytes without control characters",
               option->max > 0 ? (int)option->max : STRING_BYTES_MAX);
      break;
    case DT_OPT_INT:
    case DT_OPT_REAL:
    case DT_OPT_INTS:
    case DT_OPT_REALS:
      append_bounds(text, bytes, option);
      used = strlen(text);
      if (zero_word(option) != NULL) snprintf(text + used, bytes - used, ", or %s", zero_word(option));
      break;
    case DT_OPT_ONE:
    case DT_OPT_LIST:
    case DT_OPT_LISTS:
    case DT_OPT_NAMED:
      append_kinds(text, bytes, *option->kinds);
      break;
    default:
      break;
  }
  return text;
}

/* A duration that is one but for its length: the unit in which it was written, and the most that makes sense of it. */
static const char *exceeded_unit(const dt_option *option, const char *text, double *out_most) {
  double amount;
  const char *word;
  if (!read_real(text, &amount, &word)) return NULL;
  if (*word == ' ') word++;
  for (size_t i = 0; i < sizeof duration_words / sizeof duration_words[0]; i++) {
    if (strcmp(duration_words[i].word, word) != 0 || !unit_allowed(option, duration_words[i].unit)) continue;
    *out_most = duration_words[i].most / duration_words[i].factor;
    return amount > *out_most ? duration_words[i].word : NULL;
  }
  return NULL;
}

const char *dt_value_expected_for(const dt_option *option, const dt_yaml *node, char *text, size_t bytes) {
  char number[32];
  double most = 0;
  const char *unit =
      option->type == DT_OPT_DURATION && node->type == DT_NODE_SCALAR ? exceeded_unit(option, node->text, &most) : NULL;
  const char *path = option->path != DT_PATH_NONE && node->type == DT_NODE_SCALAR ? unexpanded(option, node->text) : NULL;
  if (unit != NULL)
    snprintf(text, bytes, "at most %s %s", dt_real_text(most, number), unit);
  else if (path != NULL)
    snprintf(text, bytes, "%s", path);
  else
    dt_value_expected(option, text, bytes);
  return text;
}

const char *dt_real_text(double value, char *text) {
  if (value == floor(value) && fabs(value) < 1e15) {
    snprintf(text, 32, "%.0f", value);
    return text;
  }
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, 32, "%.*g", digits, value);
    if (strtod(text, NULL) == value) break;
  }
  return text;
}

/* Whether a reader of the config takes these characters as one plain word of text. */
static bool is_plain_text(const char *text) {
  static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./$+";
  return text[0] != '\0' && strspn(text, safe) == strlen(text) && strchr("-.$+", text[0]) == NULL;
}

void dt_string_print(const char *text, FILE *out) {
  if (is_plain_text(text)) {
    fputs(text, out);
    return;
  }
  fputc('"', out);
  for (const char *p = text; *p != '\0'; p++) {
    if (*p == '"' || *p == '\\') fputc('\\', out);
    fputc(*p, out);
  }
  fputc('"', out);
}

static void print_real(const dt_option *option, double value, FILE *out) {
  char text[32];
  fputs(value == 0 && zero_word(option) != NULL ? zero_word(option) : dt_real_text(value, text), out);
}

static void print_int(const dt_option *option, int64_t value, FILE *out) {
  if (value == 0 && zero_word(option) != NULL)
    fputs(zero_word(option), out);
  else
    fprintf(out, "%lld", (long long)value);
}

const char *dt_duration_text(dt_duration duration, char *text) {
  char amount[32];
  const char *unit = dt_unit_names[duration.unit];
  int letters = (int)strlen(unit);
  if (duration.unit == DT_NEVER) return strcpy(text, unit);
  if (duration.amount == 1 && duration.unit != DT_SECONDS) letters--; /* 1 epoch */
  snprintf(text, DT_DURATION_TEXT, "%s %.*s", dt_real_text(duration.amount, amount), letters, unit);
  return text;
}

static void print_duration(const dt_duration *duration, FILE *out) {
  char text[32];
  if (duration->unit == DT_NEVER)
    fputs(dt_unit_names[DT_NEVER], out);
  else
    fprintf(out, "%s %s", dt_real_text(duration->amount, text), dt_unit_names[duration->unit]);
}

void dt_value_print(const dt_option *option, const void *value, FILE *out) {
  const dt_ints *ints = value;
  const dt_reals *reals = value;
  const dt_strings *strings = value;
  switch (option->type) {
    case DT_OPT_BOOL:
      fputs(*(const bool *)value ? "true" : "false", out);
      break;
    case DT_OPT_INT:
      print_int(option, *(const int64_t *)value, out);
      break;
    case DT_OPT_UINT64:
      fprintf(out, "%llu", (unsigned long long)*(const uint64_t *)value);
      break;
    case DT_OPT_REAL:
      print_real(option, *(const double *)value, out);
      break;
    case DT_OPT_STRING:
      dt_string_print(*(const char *const *)value, out);
      break;
    case DT_OPT_ENUM:
      fputs(option->choices[*(const int *)value], out);
      break;
    case DT_OPT_DURATION:
      print_duration(value, out);
      break;
    case DT_OPT_INTS:
      for (int i = 0; i < ints->count; i++) fprintf(out, "%s%lld", i == 0 ? "[" : ", ", (long long)ints->value[i]);
      fputs(ints->count > 0 ? "]" : "[]", out);
      break;
    case DT_OPT_REALS:
      for (int i = 0; i < reals->count; i++) {
        fputs(i == 0 ? "[" : ", ", out);
        print_real(option, reals->value[i], out);
      }
      fputs(reals->count > 0 ? "]" : "[]", out);
      break;
    case DT_OPT_STRINGS:
      for (int i = 0; i < strings->count; i++) {
        fputs(i == 0 ? "[" : ", ", out);
        dt_string_print(strings->value[i], out);
      }
      fputs(strings->count > 0 ? "]" : "[]", out);
      break;
    default:
      break;
  }
}
