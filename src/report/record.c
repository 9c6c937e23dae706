/* The record of a run: lines to the log and the terminal, numbers to metrics.jsonl and timing.jsonl. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/numbers.h"
#include "report/record_parts.h"

/* Weight of the newest rate in the one that the ETA is reckoned from. */
static const double rate_weight = 0.25;

const char *dt_time_text(char text[DT_TIME_TEXT]) {
  struct timespec now;
  struct tm parts;
  char seconds[24];
  clock_gettime(CLOCK_REALTIME, &now);
  gmtime_r(&now.tv_sec, &parts);
  strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &parts);
  snprintf(text, DT_TIME_TEXT, "%s.%03ldZ", seconds, now.tv_nsec / 1000000);
  return text;
}

/* ---- opening and closing ---- */

static dt_status open_log(dt_record *r) {
  char name[32];
  snprintf(name, sizeof name, "log.%d.txt", r->rank);
  r->log_fd = openat(r->dir_fd, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0666);
  DT_REQUIRE(r->log_fd >= 0, DT_IO, "%s/%s: could not open: %s", r->dir, name, strerror(errno));
  return DT_OK;
}

static dt_status open_files(dt_record *r) {
  DT_TRY(dt_folder_open(r));
  DT_TRY(open_log(r));
  if (r->rank != 0) return DT_OK;
  DT_TRY(dt_lines_open(r, dt_metrics_file, &r->metrics_fd));
  DT_TRY(dt_lines_open(r, dt_timing_file, &r->timing_fd));
  if (!r->output.terminal) return DT_OK;
  dt_terminal_view view = dt_terminal_detect();
  if (r->output.most < DT_LEVEL_INFO) view.bar_fd = -1;
  return dt_terminal_create(&view, &r->terminal);
}

/* A closed standard stream would lend its number to the next file opened, and lines for the terminal would end up in the
 * metrics. Opened for reading only, it still fails when written, which the log then says. */
static dt_status reserve_standard_streams(void) {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
    if (fcntl(fd, F_GETFD) >= 0) continue;
    DT_REQUIRE(open("/dev/null", O_RDONLY) == fd, DT_IO, "/dev/null: could not take the place of a closed standard stream");
  }
  return DT_OK;
}

dt_status dt_record_open(const dt_spec *spec, const dt_goals *goals, int rank, bool resume, const dt_output *output,
                         dt_record **out) {
  dt_record *r;
  *out = NULL;
  DT_TRY(reserve_standard_streams());
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  *r = (dt_record){.spec = spec,
                   .goals = goals,
                   .best = dt_goals_find(goals, dt_spec_best(spec)),
                   .output = *output,
                   .rank = rank,
                   .resume = resume,
                   .dir_fd = -1,
                   .lock_fd = -1,
                   .log_fd = -1,
                   .earlier_dir_fd = -1,
                   .earlier_lock_fd = -1,
                   .metrics_fd = -1,
                   .timing_fd = -1,
                   .rate = -1};
  pthread_mutex_init(&r->mutex, NULL);
  dt_status status = open_files(r);
  if (status != DT_OK) dt_record_close(&r);
  *out = r;
  return status;
}

const char *dt_record_work(const dt_record *record) {
  return record->work;
}

dt_status dt_record_take_place(dt_record *record) {
  return dt_folder_take_place(record);
}

void dt_record_stand(dt_record *record) {
  dt_folder_stand(record);
  if (record->set_aside[0] != '\0')
    dt_record_log(record, "%s held an earlier run, which is now %s", record->dir, record->set_aside);
}

dt_status dt_record_truncate(dt_record *record, int64_t samples_seen) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(dt_lines_truncate(record, record->metrics_fd, dt_metrics_file, samples_seen, dt_record_keep_line));
  return dt_lines_truncate(record, record->timing_fd, dt_timing_file, samples_seen, NULL);
}

const char *dt_record_dir(const dt_record *record) {
  return record->dir;
}

void dt_record_close(dt_record **record) {
  dt_record *r = *record;
  if (r == NULL) return;
  dt_terminal_destroy(&r->terminal);
  json_decref(r->run);
  json_decref(r->final_training);
  json_decref(r->final_evaluation);
  json_decref(r->best_evaluation);
  const int fds[] = {r->timing_fd, r->metrics_fd, r->log_fd};
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0) close(fds[i]);
  dt_folder_close(r);
  pthread_mutex_destroy(&r->mutex);
  free(r);
  *record = NULL;
}

/* ---- lines ---- */

/* A full disk must not silence the terminal, nor the terminal the log: failures end here. */
static void log_line(dt_record *r, const char *text) {
  char when[DT_TIME_TEXT];
  dprintf(r->log_fd, "%s  %s\n", dt_time_text(when), text);
}

static void log_failure_once(dt_record *r) {
  char text[256];
  int failure = dt_terminal_failure(r->terminal);
  if (failure == 0 || r->failure_said) return;
  r->failure_said = true;
  snprintf(text, sizeof text, "standard output cannot be written: %s; the run goes on without it", strerror(failure));
  log_line(r, text);
}

static void say_text(dt_record *r, dt_level level, const char *text) {
  pthread_mutex_lock(&r->mutex);
  log_line(r, text);
  const bool heard = r->rank == 0 && level <= r->output.most;
  if (heard && r->output.log != NULL) r->output.log(r->output.context, level, text);
  if (heard && r->terminal != NULL) {
    dt_terminal_line(r->terminal, text);
    log_failure_once(r);
  }
  pthread_mutex_unlock(&r->mutex);
}

static void say_args(dt_record *r, dt_level level, const char *prefix, const char *format, va_list args)
    __attribute__((format(printf, 4, 0)));
static void say_args(dt_record *r, dt_level level, const char *prefix, const char *format, va_list args) {
  char text[DT_LINE_TEXT];
  if (r == NULL) return;
  int at = snprintf(text, sizeof text, "%s", prefix);
  vsnprintf(text + at, sizeof text - (size_t)at, format, args);
  say_text(r, level, text);
}

void dt_record_log(dt_record *record, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say_args(record, DT_LEVEL_INFO, "", format, args);
  va_end(args);
}

void dt_record_warn(dt_record *record, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say_args(record, DT_LEVEL_WARNING, "warning: ", format, args);
  va_end(args);
}

void dt_record_log_quietly(dt_record *record, const char *format, ...) {
  va_list args;
  va_start(args, format);
  say_args(record, DT_LEVEL_DETAIL, "", format, args);
  va_end(args);
}

/* ---- numbers ---- */

json_t *dt_json_real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

/* Takes the object. */
static dt_status write_line(int fd, const char *file, json_t *object) {
  dt_status status = dt_lines_write(fd, file, object);
  json_decref(object);
  return status;
}

static void keep(json_t **place, const json_t *line) {
  json_decref(*place);
  *place = json_copy((json_t *)line);
  json_object_del(*place, "kind");
}

static bool is_better(const dt_record *r, const json_t *line, const json_t *than) {
  const dt_measure *m = &r->goals->measure[r->best];
  const json_t *value = json_object_get(line, m->name), *other = json_object_get(than, m->name);
  if (!json_is_number(value)) return false;
  return !json_is_number(other) || dt_measure_is_better(m, json_number_value(value), json_number_value(other), 0);
}

void dt_record_keep_line(dt_record *record, const json_t *line) {
  const char *kind = json_string_value(json_object_get(line, "kind"));
  if (kind == NULL) return;
  if (strcmp(kind, "epoch") == 0) keep(&record->final_training, line);
  if (strcmp(kind, "eval") != 0) return;
  keep(&record->final_evaluation, line);
  if (is_better(record, line, record->best_evaluation)) keep(&record->best_evaluation, line);
}

static void add_values(const dt_record *r, const double *value, json_t *line) {
  for (int i = 0; i < r->goals->measure_count; i++) {
    const dt_measure *m = &r->goals->measure[i];
    if (dt_measure_is_told(m, value[i])) json_object_set_new(line, m->name, dt_json_real(value[i]));
  }
}

static void add_counts(const dt_record *r, const int64_t *count, json_t *line) {
  for (int i = 0; i < r->goals->measure_count; i++) {
    const dt_measure *m = &r->goals->measure[i];
    if (m->counts != NULL) json_object_set_new(line, m->counts, json_integer((json_int_t)count[i]));
  }
}

static dt_status write_step_metrics(const dt_record *r, const dt_record_step *s) {
  json_t *line = json_pack("{s:s, s:I, s:I, s:I}", "kind", "train", "samples_seen", (json_int_t)s->samples_seen, "step",
                           (json_int_t)s->step, "epoch", (json_int_t)s->epoch);
  add_values(r, s->value, line);
  for (int i = 0; i < s->hyper_count; i++) json_object_set_new(line, s->hyper_name[i], dt_json_real(s->hyper[i]));
  if (s->penalised) json_object_set_new(line, "penalty", dt_json_real(s->penalty));
  json_object_set_new(line, "grad_norm", dt_json_real(s->grad_norm));
  return write_line(r->metrics_fd, dt_metrics_file, line);
}

static json_t *spread_object(const dt_spread *spread) {
  return json_pack("{s:o, s:o, s:o}", "min", dt_json_real(spread->min), "median", dt_json_real(spread->median), "max",
                   dt_json_real(spread->max));
}

json_t *dt_json_ranks(const dt_ranks_timing *timing) {
  return json_pack("{s:o, s:o, s:o, s:i}", "step", spread_object(&timing->step), "data_wait", spread_object(&timing->data_wait),
                   "exposed_communication", spread_object(&timing->exposed_communication), "slowest", timing->slowest);
}

static dt_status write_step_timing(const dt_record *r, const dt_record_step *s) {
  return write_line(
      r->timing_fd, dt_timing_file,
      json_pack("{s:s, s:I, s:I, s:o, s:o, s:o, s:o}", "kind", "train", "samples_seen", (json_int_t)s->samples_seen, "step",
                (json_int_t)s->step, "samples_per_second", dt_json_real(s->samples_per_second), "data_wait",
                dt_json_real(s->data_wait), "exposed_communication", dt_json_real(s->exposed_communication), "ranks",
                dt_json_ranks(&s->timing)));
}

static dt_progress make_progress(dt_record *r, const dt_record_step *s) {
  if (isfinite(s->samples_per_second) && s->samples_per_second > 0)
    r->rate = r->rate < 0 ? s->samples_per_second : r->rate + rate_weight * (s->samples_per_second - r->rate);
  dt_progress progress = {
      .samples_seen = s->samples_seen,
      .total_samples = s->total_samples,
      .epoch = s->epoch,
      .samples_per_second = s->samples_per_second,
      .eta_seconds = r->rate > 0 ? fmax(0, (double)(s->total_samples - s->samples_seen)) / r->rate : -1,
  };
  dt_goals loss = *r->goals, others = *r->goals;
  loss.measure_count = 1;
  others.measure[0].record_only = true;
  dt_measures_text(&loss, s->value, NULL, 0, "  ", progress.loss, sizeof progress.loss);
  dt_measures_text(&others, s->value, NULL, 0, "  ", progress.metrics, sizeof progress.metrics);
  return progress;
}

static void print_step(const dt_record *r, const dt_record_step *s, const dt_progress *p, char text[512]) {
  char rate[DT_SHORT_TEXT], eta[DT_SHORT_TEXT], values[256];
  double percent = s->total_samples > 0 ? fmin(100, 100.0 * (double)s->samples_seen / (double)s->total_samples) : 0;
  snprintf(text, 512, "step %-7" PRId64 " %5.1f%%  epoch %" PRId64 "  %s  lr %.4g  %s samples/s  ETA %s", s->step, percent,
           s->epoch, dt_measures_text(r->goals, s->value, NULL, 0, "  ", values, sizeof values), s->hyper[0],
           dt_rate_text(p->samples_per_second, rate), dt_seconds_text(p->eta_seconds, eta));
}

/* A step moves the bar where there is one and is a line elsewhere; the log has the line in both cases. */
static void show_step(dt_record *r, const dt_record_step *step) {
  char text[512];
  dt_progress progress = make_progress(r, step);
  print_step(r, step, &progress, text);
  bool bar = r->terminal != NULL && dt_terminal_has_bar(r->terminal);
  if (step->line || r->output.most == DT_LEVEL_DETAIL) say_text(r, bar ? DT_LEVEL_DETAIL : DT_LEVEL_INFO, text);
  if (!bar) return;
  pthread_mutex_lock(&r->mutex);
  dt_terminal_progress(r->terminal, &progress);
  log_failure_once(r);
  pthread_mutex_unlock(&r->mutex);
}

dt_status dt_record_write_step(dt_record *record, const dt_record_step *step) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(write_step_metrics(record, step));
  DT_TRY(write_step_timing(record, step));
  show_step(record, step);
  return DT_OK;
}

/* A line of metrics about many samples: an epoch's or an evaluation's. */
static dt_status write_sums(dt_record *r, const char *kind, const dt_record_sums *sums) {
  json_t *line = json_pack("{s:s, s:I, s:I, s:I, s:I}", "kind", kind, "samples_seen", (json_int_t)sums->samples_seen, "step",
                           (json_int_t)sums->step, "epoch", (json_int_t)sums->epoch, "samples", (json_int_t)sums->of.samples);
  add_counts(r, sums->of.count, line);
  add_values(r, sums->of.value, line);
  dt_record_keep_line(r, line);
  return write_line(r->metrics_fd, dt_metrics_file, line);
}

static dt_status write_seconds(const dt_record *r, const char *kind, const dt_record_sums *sums) {
  return write_line(r->timing_fd, dt_timing_file,
                    json_pack("{s:s, s:I, s:I, s:o}", "kind", kind, "samples_seen", (json_int_t)sums->samples_seen, "step",
                              (json_int_t)sums->step, "seconds", dt_json_real(sums->seconds)));
}

dt_status dt_record_write_epoch(dt_record *record, const dt_record_sums *epoch) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(write_sums(record, "epoch", epoch));
  DT_TRY(write_seconds(record, "epoch", epoch));
  record->epoch = *epoch;
  return DT_OK;
}

dt_status dt_record_write_eval(dt_record *record, const dt_record_sums *eval) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(write_sums(record, "eval", eval));
  DT_TRY(write_seconds(record, "eval", eval));
  record->eval = *eval;
  return DT_OK;
}

void dt_record_tell(dt_record *r) {
  const dt_record_sums *epoch = &r->epoch, *eval = &r->eval;
  char text[512], values[256];
  int at = 0;
  if (epoch->step == 0 && eval->step == 0) return;
  if (epoch->step > 0) {
    at = snprintf(text, sizeof text, "epoch %-3" PRId64 " train %s", epoch->epoch,
                  dt_measures_text(r->goals, epoch->of.value, NULL, 0, " ", values, sizeof values));
  } else {
    at = snprintf(text, sizeof text, "epoch %-3" PRId64 " step %-7" PRId64, eval->epoch, eval->step);
  }
  if (eval->step > 0) {
    at += snprintf(text + at, sizeof text - (size_t)at, "  test %s",
                   dt_measures_text(r->goals, eval->of.value, eval->of.count, eval->of.samples, " ", values, sizeof values));
  }
  snprintf(text + at, sizeof text - (size_t)at, "  %.1f s", epoch->step > 0 ? epoch->seconds : eval->seconds);
  r->epoch = r->eval = (dt_record_sums){0};
  say_text(r, DT_LEVEL_INFO, text);
}
