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

#include "core/clock.h"
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
  dt_terminal_view view = dt_terminal_detect();
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

dt_status dt_record_open(const dt_spec *spec, int rank, bool resume, dt_record **out) {
  dt_record *r;
  *out = NULL;
  DT_TRY(reserve_standard_streams());
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  *r = (dt_record){.spec = spec,
                   .rank = rank,
                   .resume = resume,
                   .dir_fd = -1,
                   .lock_fd = -1,
                   .log_fd = -1,
                   .metrics_fd = -1,
                   .timing_fd = -1,
                   .rate = -1};
  pthread_mutex_init(&r->mutex, NULL);
  dt_status status = open_files(r);
  if (status != DT_OK) dt_record_close(&r);
  *out = r;
  if (status == DT_OK && r->set_aside[0] != '\0')
    dt_record_say(r, "%s held an earlier run, which is now %s", r->dir, r->set_aside);
  return status;
}

dt_status dt_record_truncate(dt_record *record, int64_t samples_seen) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(dt_lines_truncate(record->metrics_fd, dt_metrics_file, samples_seen));
  return dt_lines_truncate(record->timing_fd, dt_timing_file, samples_seen);
}

const char *dt_record_dir(const dt_record *record) {
  return record->dir;
}

void dt_record_close(dt_record **record) {
  dt_record *r = *record;
  if (r == NULL) return;
  dt_terminal_destroy(&r->terminal);
  json_decref(r->run);
  const int fds[] = {r->timing_fd, r->metrics_fd, r->log_fd, r->lock_fd, r->dir_fd};
  for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
    if (fds[i] >= 0) close(fds[i]);
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

static void say_failure_once(dt_record *r) {
  char text[256];
  int failure = dt_terminal_failure(r->terminal);
  if (failure == 0 || r->failure_said) return;
  r->failure_said = true;
  snprintf(text, sizeof text, "standard output cannot be written: %s; the run goes on without it", strerror(failure));
  log_line(r, text);
}

static void say_text(dt_record *r, const char *text, bool to_terminal) {
  pthread_mutex_lock(&r->mutex);
  log_line(r, text);
  if (to_terminal && r->terminal != NULL) {
    dt_terminal_line(r->terminal, text);
    say_failure_once(r);
  }
  pthread_mutex_unlock(&r->mutex);
}

void dt_record_say(dt_record *record, const char *format, ...) {
  char text[DT_LINE_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  say_text(record, text, true);
}

void dt_record_note(dt_record *record, const char *format, ...) {
  char text[DT_LINE_TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  say_text(record, text, false);
}

/* ---- numbers ---- */

/* JSON has no NaN and no infinity: null says that there was a number, and that it was none. */
static json_t *real(double value) {
  return isfinite(value) ? json_real(value) : json_null();
}

static dt_status write_step_metrics(const dt_record *r, const dt_record_step *s) {
  return dt_lines_write(
      r->metrics_fd, dt_metrics_file,
      json_pack("{s:s, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "kind", "train", "samples_seen", (json_int_t)s->samples_seen,
                "step", (json_int_t)s->step, "epoch", (json_int_t)s->epoch, "loss", real(s->loss), "accuracy",
                real(s->accuracy), "lr", real(s->lr), "momentum", real(s->momentum), "grad_norm", real(s->grad_norm)));
}

static dt_status write_step_timing(const dt_record *r, const dt_record_step *s) {
  return dt_lines_write(
      r->timing_fd, dt_timing_file,
      json_pack("{s:s, s:I, s:I, s:o, s:o, s:o}", "kind", "train", "samples_seen", (json_int_t)s->samples_seen, "step",
                (json_int_t)s->step, "samples_per_second", real(s->samples_per_second), "data_wait", real(s->data_wait),
                "exposed_communication", real(s->exposed_communication)));
}

static dt_progress make_progress(dt_record *r, const dt_record_step *s) {
  if (isfinite(s->samples_per_second) && s->samples_per_second > 0)
    r->rate = r->rate < 0 ? s->samples_per_second : r->rate + rate_weight * (s->samples_per_second - r->rate);
  return (dt_progress){
      .samples_seen = s->samples_seen,
      .total_samples = s->total_samples,
      .epoch = s->epoch,
      .loss = s->loss,
      .accuracy = s->accuracy,
      .samples_per_second = s->samples_per_second,
      .eta_seconds = r->rate > 0 ? fmax(0, (double)(s->total_samples - s->samples_seen)) / r->rate : -1,
  };
}

static void print_step(const dt_record_step *s, const dt_progress *p, char text[512]) {
  char rate[DT_SHORT_TEXT], eta[DT_SHORT_TEXT];
  double percent = s->total_samples > 0 ? fmin(100, 100.0 * (double)s->samples_seen / (double)s->total_samples) : 0;
  snprintf(text, 512, "step %-7" PRId64 " %5.1f%%  epoch %" PRId64 "  loss %.4f  acc %.2f%%  lr %.4g  %s samples/s  ETA %s",
           s->step, percent, s->epoch, s->loss, 100 * s->accuracy, s->lr, dt_rate_text(p->samples_per_second, rate),
           dt_seconds_text(p->eta_seconds, eta));
}

/* Text is for people: the last step, and before it one line in so many seconds. metrics.jsonl has every one. */
static bool line_due(dt_record *r, const dt_record_step *step) {
  static const double line_seconds = 2;
  double now = dt_clock_seconds();
  if (now - r->line_at < line_seconds && step->samples_seen < step->total_samples) return false;
  r->line_at = now;
  return true;
}

/* A step moves the bar where there is one and is a line elsewhere; the log has it in both cases. */
static void show_step(dt_record *r, const dt_record_step *step) {
  char text[512];
  dt_progress progress = make_progress(r, step);
  print_step(step, &progress, text);
  bool bar = dt_terminal_has_bar(r->terminal);
  if (line_due(r, step)) say_text(r, text, !bar);
  if (!bar) return;
  pthread_mutex_lock(&r->mutex);
  dt_terminal_progress(r->terminal, &progress);
  say_failure_once(r);
  pthread_mutex_unlock(&r->mutex);
}

dt_status dt_record_write_step(dt_record *record, const dt_record_step *step) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(write_step_metrics(record, step));
  DT_TRY(write_step_timing(record, step));
  show_step(record, step);
  return DT_OK;
}

static dt_status write_eval_metrics(const dt_record *r, const dt_record_eval *e) {
  return dt_lines_write(
      r->metrics_fd, dt_metrics_file,
      json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "kind", "eval", "samples_seen", (json_int_t)e->samples_seen, "step",
                (json_int_t)e->step, "epoch", (json_int_t)e->epoch, "samples", (json_int_t)e->samples, "correct",
                (json_int_t)e->correct, "loss", real(e->loss), "accuracy", real(e->accuracy)));
}

static dt_status write_eval_timing(const dt_record *r, const dt_record_eval *e) {
  return dt_lines_write(r->timing_fd, dt_timing_file,
                        json_pack("{s:s, s:I, s:I, s:o}", "kind", "eval", "samples_seen", (json_int_t)e->samples_seen, "step",
                                  (json_int_t)e->step, "seconds", real(e->seconds)));
}

dt_status dt_record_write_eval(dt_record *record, const dt_record_eval *eval) {
  if (record->rank != 0) return DT_OK;
  DT_TRY(write_eval_metrics(record, eval));
  DT_TRY(write_eval_timing(record, eval));
  dt_record_say(record,
                "epoch %-3" PRId64 " step %-7" PRId64 " test loss %.4f  accuracy %.2f%% (%" PRId64 " of %" PRId64 ")  %.1f s",
                eval->epoch, eval->step, eval->loss, 100 * eval->accuracy, eval->correct, eval->samples, eval->seconds);
  return DT_OK;
}
