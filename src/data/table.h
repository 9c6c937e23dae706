/* A table of text, record by record: CSV as RFC 4180 has it, and what programs write beside it. */
#ifndef DT_DATA_TABLE_H
#define DT_DATA_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "core/status.h"

/* Text of a cell, without quotes, and without the blanks around it where it stands in none. */
typedef struct dt_cell {
  const char *text; /* not terminated */
  size_t bytes;
  bool quoted;
} dt_cell;

typedef struct dt_table dt_table;

/* Opens a table, plain or gzip, whose cells `separator` divides; '\0': whichever of tab, semicolon, comma and bar, but for
 * `point`, which stands before fractions, the first line has most of. Cells may stand in double quotes, in which a quote is
 * written twice and line ends belong to the text. Lines end with \n, \r\n or \r; those without a character are passed over; a
 * byte order mark of UTF-8 is too. Keeps path until closed. DT_DATA where it cannot be opened or is UTF-16; DT_MEMORY, DT_IO.
 * Returns new. */
dt_status dt_table_open(const char *path, char separator, char point, dt_table **out);
/* The next record; its cells are valid until the next call. *out_count 0: the file has ended. DT_DATA naming the line for a
 * quote that does not close or is followed by text, for a zero byte, and for a record of more than 64 MiB. */
dt_status dt_table_next(dt_table *table, const dt_cell **out, int64_t *out_count);
int64_t dt_table_line(const dt_table *table); /* on which the last record began; from 1 */
void dt_table_close(dt_table **table);

#endif
