/* Most numbers of data files have few digits: a whole number below 2^53 times or over a power of ten up to 10^22 is exact in
 * both and so correctly rounded by one operation (Clinger, "How to read floating point numbers accurately", PLDI 1990). strtod
 * reads the others. */
#include "data/decimal.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { EXACT_POWER = 22, EXACT_DIGITS = 19, EXPONENT_MAX = 99999, SHORT_TEXT = 128 };

static const double powers[EXACT_POWER + 1] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                               1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

/* value = digits * 10^exponent, where at most EXACT_DIGITS digits were seen. */
typedef struct parts {
  uint64_t digits;
  int count, exponent; /* count: of digits from the first that is not 0 */
  bool any, negative;
} parts;

static bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

static const char *read_digits(const char *p, const char *end, int scale, parts *out) {
  for (; p < end && is_digit(*p); p++) {
    out->any = true;
    out->exponent += scale;
    if (out->count == 0 && *p == '0') continue;
    if (out->count < EXACT_DIGITS) out->digits = 10 * out->digits + (uint64_t)(*p - '0');
    out->count++;
  }
  return p;
}

/* The exponent that p, behind the e, spells; NULL where it spells none. */
static const char *read_exponent(const char *p, const char *end, parts *out) {
  bool negative = p < end && *p == '-';
  int value = 0;
  if (p < end && (*p == '+' || *p == '-')) p++;
  if (p == end || !is_digit(*p)) return NULL;
  for (; p < end && is_digit(*p); p++) {
    if (value < EXPONENT_MAX) value = 10 * value + (*p - '0');
  }
  out->exponent += negative ? -value : value;
  return p;
}

static bool split(const char *text, size_t bytes, char point, parts *out) {
  const char *p = text, *end = text + bytes;
  *out = (parts){.negative = bytes > 0 && *p == '-'};
  if (p < end && (*p == '+' || *p == '-')) p++;
  p = read_digits(p, end, 0, out);
  if (p < end && *p == point) p = read_digits(p + 1, end, -1, out);
  if (out->any && p < end && (*p == 'e' || *p == 'E')) p = read_exponent(p + 1, end, out);
  return out->any && p == end;
}

/* strtod wants a terminator, and a point. */
static double read_long(const char *text, size_t bytes, char point) {
  char copy[SHORT_TEXT], *room = bytes < sizeof copy ? copy : malloc(bytes + 1);
  if (room == NULL) return NAN;
  memcpy(room, text, bytes);
  room[bytes] = '\0';
  char *found = memchr(room, point, bytes);
  if (found != NULL) *found = '.';
  double value = strtod(room, NULL);
  if (room != copy) free(room);
  return value;
}

/* Most numbers: [+-]digits[.digits] of so few digits that one division is exact. False: it is another, or none. */
static bool read_plain(const char *p, const char *end, char point, double *out) {
  const bool negative = p < end && *p == '-';
  uint64_t digits = 0;
  if (p < end && (*p == '-' || *p == '+')) p++;
  const char *whole = p;
  for (; p < end && is_digit(*p); p++) digits = 10 * digits + (uint64_t)(*p - '0');
  int64_t count = p - whole, fraction = 0;
  if (p < end && *p == point) {
    const char *first = ++p;
    for (; p < end && is_digit(*p); p++) digits = 10 * digits + (uint64_t)(*p - '0');
    fraction = p - first;
    count += fraction;
  }
  if (p != end || count == 0 || count > EXACT_DIGITS - 1 || digits > (uint64_t)1 << 53) return false;
  const double value = (double)digits / powers[fraction];
  *out = negative ? -value : value;
  return true;
}

bool dt_decimal_read(const char *text, size_t bytes, char point, double *out) {
  parts p;
  if (read_plain(text, text + bytes, point, out)) return true;
  if (!split(text, bytes, point, &p)) return false;
  bool exact = p.count <= EXACT_DIGITS && p.digits <= (uint64_t)1 << 53;
  if (!exact || p.exponent < -EXACT_POWER || p.exponent > EXACT_POWER) {
    *out = read_long(text, bytes, point);
    return true;
  }
  double value = (double)p.digits;
  value = p.exponent < 0 ? value / powers[-p.exponent] : value * powers[p.exponent];
  *out = p.negative ? -value : value;
  return true;
}
