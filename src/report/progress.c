/* The bar's text: as many fields as fit, and a bar in what is left. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/numbers.h"
#include "report/terminal.h"

enum { BAR_LEAST = 10, BAR_MOST = 40, FIELDS_TEXT = 512 };

enum { PERCENT = 1, EPOCH = 2, LOSS = 4, METRICS = 8, RATE = 16, ETA = 32 };

/* What a narrower terminal goes without, one thing after another. */
static const unsigned layouts[] = {
    PERCENT | EPOCH | LOSS | METRICS | RATE | ETA,
    PERCENT | LOSS | METRICS | RATE | ETA,
    PERCENT | LOSS | METRICS | ETA,
    PERCENT | LOSS | ETA,
    PERCENT | LOSS,
    PERCENT,
};
enum { LAYOUTS = sizeof layouts / sizeof layouts[0] };

/* Heavy line for what is done, in green; light line for the rest, dimmed. */
static const struct { const char *done, *rest; } glyphs[2] = {{"=", "-"}, {"\u2501", "\u2500"}};

const char *dt_rate_text(double per_second, char text[DT_SHORT_TEXT]) {
  if (!(per_second >= 0) || per_second > 1e15)
    snprintf(text, DT_SHORT_TEXT, "?");
  else if (per_second < 100)
    snprintf(text, DT_SHORT_TEXT, "%.1f", per_second);
  else if (per_second < 1000)
    snprintf(text, DT_SHORT_TEXT, "%.0f", per_second);
  else if (per_second < 1e6)
    snprintf(text, DT_SHORT_TEXT, "%.1fk", per_second / 1e3);
  else
    snprintf(text, DT_SHORT_TEXT, "%.2fM", per_second / 1e6);
  return text;
}

const char *dt_seconds_text(double seconds, char text[DT_SHORT_TEXT]) {
  if (!(seconds >= 0) || seconds > 3.6e8) {
    snprintf(text, DT_SHORT_TEXT, "--:--");
    return text;
  }
  long whole = lround(seconds);
  if (whole < 3600)
    snprintf(text, DT_SHORT_TEXT, "%02ld:%02ld", whole / 60, whole % 60);
  else
    snprintf(text, DT_SHORT_TEXT, "%ld:%02ld:%02ld", whole / 3600, whole / 60 % 60, whole % 60);
  return text;
}

static double fraction(const dt_progress *p) {
  if (p->total_samples <= 0) return 0;
  double done = (double)p->samples_seen / (double)p->total_samples;
  return done < 0 ? 0 : done > 1 ? 1 : done;
}

static int print_fields(const dt_progress *p, unsigned fields, char *text) {
  char rate[DT_SHORT_TEXT], eta[DT_SHORT_TEXT];
  int at = snprintf(text, FIELDS_TEXT, "%3.0f%%", floor(100 * fraction(p)));
  if (fields & EPOCH) at += snprintf(text + at, FIELDS_TEXT - (size_t)at, "  epoch %lld", (long long)p->epoch);
  if (fields & LOSS) at += snprintf(text + at, FIELDS_TEXT - (size_t)at, "  %s", p->loss);
  if (fields & METRICS && p->metrics[0] != '\0') at += snprintf(text + at, FIELDS_TEXT - (size_t)at, "  %s", p->metrics);
  if (fields & RATE)
    at += snprintf(text + at, FIELDS_TEXT - (size_t)at, "  %s samples/s", dt_rate_text(p->samples_per_second, rate));
  if (fields & ETA) at += snprintf(text + at, FIELDS_TEXT - (size_t)at, "  ETA %s", dt_seconds_text(p->eta_seconds, eta));
  return at;
}

static char *put(char *at, const char *text) {
  size_t length = strlen(text);
  memcpy(at, text, length);
  return at + length;
}

static char *print_bar(char *at, double done, int columns, bool colour, bool utf8) {
  int filled = (int)(done * columns);
  if (colour) at = put(at, "\x1b[32m");
  for (int i = 0; i < filled; i++) at = put(at, glyphs[utf8].done);
  if (colour) at = put(at, "\x1b[0;2m");
  for (int i = filled; i < columns; i++) at = put(at, glyphs[utf8].rest);
  if (colour) at = put(at, "\x1b[0m");
  return put(at, " ");
}

void dt_progress_print(const dt_progress *progress, int columns, bool colour, bool utf8, char *text) {
  char fields[FIELDS_TEXT];
  int layout = 0, length = 0, bar = 0;
  for (; layout < LAYOUTS; layout++) {
    length = print_fields(progress, layouts[layout], fields);
    bar = columns - length - 1;
    if (bar >= BAR_LEAST) break;
  }
  char *at = text;
  if (bar > BAR_MOST) bar = BAR_MOST;
  if (bar >= BAR_LEAST) at = print_bar(at, fraction(progress), bar, colour, utf8);
  if (length > columns) fields[columns > 0 ? columns : 0] = '\0';
  *put(at, fields) = '\0';
}
