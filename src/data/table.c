/* The records of a file pass through one buffer: what is left of an unfinished one moves to its front, and it grows only for a
 * record that does not fit. */
#include "data/table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "data/source.h"

enum { FIRST_BYTES = 1 << 20, RECORD_MAX = 1 << 26, FIRST_CELLS = 64 };

struct dt_table {
  const char *path;
  dt_source *source;
  char separator, point;
  bool stops[256]; /* bytes that end a cell without quotes */
  char *buffer;
  size_t capacity, begin, end; /* bytes [begin, end) of the buffer are still to be taken */
  bool at_end;                 /* nothing follows what is in the buffer */
  dt_cell *cell;
  int64_t cell_count, cell_capacity;
  int64_t line, next_line; /* on which the last record began, and the next one begins */
};

/* --- bytes --- */

static dt_status refuse_zeros(const dt_table *table, const char *from, size_t bytes) {
  const char *zero = memchr(from, '\0', bytes);
  if (zero == NULL) return DT_OK;
  int64_t line = table->next_line;
  for (const char *p = table->buffer + table->begin; p < zero; p++) line += *p == '\n';
  DT_RAISE(DT_DATA, "%s:%" PRId64 ": found a byte of value 0, expected text", table->path, line);
}

/* More of the file behind what is there. */
static dt_status fill(dt_table *table) {
  const size_t kept = table->end - table->begin;
  if (kept > 0) memmove(table->buffer, table->buffer + table->begin, kept);
  table->begin = 0;
  table->end = kept;
  if (kept == table->capacity) {
    DT_REQUIRE(table->capacity < RECORD_MAX, DT_DATA,
               "%s:%" PRId64 ": found a record of more than %d bytes, expected its end; a quote may be left open", table->path,
               table->next_line, RECORD_MAX);
    char *larger = realloc(table->buffer, 2 * table->capacity + 1);
    DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %zu bytes", 2 * table->capacity);
    table->buffer = larger;
    table->capacity *= 2;
  }
  size_t got;
  DT_TRY(dt_source_read(table->source, table->buffer + kept, table->capacity - kept, &got));
  DT_TRY(refuse_zeros(table, table->buffer + kept, got));
  table->end += got;
  table->buffer[table->end] = '\n';
  table->at_end = table->end < table->capacity;
  return DT_OK;
}

/* --- a record --- */

static dt_status add_cell(dt_table *table, dt_cell cell) {
  if (table->cell_count == table->cell_capacity) {
    const int64_t capacity = 2 * table->cell_capacity;
    dt_cell *larger = realloc(table->cell, (size_t)capacity * sizeof *larger);
    DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %" PRId64 " cells", capacity);
    table->cell = larger;
    table->cell_capacity = capacity;
  }
  table->cell[table->cell_count++] = cell;
  return DT_OK;
}

static bool ends_line(char c) {
  return c == '\n' || c == '\r';
}

static bool is_blank(const dt_table *table, char c) {
  return (c == ' ' || c == '\t') && c != table->separator;
}

/* What taking one cell, or record, from the buffer came to. */
typedef enum taken { TAKEN, NEEDS_MORE, BROKEN } taken;

/* The bytes of a cell without quotes, from p; *next is the separator or line end behind it. */
static taken take_plain(const dt_table *table, const char *p, const char *end, dt_cell *out, const char **next) {
  const char *from = p;
  while (!table->stops[(uint8_t)*p]) p++; /* a line end stands behind the buffer's bytes */
  if (p == end && !table->at_end) return NEEDS_MORE;
  *next = p;
  while (p > from && is_blank(table, p[-1])) p--;
  *out = (dt_cell){from, (size_t)(p - from), false};
  return TAKEN;
}

/* Likewise of a cell in quotes. How far it reaches is found before a byte is changed, since the record may have to be taken
 * again when more of it is there. */
static taken take_quoted(const dt_table *table, const char *p, const char *end, dt_cell *out, const char **next) {
  const char *from = p + 1, *close = from;
  int64_t doubled = 0;
  for (;; close += 2, doubled++) {
    close = memchr(close, '"', (size_t)(end - close));
    if (close == NULL || (close + 1 == end && !table->at_end)) return table->at_end ? BROKEN : NEEDS_MORE;
    if (close + 1 == end || close[1] != '"') break;
  }
  p = close + 1;
  while (p < end && is_blank(table, *p)) p++;
  if (p == end && !table->at_end) return NEEDS_MORE;
  if (p < end && *p != table->separator && !ends_line(*p)) return BROKEN;
  *next = p;
  *out = (dt_cell){from, (size_t)(close - from), true};
  return TAKEN;
}

/* "" within quotes becomes ", in place. */
static void undouble(dt_cell *cell) {
  char *from = (char *)cell->text, *to = memchr(from, '"', cell->bytes), *end = from + cell->bytes;
  if (!cell->quoted || to == NULL) return;
  for (from = to; from < end; from++) {
    *to++ = *from;
    if (*from == '"') from++;
  }
  cell->bytes = (size_t)(to - cell->text);
}

/* Behind a line end, which may be of two bytes. */
static const char *pass_line_end(const char *p, const char *end) {
  const bool returns = p < end && *p == '\r';
  if (p < end) p++;
  return returns && p < end && *p == '\n' ? p + 1 : p;
}

static dt_status complain_quote(const dt_table *table) {
  DT_RAISE(DT_DATA,
           "%s:%" PRId64
           ": found a quote that does not close before the separator, expected \"text\", a quote in it written twice",
           table->path, table->next_line);
}

/* One record from the buffer, with all of its line end. */
static dt_status take_record(dt_table *table, taken *out) {
  const char *p = table->buffer + table->begin, *end = table->buffer + table->end;
  table->cell_count = 0;
  for (;; p++) {
    dt_cell cell;
    while (p < end && is_blank(table, *p)) p++;
    *out = p < end && *p == '"' ? take_quoted(table, p, end, &cell, &p) : take_plain(table, p, end, &cell, &p);
    if (*out == BROKEN) return complain_quote(table);
    if (*out == NEEDS_MORE) return DT_OK;
    DT_TRY(add_cell(table, cell));
    if (p == end || *p != table->separator) break;
  }
  /* A \r that ends the buffer may be half of a \r\n. */
  if (p + 1 == end && *p == '\r' && !table->at_end) {
    *out = NEEDS_MORE;
    return DT_OK;
  }
  const char *next = pass_line_end(p, end);
  table->line = table->next_line;
  table->next_line += next > p;
  for (int64_t c = 0; c < table->cell_count; c++) {
    if (!table->cell[c].quoted) continue;
    for (size_t i = 0; i < table->cell[c].bytes; i++) table->next_line += table->cell[c].text[i] == '\n';
    undouble(&table->cell[c]);
  }
  table->begin = (size_t)(next - table->buffer);
  return DT_OK;
}

static bool is_empty(const dt_table *table) {
  return table->cell_count == 1 && table->cell[0].bytes == 0 && !table->cell[0].quoted;
}

dt_status dt_table_next(dt_table *table, const dt_cell **out, int64_t *out_count) {
  *out_count = 0;
  while (table->begin < table->end || !table->at_end) {
    taken result = NEEDS_MORE;
    if (table->begin < table->end) DT_TRY(take_record(table, &result));
    if (result == NEEDS_MORE) {
      DT_TRY(fill(table));
    } else if (!is_empty(table)) {
      *out = table->cell;
      *out_count = table->cell_count;
      return DT_OK;
    }
  }
  return DT_OK;
}

/* --- the file --- */

static dt_status pass_mark(dt_table *table) {
  const uint8_t *first = (const uint8_t *)table->buffer;
  const size_t count = table->end;
  DT_REQUIRE(count > 0, DT_DATA, "%s: found an empty file, expected a table", table->path);
  DT_REQUIRE(count < 2 || !((first[0] == 0xFF && first[1] == 0xFE) || (first[0] == 0xFE && first[1] == 0xFF)), DT_DATA,
             "%s: found UTF-16, expected text in UTF-8", table->path);
  if (count >= 3 && memcmp(first, "\xEF\xBB\xBF", 3) == 0) table->begin = 3;
  return DT_OK;
}

/* Of the first line, outside of quotes. Where two are as frequent, the rarer one in text. */
static char find_separator(const dt_table *table) {
  static const char candidates[] = "\t;|,";
  int64_t count[sizeof candidates] = {0};
  bool quoted = false;
  for (size_t i = table->begin; i < table->end && (quoted || !ends_line(table->buffer[i])); i++) {
    const char *found = memchr(candidates, table->buffer[i], sizeof candidates - 1);
    if (table->buffer[i] == '"') quoted = !quoted;
    if (found != NULL && !quoted && *found != table->point) count[found - candidates]++;
  }
  int best = sizeof candidates - 2;
  for (int c = 0; candidates[c] != '\0'; c++) {
    if (count[c] > count[best] || (count[c] == count[best] && count[c] > 0 && c < best)) best = c;
  }
  return candidates[best];
}

static dt_status start(dt_table *table) {
  DT_TRY(dt_alloc(FIRST_BYTES + 1, 1, &table->buffer));
  table->capacity = FIRST_BYTES;
  DT_TRY(dt_alloc(FIRST_CELLS, sizeof *table->cell, &table->cell));
  table->cell_capacity = FIRST_CELLS;
  DT_TRY(dt_source_open(table->path, &table->source));
  size_t got;
  DT_TRY(dt_source_read(table->source, table->buffer, table->capacity, &got));
  table->end = got;
  table->at_end = got < table->capacity;
  DT_TRY(pass_mark(table));
  DT_TRY(refuse_zeros(table, table->buffer, got));
  if (table->separator == '\0') table->separator = find_separator(table);
  table->buffer[table->end] = '\n';
  table->stops[(uint8_t)table->separator] = table->stops['\n'] = table->stops['\r'] = true;
  return DT_OK;
}

dt_status dt_table_open(const char *path, char separator, char point, dt_table **out) {
  dt_table *table;
  DT_TRY(dt_alloc(1, sizeof *table, &table));
  *table = (dt_table){.path = path, .separator = separator, .point = point, .next_line = 1};
  const dt_status status = start(table);
  if (status != DT_OK) dt_table_close(&table);
  *out = table;
  return status;
}

int64_t dt_table_line(const dt_table *table) {
  return table->line;
}

void dt_table_close(dt_table **table) {
  if (*table == NULL) return;
  dt_source_close(&(*table)->source);
  free((*table)->buffer);
  free((*table)->cell);
  free(*table);
  *table = NULL;
}
