/* What the files of the record share; see report/record.h for the contract. */
#ifndef DT_REPORT_RECORD_PARTS_H
#define DT_REPORT_RECORD_PARTS_H

#include <jansson.h>
#include <limits.h>
#include <pthread.h>

#include "report/record.h"
#include "report/terminal.h"

enum { DT_TIME_TEXT = 40, DT_LINE_TEXT = 8192 };

struct dt_record {
  const dt_spec *spec;
  int rank;
  bool resume;
  char dir[PATH_MAX];
  char set_aside[PATH_MAX]; /* where the earlier run went, "" when there was none */
  int dir_fd, lock_fd, log_fd;
  int metrics_fd, timing_fd; /* -1 on other ranks than 0 */
  pthread_mutex_t mutex;     /* log and terminal */
  bool failure_said;         /* the terminal's failure stands in the log */
  dt_terminal *terminal;     /* NULL on other ranks than 0 */
  double rate;               /* samples per second, smoothed for the ETA */
  double line_at;            /* when the last line about a step was written */
  json_t *run;               /* run.json, NULL before dt_record_start */
};

/* "2026-11-21T02:04:59.123Z" of now. */
const char *dt_time_text(char text[DT_TIME_TEXT]);

/* record_folder.c: the run's folder, its lock, and what becomes of an earlier run in it. Fills dir, dir_fd, lock_fd, set_aside.
 */
dt_status dt_folder_open(dt_record *record);

/* record_lines.c: files of one JSON object a line, each with samples_seen. */
dt_status dt_lines_open(dt_record *record, const char *file, int *out_fd);
/* Writes one line and takes the object. */
dt_status dt_lines_write(int fd, const char *file, json_t *object);
/* Cuts off at the first line that is broken or later than samples_seen. */
dt_status dt_lines_truncate(int fd, const char *file, int64_t samples_seen);

extern const char dt_metrics_file[], dt_timing_file[], dt_run_file[], dt_lock_file[];

#endif
