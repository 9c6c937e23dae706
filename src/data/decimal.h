/* Decimal numbers in data files, fast: text of known length, no terminator needed, in the C locale always. */
#ifndef DT_DATA_DECIMAL_H
#define DT_DATA_DECIMAL_H

#include <stddef.h>

#include "core/status.h"

/* The double nearest to the decimal number that all `bytes` of text spell: [+-]digits[.digits][e[+-]digits], `point` standing
 * for the point. False for anything else (hexadecimal, inf and nan too). What is too large becomes infinity, too small 0. */
bool dt_decimal_read(const char *text, size_t bytes, char point, double *out);

#endif
