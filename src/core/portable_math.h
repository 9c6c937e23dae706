/* What libraries round differently, in plain arithmetic: the same bits on every machine, to about 14 digits. */
#ifndef DT_CORE_PORTABLE_MATH_H
#define DT_CORE_PORTABLE_MATH_H

/* sin and cos of 2 pi t, t in [0, 1) turns; exact at eighths of a turn but for their own rounding. */
void dt_circle(double t, double *sine, double *cosine);
/* Natural logarithm of a finite number above 0. */
double dt_logarithm(double x);
/* e to the power x, x in [-700, 700]. */
double dt_exponential(double x);

#endif
