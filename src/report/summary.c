/* What a run came to, in three lines. */
#include <math.h>
#include <stdio.h>

#include "core/numbers.h"
#include "report/record_parts.h"

/* What comes to no percent is left out: the line is for a terminal. */
static void say_time(dt_record *r, const dt_record_seconds *s) {
  char text[512];
  const double waits = s->data_wait + s->exposed_communication;
  const struct {
    const char *what;
    double seconds;
  } parts[] = {
      {"compute", fmax(0, s->training - waits)}, {"data", s->data_wait},
      {"reduction", s->exposed_communication},   {"evaluation", s->evaluation},
      {"checkpoints", s->checkpoints},           {"other", fmax(0, s->wall - s->training - s->evaluation - s->checkpoints)}};
  int at = snprintf(text, sizeof text, "time: %.1f s", s->wall);
  const char *before = ": ";
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
    const double percent = s->wall > 0 ? 100 * parts[i].seconds / s->wall : 0;
    if (percent < 0.5) continue;
    at +=
        snprintf(text + at, sizeof text - (size_t)at, "%s%s %.0f%% (%.1f s)", before, parts[i].what, percent, parts[i].seconds);
    before = ", ";
  }
  dt_record_log(r, "%s", text);
}

static void log_slowest(dt_record *r, const dt_ranks_timing *timing) {
  if (timing->ranks < 2) return;
  dt_record_log(r, "slowest rank: %d of %d, with %.1f s of work of its own; the median is %.1f s, the least %.1f s",
                timing->slowest, timing->ranks, timing->own.max, timing->own.median, timing->own.min);
}

static long long number(const json_t *line, const char *key) {
  return (long long)json_integer_value(json_object_get(line, key));
}

/* A measure of the best evaluation. */
static int print_best(const dt_record *r, int measure, const char *before, char *text, size_t bytes) {
  const dt_measure *m = &r->goals->measure[measure];
  const json_t *best = r->best_evaluation;
  char value[DT_MEASURE_TEXT];
  int at = snprintf(text, bytes, "%s%s %s", before, m->name,
                    dt_measure_text(m, json_number_value(json_object_get(best, m->name)), value));
  if (m->counts == NULL || at >= (int)bytes) return at;
  return at + snprintf(text + at, bytes - (size_t)at, " (%lld of %lld)", number(best, m->counts),
                       number(best, "samples") * (long long)m->per_sample);
}

static void log_best(dt_record *r) {
  const json_t *best = r->best_evaluation;
  char text[512];
  if (best == NULL) return;
  int at = print_best(r, r->best, "", text, sizeof text);
  for (int i = r->goals->measure_count - 1; i >= 0; i--) {
    const dt_measure *m = &r->goals->measure[i];
    if (i != r->best && !m->record_only && m->bins == 0 && at < (int)sizeof text)
      at += print_best(r, i, ", ", text + at, sizeof text - (size_t)at);
  }
  dt_record_log(r, "best: %s, after epoch %lld, step %lld", text, number(best, "epoch"), number(best, "step"));
}

void dt_record_summary(dt_record *record, const dt_record_end *end) {
  if (record->rank != 0) return;
  say_time(record, &end->seconds);
  log_slowest(record, &end->timing);
  log_best(record);
}
