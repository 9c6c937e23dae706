/* What the range test says of a curve that is known, and what becomes of it as a picture. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/plot.h"
#include "support/unit.h"
#include "train/rate_range.h"

enum { STEPS = 60 };

/* A loss that is noise below 1e-4, falls most steeply where the rate is 1e-2, and is lowest at 0.1. */
static void make_curve(dt_rate_range *range, double *rate, double *smooth) {
  *range =
      (dt_rate_range){.from = 1e-5, .to = 1, .steps = STEPS, .rate = rate, .smooth = smooth, .loss = smooth, .count = STEPS};
  for (int i = 0; i < STEPS; i++) {
    const double decade = -5 + 5.0 * i / (STEPS - 1);
    rate[i] = pow(10, decade);
    smooth[i] = 2 - tanh(2 * (decade + 2)) + (decade > -1 ? 4 * pow(decade + 1, 2) : 0);
  }
  smooth[1] = 0.1; /* the mean of two batches says nothing */
  smooth[2] = 2.5;
}

static void test_marks(void **state) {
  double rate[STEPS], smooth[STEPS];
  dt_rate_range range;
  make_curve(&range, rate, smooth);
  dt_rate_range_mark(&range);
  assert_true(fabs(log10(rate[range.steepest]) + 2) < 0.1);
  assert_true(fabs(log10(rate[range.lowest]) + 1) < 0.2);
}

/* A test that ends soon is judged by all that there is, and one that never falls says so. */
static void test_few_steps(void **state) {
  double rate[STEPS], smooth[STEPS];
  dt_rate_range range;
  make_curve(&range, rate, smooth);
  for (int i = 0; i < STEPS; i++) smooth[i] = 1 + 0.1 * i;
  dt_rate_range_mark(&range);
  assert_int_equal(range.steepest, -1);
  range.count = 5;
  for (int i = 0; i < 5; i++) smooth[i] = 5 - i;
  dt_rate_range_mark(&range);
  assert_int_equal(range.lowest, 4);
  assert_true(range.steepest >= 1 && range.steepest <= 3);
}

static char *draw(const dt_plot *plot, bool svg) {
  char *text;
  size_t bytes;
  FILE *out = open_memstream(&text, &bytes);
  if (svg)
    dt_plot_svg(plot, out);
  else
    dt_plot_text(plot, 80, out);
  fclose(out);
  return text;
}

static int count_of(const char *text, const char *what) {
  int count = 0;
  for (const char *p = text; (p = strstr(p, what)) != NULL; p++) count++;
  return count;
}

/* Corners of the drawing area lie where the ticks of the ends do, and no line is wider than asked or ends in a blank. */
static void test_plot(void **state) {
  const double x[] = {1, 10, 100}, y[] = {0, 5, 10}, gap[] = {10, NAN, 0};
  dt_plot plot = {.title = "a < b & c",
                  .x_name = "x",
                  .y_name = "y",
                  .x = x,
                  .count = 3,
                  .log_x = true,
                  .y_most = INFINITY,
                  .curve = {{.name = "gap", .y = gap, .faint = true}, {.name = "line", .y = y}},
                  .curve_count = 2,
                  .mark = {{10, "here"}},
                  .mark_count = 1};
  char *svg = draw(&plot, true);
  assert_non_null(strstr(svg, "a &lt; b &amp; c"));
  assert_non_null(strstr(svg, "points=\"64.0,348.0 384.0,194.0 704.0,40.0 \"")); /* left bottom, middle, right top */
  assert_int_equal(count_of(svg, "<polyline"), 3);                               /* a gap parts a curve */
  free(svg);
  char *text = draw(&plot, false), *rest = text, *line;
  assert_int_equal(count_of(text, "*"), 3);
  while ((line = strsep(&rest, "\n")) != NULL) {
    assert_true(strlen(line) <= 80);
    assert_true(line[0] == '\0' || line[strlen(line) - 1] != ' ');
  }
  free(text);
}

/* Where no round number lies on the axis its ends are told; one of a single value has room around it. */
static void test_axes(void **state) {
  const double x[] = {0.2, 0.4, 0.8}, y[] = {3, 3, 3};
  dt_plot plot = {.title = "",
                  .x_name = "x",
                  .y_name = "y",
                  .x = x,
                  .count = 3,
                  .log_x = true,
                  .y_most = INFINITY,
                  .curve = {{.name = "line", .y = y}},
                  .curve_count = 1};
  char *text = draw(&plot, false);
  assert_non_null(strstr(text, "0.2"));
  assert_non_null(strstr(text, "0.8"));
  free(text);
  plot.log_x = false;
  plot.count = 1;
  text = draw(&plot, false);
  assert_int_equal(count_of(text, "*"), 1);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_marks),
      cmocka_unit_test(test_few_steps),
      cmocka_unit_test(test_plot),
      cmocka_unit_test(test_axes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
