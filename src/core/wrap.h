/* Text for terminals. */
#ifndef DT_CORE_WRAP_H
#define DT_CORE_WRAP_H

#include <stdio.h>

enum { DT_LINE_COLUMNS = 80 };

/* Prints lines, each broken at spaces where it is longer than so many columns (0: never) and going on below, indented. Nothing
 * is broken within brackets, nor within a word: one that is longer than a line stays. Spaces at the end of a line are left
 * out. */
void dt_wrap_print(const char *text, int indent, int columns, FILE *out);
/* The same of one formatted text, in 80 columns. */
void dt_wrap_printf(int indent, FILE *out, const char *format, ...) __attribute__((format(printf, 3, 4)));

#endif
