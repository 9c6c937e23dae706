#include "report/plot.h"

#include <math.h>
#include <string.h>

/* --- where a value lies --- */

typedef struct axis {
  double low, high; /* of log10 x where the axis is logarithmic */
  bool log;
} axis;

static double on_axis(const axis *a, double value) {
  const double v = a->log ? log10(value) : value;
  return (v - a->low) / (a->high - a->low);
}

static axis x_axis(const dt_plot *plot) {
  axis a = {.low = plot->x[0], .high = plot->x[plot->count - 1], .log = plot->log_x};
  if (a.log) {
    a.low = log10(a.low);
    a.high = log10(a.high);
  }
  if (!(a.high > a.low)) {
    a.low -= 0.5;
    a.high += 0.5;
  }
  return a;
}

/* 1, 2 or 5 times a power of ten: about so many steps across. */
static double nice_step(double span, int steps) {
  const double raw = span / steps, power = pow(10, floor(log10(raw))), digit = raw / power;
  return (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10) * power;
}

enum { Y_STEPS = 5 };

/* From one tick to another, for the curves from the first one on. */
static axis y_axis(const dt_plot *plot, int first, double *out_step) {
  double low = INFINITY, high = -INFINITY;
  for (int c = first; c < plot->curve_count; c++) {
    for (int64_t i = 0; i < plot->count; i++) {
      const double y = plot->curve[c].y[i];
      if (!isfinite(y)) continue;
      low = fmin(low, y);
      high = fmax(high, fmin(y, plot->y_most));
    }
  }
  if (!(low < high)) {
    const double only = isfinite(low) ? low : 0;
    low = only - 0.5;
    high = only + 0.5;
  }
  *out_step = nice_step(high - low, Y_STEPS);
  return (axis){.low = floor(low / *out_step) * *out_step, .high = ceil(high / *out_step) * *out_step};
}

/* --- SVG --- */

enum { WIDTH = 720, HEIGHT = 400, LEFT = 64, RIGHT = 16, TOP = 40, BOTTOM = 52 };

static double svg_x(const axis *a, double x) {
  return LEFT + on_axis(a, x) * (WIDTH - LEFT - RIGHT);
}

static double svg_y(const axis *a, double y) {
  return TOP + (1 - fmin(on_axis(a, y), 1)) * (HEIGHT - TOP - BOTTOM);
}

static void print_escaped(const char *text, FILE *out) {
  for (; *text != '\0'; text++) {
    if (*text == '<')
      fputs("&lt;", out);
    else if (*text == '>')
      fputs("&gt;", out);
    else if (*text == '&')
      fputs("&amp;", out);
    else
      fputc(*text, out);
  }
}

static void print_text(double x, double y, const char *class, const char *anchor, const char *text, FILE *out) {
  fprintf(out, "<text x=\"%.1f\" y=\"%.1f\" class=\"%s\" text-anchor=\"%s\">", x, y, class, anchor);
  print_escaped(text, out);
  fputs("</text>\n", out);
}

static void print_line(const char *class, double x1, double y1, double x2, double y2, FILE *out) {
  fprintf(out, "<line class=\"%s\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n", class, x1, y1, x2, y2);
}

static void print_x_tick(const axis *x, double value, FILE *out) {
  char text[32];
  snprintf(text, sizeof text, "%g", value);
  print_line("grid", svg_x(x, value), TOP, svg_x(x, value), HEIGHT - BOTTOM, out);
  print_text(svg_x(x, value), HEIGHT - BOTTOM + 18, "tick", "middle", text, out);
}

static void print_grid(const axis *x, const axis *y, double y_step, FILE *out) {
  char text[32];
  for (int i = 0; y->low + i * y_step <= y->high + y_step / 2; i++) {
    const double value = y->low + i * y_step;
    snprintf(text, sizeof text, "%g", fabs(value) < y_step / 2 ? 0 : value);
    print_line("grid", LEFT, svg_y(y, value), WIDTH - RIGHT, svg_y(y, value), out);
    print_text(LEFT - 8, svg_y(y, value) + 4, "tick", "end", text, out);
  }
  const double step = x->log ? 1 : nice_step(x->high - x->low, 6);
  for (double v = ceil(x->low / step - 1e-9) * step; v <= x->high + step * 1e-9; v += step)
    print_x_tick(x, x->log ? pow(10, round(v)) : v, out);
}

/* A polyline for each run of numbers without a gap. */
static void print_curve(const dt_plot *plot, int c, const axis *x, const axis *y, FILE *out) {
  bool open = false;
  for (int64_t i = 0; i < plot->count; i++) {
    const double value = plot->curve[c].y[i];
    if (isfinite(value) && !open)
      fprintf(out, "<polyline class=\"curve c%d%s\" points=\"", c, plot->curve[c].faint ? " faint" : "");
    if (!isfinite(value) && open) fputs("\"/>\n", out);
    open = isfinite(value);
    if (open) fprintf(out, "%.1f,%.1f ", svg_x(x, plot->x[i]), svg_y(y, value));
  }
  if (open) fputs("\"/>\n", out);
}

static void print_legend(const dt_plot *plot, FILE *out) {
  double at = WIDTH - RIGHT;
  for (int c = plot->curve_count - 1; c >= 0; c--) {
    print_text(at, 22, "tick", "end", plot->curve[c].name, out);
    at -= 7.0 * (double)strlen(plot->curve[c].name) + 8;
    fprintf(out, "<line class=\"curve c%d%s\" x1=\"%.1f\" y1=\"18\" x2=\"%.1f\" y2=\"18\"/>\n", c,
            plot->curve[c].faint ? " faint" : "", at - 18, at);
    at -= 34;
  }
}

/* Texts of marks stand below one another, on the side that has room. */
static void print_mark(const dt_plot *plot, int m, const axis *x, FILE *out) {
  const double at = svg_x(x, plot->mark[m].x);
  const bool left = at > (LEFT + WIDTH) / 2.0;
  print_line("mark", at, TOP, at, HEIGHT - BOTTOM, out);
  print_text(left ? at - 6 : at + 6, TOP + 16 + 18 * m, "note", left ? "end" : "start", plot->mark[m].text, out);
}

static const char style[] =
    "<style>\n"
    ".plot{--ink:#1b1f24;--pale:#5c6670;--grid:#e3e7eb;--paper:#fff;--c0:#0b62b8;--c1:#c2410c;--c2:#15803d;--c3:#7e22ce;"
    "font:12px system-ui,sans-serif;background:var(--paper)}\n"
    "@media(prefers-color-scheme:dark){.plot{--ink:#e6e9ed;--pale:#9aa4ae;--grid:#2d333b;--paper:#15181c;--c0:#6cb2ff;--c1:#"
    "ff9a62;"
    "--c2:#5ddc8b;--c3:#c99bff}}\n"
    ".plot text{fill:var(--ink)}.plot .tick{fill:var(--pale)}.plot .title{font-size:15px;font-weight:600}\n"
    ".plot .grid{stroke:var(--grid)}.plot .mark{stroke:var(--pale);stroke-dasharray:4 3}\n"
    ".plot .curve{fill:none;stroke-width:2;stroke-linejoin:round}.plot .faint{stroke-width:1;opacity:.4}\n"
    ".plot .c0{stroke:var(--c0)}.plot .c1{stroke:var(--c1)}.plot .c2{stroke:var(--c2)}.plot .c3{stroke:var(--c3)}\n"
    "</style>\n";

void dt_plot_svg(const dt_plot *plot, FILE *out) {
  double y_step;
  const axis x = x_axis(plot), y = y_axis(plot, 0, &y_step);
  fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"plot\" viewBox=\"0 0 %d %d\" role=\"img\">\n<title>", WIDTH,
          HEIGHT);
  print_escaped(plot->title, out);
  fprintf(out, "</title>\n%s<rect width=\"%d\" height=\"%d\" style=\"fill:var(--paper)\"/>\n", style, WIDTH, HEIGHT);
  print_text(LEFT, 23, "title", "start", plot->title, out);
  print_grid(&x, &y, y_step, out);
  print_text((LEFT + WIDTH - RIGHT) / 2.0, HEIGHT - 12, "tick", "middle", plot->x_name, out);
  fprintf(out, "<g transform=\"translate(14 %d) rotate(-90)\">", (TOP + HEIGHT - BOTTOM) / 2);
  print_text(0, 0, "tick", "middle", plot->y_name, out);
  fputs("</g>\n", out);
  for (int c = 0; c < plot->curve_count; c++) print_curve(plot, c, &x, &y, out);
  for (int m = 0; m < plot->mark_count; m++) print_mark(plot, m, &x, out);
  print_legend(plot, out);
  fputs("</svg>\n", out);
}

/* --- text --- */

enum { LABEL = 9, TEXT_COLUMNS_MAX = 200, ROWS_A_STEP = 3 };

/* Each column shows the mean of the points that fall into it. */
static void fill_columns(const dt_plot *plot, const axis *x, int columns, double *mean) {
  int counts[TEXT_COLUMNS_MAX] = {0};
  const double *y = plot->curve[plot->curve_count - 1].y;
  for (int c = 0; c < columns; c++) mean[c] = 0;
  for (int64_t i = 0; i < plot->count; i++) {
    if (!isfinite(y[i])) continue;
    const int c = (int)lround(on_axis(x, plot->x[i]) * (columns - 1));
    mean[c] += fmin(y[i], plot->y_most);
    counts[c]++;
  }
  for (int c = 0; c < columns; c++) mean[c] = counts[c] > 0 ? mean[c] / counts[c] : NAN;
}

/* A number at its place, unless it would touch the one before it. */
static void put_label(const axis *x, double value, int columns, char *line, int *end) {
  char text[32];
  const int length = snprintf(text, sizeof text, "%.3g", value);
  int at = (int)lround(on_axis(x, value) * (columns - 1)) - length / 2;
  if (at < 0) at = 0;
  if (at > columns - length) at = columns - length;
  if (*end > 0 && at < *end + 1) return;
  memcpy(line + at, text, (size_t)length);
  *end = at + length;
}

/* Round numbers, or the ends where there is none. */
static void print_x_labels(const dt_plot *plot, const axis *x, int columns, FILE *out) {
  char line[TEXT_COLUMNS_MAX + 1];
  memset(line, ' ', sizeof line);
  const double step = x->log ? fmax(1, ceil((x->high - x->low) / 6)) : nice_step(x->high - x->low, 5);
  int end = 0;
  for (double v = ceil(x->low / step - 1e-9) * step; v <= x->high + step * 1e-9; v += step)
    put_label(x, x->log ? pow(10, round(v)) : v, columns, line, &end);
  if (end == 0) {
    put_label(x, plot->x[0], columns, line, &end);
    put_label(x, plot->x[plot->count - 1], columns, line, &end);
  }
  fprintf(out, "%*s %.*s\n", LABEL + 1, plot->x_name, end, line);
}

void dt_plot_text(const dt_plot *plot, int columns, FILE *out) {
  double y_step, mean[TEXT_COLUMNS_MAX];
  const axis x = x_axis(plot), y = y_axis(plot, plot->curve_count - 1, &y_step);
  columns -= LABEL + 2;
  if (columns > TEXT_COLUMNS_MAX) columns = TEXT_COLUMNS_MAX;
  const int rows = ROWS_A_STEP * (int)lround((y.high - y.low) / y_step) + 1;
  fill_columns(plot, &x, columns, mean);
  for (int r = rows - 1; r >= 0; r--) {
    char label[32] = "";
    const double value = y.low + y_step * r / ROWS_A_STEP;
    if (r % ROWS_A_STEP == 0) snprintf(label, sizeof label, "%g", fabs(value) < y_step / 2 ? 0 : value);
    char line[TEXT_COLUMNS_MAX + 1];
    int end = 0;
    for (int c = 0; c < columns; c++) {
      const bool here = isfinite(mean[c]) && lround(on_axis(&y, mean[c]) * (rows - 1)) == r;
      line[c] = here ? '*' : ' ';
      if (here) end = c + 1;
    }
    fprintf(out, "%*s |%.*s\n", LABEL, label, end, line);
  }
  fprintf(out, "%*s +", LABEL, "");
  for (int c = 0; c < columns; c++) fputc('-', out);
  fputc('\n', out);
  print_x_labels(plot, &x, columns, out);
}
