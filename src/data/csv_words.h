/* Words in cells of a table, and what to tell of them. */
#ifndef DT_DATA_CSV_WORDS_H
#define DT_DATA_CSV_WORDS_H

#include "data/csv_attr.h"

bool dt_csv_is(const dt_cell *cell, const char *text);
/* The cell's place among the words; -1 when it is none of them. */
int64_t dt_csv_find(const dt_strings *words, const dt_cell *cell);
/* Whether one of them is a decimal number. */
bool dt_csv_any_number(const dt_strings *words);
/* The cell as a line of text. Returns new (free), NULL without memory. */
char *dt_csv_text(const dt_cell *cell);
/* The same in quotes, of `bytes` bytes at most, into text, which holds 4 more; returns text. */
const char *dt_csv_quote(const dt_cell *cell, char *text, size_t bytes);

/* Whether the cell stands for no value: is empty, or one of the marks. */
bool dt_csv_is_missing(const csv_attr *attr, const dt_cell *cell);

/* The end of a message about a word in a column, the index-th of the table: the words that the column holds, in the form in
 * which the config takes them. "" where they are very many, or the table cannot be read. text holds DT_CSV_HINT bytes. */
enum { DT_CSV_HINT = 640 };
void dt_csv_hint(const char *path, const csv_attr *attr, const char *name, int64_t index, bool label, char *text);

#endif
