#include "core/wrap.h"

#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"

/* Bytes to the next space outside brackets, or to the end of the line. A bracket that the line does not close holds nothing. */
static size_t word_bytes(const char *text, size_t bytes, int most) {
  int depth = 0;
  size_t first = bytes;
  for (size_t i = 0; i < bytes; i++) {
    if (text[i] == '[' || text[i] == '{') depth++;
    if ((text[i] == ']' || text[i] == '}') && depth > 0) depth--;
    if (text[i] != ' ') continue;
    if (first == bytes) first = i;
    if (depth == 0) return dt_text_columns(text, i) <= most ? i : first;
  }
  return depth == 0 && dt_text_columns(text, bytes) <= most ? bytes : first;
}

static void print_line(const char *line, size_t bytes, int indent, int columns, FILE *out) {
  while (bytes > 0 && line[bytes - 1] == ' ') bytes--;
  int column = 0;
  for (size_t at = 0; at < bytes;) {
    size_t spaces = strspn(line + at, " ");
    size_t word = word_bytes(line + at + spaces, bytes - at - spaces, columns - indent);
    int width = dt_text_columns(line + at + spaces, word);
    if (column > indent && column + (int)spaces + width > columns) {
      fprintf(out, "\n%*s", indent, "");
      column = indent;
      spaces = 0;
      at += strspn(line + at, " ");
    }
    fwrite(line + at, 1, spaces + word, out);
    column += (int)spaces + width;
    at += spaces + word;
  }
}

void dt_wrap_print(const char *text, int indent, int columns, FILE *out) {
  if (columns == 0) columns = INT_MAX;
  while (*text != '\0') {
    size_t bytes = strcspn(text, "\n");
    print_line(text, bytes, indent, columns, out);
    if (text[bytes] == '\n') fputc('\n', out);
    text += bytes + (text[bytes] == '\n');
  }
}

void dt_wrap_printf(int indent, FILE *out, const char *format, ...) {
  char *text;
  va_list args;
  va_start(args, format);
  int bytes = vasprintf(&text, format, args);
  va_end(args);
  if (bytes < 0) return;
  dt_wrap_print(text, indent, DT_LINE_COLUMNS, out);
  free(text);
}
