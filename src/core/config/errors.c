/* The list of complaints about a config, each with its line and a caret. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/config/internal.h"
#include "core/text.h"

enum { LINE_SHOWN = 100 };

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
    if (dt_text_is_control(*p)) *p = '?';
}

static bool is_continuation(char c) {
  return ((unsigned char)c & 0xC0) == 0x80;
}

/* Shows the line and a caret under the column, counted in characters. Of a long line, the part around the column. */
static void append_line(dt_config_errors *errors, const char *line, size_t bytes, int column) {
  size_t blank = 0;
  while (blank < bytes && (line[blank] == ' ' || line[blank] == '\t')) blank++;
  if (blank == bytes) return; /* nothing to see */
  int first = column > LINE_SHOWN - 20 ? column - LINE_SHOWN / 2 : 1;
  append(errors, "\n  ");
  int at = 0;
  for (size_t i = 0; i < bytes; i++) {
    if (!is_continuation(line[i])) at++;
    if (at >= first + LINE_SHOWN) break;
    if (at >= first) append(errors, "%c", line[i] == '\t' ? ' ' : dt_text_is_control(line[i]) ? '?' : line[i]);
  }
  append(errors, "\n  %*s^", column - first, "");
}

/* "c.yaml:3:7"; "--set", whose whole text follows; the config's name for what has no place of its own. */
static void place_text(const dt_config_errors *errors, dt_origin origin, char *text, size_t bytes) {
  if (origin.line > 0)
    snprintf(text, bytes, "%.220s:%d:%d", origin.source, origin.line, origin.column);
  else if (origin.column > 0)
    snprintf(text, bytes, "%.*s", (int)strcspn(origin.source, " ="), origin.source);
  else
    snprintf(text, bytes, "%.220s", errors->source->name);
  replace_controls(text);
}

void dt_config_complain(dt_config_errors *errors, dt_origin origin, const char *format, ...) {
  if (++errors->count > DT_CONFIG_ERRORS_SHOWN) return;
  if (errors->used > 0) append(errors, "\n");
  char message[1024], place[256];
  va_list args;
  va_start(args, format);
  vsnprintf(message, sizeof message, format, args);
  va_end(args);
  replace_controls(message);
  place_text(errors, origin, place, sizeof place);
  append(errors, "%s: error: %s", place, message);
  const char *line;
  size_t bytes;
  if (origin.line > 0 && dt_config_text_line(errors->source, origin.line, &line, &bytes))
    append_line(errors, line, bytes, origin.column);
  else if (origin.line == 0 && origin.column > 0)
    append_line(errors, origin.source, strlen(origin.source), origin.column);
}

dt_status dt_config_errors_raise(dt_config_errors *errors) {
  if (errors->count == 0) return DT_OK;
  if (errors->count > DT_CONFIG_ERRORS_SHOWN)
    append(errors, "\n%s: %d errors in all, the first %d are shown", errors->source->name, errors->count,
           DT_CONFIG_ERRORS_SHOWN);
  DT_RAISE(DT_USAGE, "%s", errors->text);
}
