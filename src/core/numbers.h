/* Numbers in lines for people. */
#ifndef DT_CORE_NUMBERS_H
#define DT_CORE_NUMBERS_H

#include <stdint.h>

enum { DT_NUMBER_TEXT = 32 };

/* Four digits behind the point, or four in all where there would be seven or more before it; nan without a sign. Returns text,
 * which holds DT_NUMBER_TEXT bytes. */
const char *dt_number_text(double value, char *text);
/* The end of a plural: "s", "" for one. */
const char *dt_plural(int64_t count);

#endif
