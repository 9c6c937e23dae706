#include "core/numbers.h"

#include <math.h>
#include <stdio.h>

const char *dt_number_text(double value, char *text) {
  if (isnan(value)) value = NAN;
  snprintf(text, DT_NUMBER_TEXT, fabs(value) < 1e6 ? "%.4f" : "%.4g", value);
  return text;
}

const char *dt_plural(int64_t count) {
  return count == 1 ? "" : "s";
}
