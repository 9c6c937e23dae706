/* The list of complaints about a config, each with its line and a caret. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "core/config_internal.h"

enum { LINE_SHOWN = 100, DISTANCE_NAME_MAX = 40 };

static void append(dt_config_errors *errors, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void append(dt_config_errors *errors, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int wanted = vsnprintf(errors->text + errors->used, sizeof errors->text - errors->used, format, args);
  va_end(args);
  errors->used += (size_t)(wanted > 0 ? wanted : 0);
  if (errors->used >= sizeof errors->text) errors->used = sizeof errors->text - 1;
}

/* What a message quotes may hold line ends or escape sequences; a terminal must not see them. */
static void replace_controls(char *text) {
  for (char *p = text; *p != '\0'; p++)
    if ((unsigned char)*p < 0x20 || *p == 0x7F) *p = '?';
}

static bool is_continuation(char c) {
  return ((unsigned char)c & 0xC0) == 0x80;
}

/* Shows the line and a caret under the column, counted in characters. Of a long line, the part around the column. */
static void append_line(dt_config_errors *errors, const char *line, size_t bytes, int column) {
  int first = column > LINE_SHOWN - 20 ? column - LINE_SHOWN / 2 : 1;
  append(errors, "\n  ");
  int at = 0;
  for (size_t i = 0; i < bytes; i++) {
    if (!is_continuation(line[i])) at++;
    if (at >= first + LINE_SHOWN) break;
    if (at >= first) append(errors, "%c", line[i] == '\t' ? ' ' : line[i]);
  }
  append(errors, "\n  %*s^", column - first, "");
}

void dt_config_complain(dt_config_errors *errors, dt_origin origin, const char *format, ...) {
  if (++errors->count > DT_CONFIG_ERRORS_SHOWN) return;
  if (errors->used > 0) append(errors, "\n");
  char message[1024], place[256];
  if (origin.line > 0)
    snprintf(place, sizeof place, "%.220s:%d:%d", origin.source, origin.line, origin.column);
  else
    snprintf(place, sizeof place, "%.220s", origin.source);
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  replace_controls(place);
  replace_controls(message);
  append(errors, "%s: error: %s", place, message);
  const char *line;
  size_t bytes;
  if (origin.line > 0 && dt_config_text_line(errors->source, origin.line, &line, &bytes))
    append_line(errors, line, bytes, origin.column);
}

dt_status dt_config_errors_raise(dt_config_errors *errors) {
  if (errors->count == 0) return DT_OK;
  if (errors->count > DT_CONFIG_ERRORS_SHOWN)
    append(errors, "\n%s: %d errors in all, the first %d are shown", errors->source->name, errors->count,
           DT_CONFIG_ERRORS_SHOWN);
  DT_RAISE(DT_USAGE, "%s", errors->text);
}

static int smallest(int a, int b, int c) {
  int least = a < b ? a : b;
  return least < c ? least : c;
}

static char lower(char c) {
  return (char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Levenshtein distance (insertions, deletions, substitutions), upper and lower case alike. */
static int edit_distance(const char *a, const char *b) {
  int row[DISTANCE_NAME_MAX + 1];
  int bytes_a = (int)strlen(a), bytes_b = (int)strlen(b);
  for (int j = 0; j <= bytes_b; j++) row[j] = j;
  for (int i = 1; i <= bytes_a; i++) {
    int diagonal = row[0];
    row[0] = i;
    for (int j = 1; j <= bytes_b; j++) {
      int above = row[j];
      row[j] = smallest(above + 1, row[j - 1] + 1, diagonal + (lower(a[i - 1]) != lower(b[j - 1])));
      diagonal = above;
    }
  }
  return row[bytes_b];
}

const char *dt_name_nearest(const char *found, dt_name_source *next, const void *context) {
  size_t bytes = strlen(found);
  if (bytes == 0 || bytes > DISTANCE_NAME_MAX) return NULL;
  int best = 1 + (int)bytes / 3;
  const char *nearest = NULL, *name;
  for (int i = 0; (name = next(context, i)) != NULL; i++) {
    if (strlen(name) > DISTANCE_NAME_MAX) continue;
    int distance = edit_distance(found, name);
    if (distance > best || (distance == best && nearest != NULL)) continue;
    best = distance;
    nearest = name;
  }
  return nearest;
}

static const char *option_name(const void *context, int index) {
  return ((const dt_option *)context)[index].name;
}

const char *dt_name_nearest_option(const char *found, const dt_option *table) {
  return dt_name_nearest(found, option_name, table);
}

static const char *kind_name(const void *context, int index) {
  const dt_kind *kind = ((const dt_kind *const *)context)[index];
  return kind != NULL ? kind->name : NULL;
}

const char *dt_name_nearest_kind(const char *found, const dt_kind *const *kinds) {
  return dt_name_nearest(found, kind_name, kinds);
}

static const char *text_name(const void *context, int index) {
  return ((const char *const *)context)[index];
}

const char *dt_name_nearest_text(const char *found, const char *const *names) {
  return dt_name_nearest(found, text_name, names);
}
