#include "core/portable_math.h"

#include <math.h>
#include <stdbool.h>

/* sin and cos of x in [0, pi/4], by their series. */
static void small_angle(double x, double *sine, double *cosine) {
  const double square = x * x;
  double s = 0, c = 0;
  for (int n = 17; n > 0; n -= 2) {
    s = 1 - square / ((n + 1) * (n + 2)) * s;
    c = 1 - square / (n * (n + 1)) * c;
  }
  *sine = x * s;
  *cosine = c;
}

/* From the first eighth of a circle by its symmetries. */
void dt_circle(double t, double *sine, double *cosine) {
  const double pi = 3.14159265358979323846;
  const int eighth = (int)(8 * t);
  const double rest = 8 * t - eighth, part = (eighth & 1 ? 1 - rest : rest) * (pi / 4);
  double s, c;
  small_angle(part, &s, &c);
  const bool swaps = ((eighth + 1) >> 1 & 1) != 0;
  const double a = swaps ? c : s, b = swaps ? s : c;
  *sine = eighth >= 4 ? -a : a;
  *cosine = eighth >= 2 && eighth < 6 ? -b : b;
}

/* ln 2 in two parts: the first has zeros at its end, so that a whole multiple of it is exact. */
static const double ln2_high = 0x1.62e42fee00000p-1, ln2_low = 0x1.a39ef35793c76p-33;

/* The mantissa is brought into [sqrt(1/2), sqrt(2)), where ln m = 2 artanh((m - 1) / (m + 1)) has a short series. */
double dt_logarithm(double x) {
  int exponent;
  double m = frexp(x, &exponent);
  if (m < 0x1.6a09e667f3bcdp-1) {
    m *= 2;
    exponent--;
  }
  const double s = (m - 1) / (m + 1), square = s * s;
  double sum = 0;
  for (int n = 23; n > 0; n -= 2) sum = 1.0 / n + square * sum;
  return exponent * ln2_high + (2 * s * sum + exponent * ln2_low);
}

/* x = n ln 2 + r, |r| <= ln 2 / 2. */
double dt_exponential(double x) {
  const double n = floor(x * 0x1.71547652b82fep+0 + 0.5), r = (x - n * ln2_high) - n * ln2_low;
  double sum = 1;
  for (int k = 16; k > 0; k--) sum = 1 + r / k * sum;
  return ldexp(sum, (int)n);
}
