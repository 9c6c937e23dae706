#include "data/csv_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "data/decimal.h"

enum { HINT_WORDS = 12, HINT_ROWS = 100000 };

bool dt_csv_is(const dt_cell *cell, const char *text) {
  if (cell->bytes > 0 && cell->text[0] != text[0]) return false; /* most are told apart here, without a call */
  return strncmp(cell->text, text, cell->bytes) == 0 && text[cell->bytes] == '\0';
}

int64_t dt_csv_find(const dt_strings *words, const dt_cell *cell) {
  for (int w = 0; w < words->count; w++) {
    if (dt_csv_is(cell, words->value[w])) return w;
  }
  return -1;
}

bool dt_csv_any_number(const dt_strings *words) {
  double number;
  for (int w = 0; w < words->count; w++) {
    if (dt_decimal_read(words->value[w], strlen(words->value[w]), '.', &number)) return true;
  }
  return false;
}

char *dt_csv_text(const dt_cell *cell) {
  return dt_text_line(cell->text, cell->bytes);
}

const char *dt_csv_quote(const dt_cell *cell, char *text, size_t bytes) {
  const size_t shown = cell->bytes < bytes / 4 ? cell->bytes : bytes / 4; /* \xNN takes four */
  char *line = dt_text_line(cell->text, cell->bytes < bytes ? cell->bytes : shown);
  snprintf(text, bytes + 4, "\"%.*s%s\"", (int)bytes - 3, line != NULL ? line : "", cell->bytes < bytes ? "" : "...");
  free(line);
  return text;
}

bool dt_csv_is_missing(const csv_attr *attr, const dt_cell *cell) {
  static const char *usual[] = {DT_CSV_MARKS};
  static const dt_strings usual_marks = {usual, sizeof usual / sizeof usual[0]};
  if (cell->bytes == 0) return true;
  if (attr->missing_marks.count > 0) return dt_csv_find(&attr->missing_marks, cell) >= 0;
  const char first = cell->text[0]; /* most cells are told apart by it */
  return (first == '?' || first == 'N' || first == 'n') && dt_csv_find(&usual_marks, cell) >= 0;
}

/* --- what a column holds --- */

typedef struct found_words {
  char *word[HINT_WORDS];
  int count;
  bool too_many;
} found_words;

static void take_word(found_words *found, const dt_cell *cell) {
  for (int w = 0; w < found->count; w++) {
    if (dt_csv_is(cell, found->word[w])) return;
  }
  found->too_many = found->count == HINT_WORDS;
  if (!found->too_many && (found->word[found->count] = dt_csv_text(cell)) != NULL) found->count++;
}

/* Of the rows that the table begins with; errors end the search. */
static void collect(const char *path, const csv_attr *attr, const char *name, int64_t index, found_words *found) {
  dt_table *table;
  const dt_cell *cell;
  int64_t count;
  if (dt_table_open(path, dt_csv_separators[attr->separator], dt_csv_points[attr->decimal], &table) != DT_OK) return;
  for (int row = 0; row < HINT_ROWS && !found->too_many; row++) {
    if (dt_table_next(table, &cell, &count) != DT_OK || index >= count) break;
    const bool header = row == 0 && dt_csv_is(&cell[index], name);
    if (!header && !dt_csv_is_missing(attr, &cell[index])) take_word(found, &cell[index]);
  }
  dt_table_close(&table);
}

/* By their numbers, where they are some. */
static int compare_words(const void *a, const void *b) {
  const char *first = *(char *const *)a, *second = *(char *const *)b;
  double x, y;
  if (dt_decimal_read(first, strlen(first), '.', &x) && dt_decimal_read(second, strlen(second), '.', &y) && x != y)
    return x < y ? -1 : 1;
  return strcmp(first, second);
}

static bool needs_quotes(const char *word) {
  return strpbrk(word, ",:#[]{}&*!|>'\"%@`\\ ") != NULL || strcmp(word, "null") == 0 || strcmp(word, "true") == 0;
}

/* As YAML takes it. */
static size_t print_word(const char *word, char *text, size_t bytes) {
  if (!needs_quotes(word)) return (size_t)snprintf(text, bytes, "%s", word);
  size_t used = (size_t)snprintf(text, bytes, "\"");
  for (const char *c = word; *c != '\0' && used + 3 < bytes; c++) {
    if (*c == '"' || *c == '\\') text[used++] = '\\';
    text[used++] = *c;
  }
  return used + (size_t)snprintf(text + used, bytes - used, "\"");
}

void dt_csv_hint(const char *path, const csv_attr *attr, const char *name, int64_t index, bool label, char *text) {
  found_words found = {.count = 0};
  text[0] = '\0';
  collect(path, attr, name, index, &found);
  dt_error_clear();
  qsort(found.word, (size_t)found.count, sizeof found.word[0], compare_words);
  if (!found.too_many && found.count > 0) {
    size_t used = label ? (size_t)snprintf(text, DT_CSV_HINT, "; data.classes names labels that are others: classes: [")
                        : (size_t)snprintf(text, DT_CSV_HINT, "; words are listed: categories: {%.60s: [", name);
    for (int w = 0; w < found.count && used < DT_CSV_HINT; w++) {
      used += (size_t)snprintf(text + used, DT_CSV_HINT - used, "%s", w > 0 ? ", " : "");
      if (used + 4 < DT_CSV_HINT) used += print_word(found.word[w], text + used, DT_CSV_HINT - used);
    }
    if (used < DT_CSV_HINT - 3) snprintf(text + used, DT_CSV_HINT - used, label ? "]" : "]}");
  }
  for (int w = 0; w < found.count; w++) free(found.word[w]);
}
