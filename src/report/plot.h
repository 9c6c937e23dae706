/* Curves over a common axis: as SVG, and as text. */
#ifndef DT_REPORT_PLOT_H
#define DT_REPORT_PLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

typedef struct dt_curve {
  const char *name;
  const double *y; /* [plot.count]; what is not finite is a gap */
  bool faint;      /* drawn thin and pale: noise that another curve smooths */
} dt_curve;

/* A place on the x axis that is pointed out. */
typedef struct dt_plot_mark {
  double x;
  const char *text;
} dt_plot_mark;

enum { DT_CURVES_MAX = 4, DT_PLOT_MARKS_MAX = 4 };

typedef struct dt_plot {
  const char *title, *x_name, *y_name;
  const double *x; /* [count], rising; above 0 where log_x */
  int64_t count;
  bool log_x;
  double y_most; /* what lies above is cut off; infinity: nothing is */
  dt_curve curve[DT_CURVES_MAX];
  int curve_count;
  dt_plot_mark mark[DT_PLOT_MARKS_MAX];
  int mark_count;
} dt_plot;

/* One svg element, which stands alone as a file or within a page, in the reader's light or dark colours. */
void dt_plot_svg(const dt_plot *plot, FILE *out);
/* The last curve in so many columns of characters, axes included, with some rows between two ticks. */
void dt_plot_text(const dt_plot *plot, int columns, FILE *out);

#endif
