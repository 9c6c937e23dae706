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
  const dt_goals *goals;
  int best; /* the measure by which an evaluation is the best */
  dt_output output;
  int rank;
  bool resume;
  char dir[PATH_MAX];       /* the run's own folder */
  char work[PATH_MAX];      /* where its files are: another one until the run stands, if dir holds an earlier run */
  char set_aside[PATH_MAX]; /* where the earlier run went, "" when there was none */
  bool made, displaced;     /* the folder was made by this start; it has the place of an earlier run */
  bool standing;            /* what is in it stays */
  int dir_fd, lock_fd, log_fd;
  int earlier_dir_fd, earlier_lock_fd; /* of the earlier run until the new one stands, -1 = none */
  int metrics_fd, timing_fd;           /* -1 on other ranks than 0 */
  pthread_mutex_t mutex;               /* log, terminal and callback */
  bool failure_said;                   /* the terminal's failure stands in the log */
  dt_terminal *terminal;               /* NULL on other ranks than 0, and where nothing is to be printed */
  double rate;                         /* samples per second, smoothed for the ETA */
  dt_record_sums epoch, eval;          /* written and not told yet, step 0 = none */
  json_t *run;                         /* run.json, NULL before dt_record_start */
  json_t *final_training, *final_evaluation, *best_evaluation; /* lines of metrics.jsonl, NULL = none */
};

/* Text from outside as JSON, null for NULL: what is not UTF-8 in it is escaped (core/text.h). Returns new. */
json_t *dt_json_text(const char *text);
json_t *dt_json_text_of(const char *text, size_t bytes);

/* "2026-11-21T02:04:59.123Z" of now. */
const char *dt_time_text(char text[DT_TIME_TEXT]);

/* record_folder.c: the run's folder, its lock, and what becomes of an earlier run in it. */
dt_status dt_folder_open(dt_record *record);
dt_status dt_folder_take_place(dt_record *record);
void dt_folder_stand(dt_record *record);
void dt_folder_close(dt_record *record);

/* record_lines.c: files of one JSON object a line, each with samples_seen. */
dt_status dt_lines_open(dt_record *record, const char *file, int *out_fd);
/* Writes one line; borrows the object. */
dt_status dt_lines_write(int fd, const char *file, const json_t *object);
/* Cuts off at the first line that is broken or later than samples_seen; `visit` gets those that stay, NULL = nobody. */
typedef void dt_line_visitor(dt_record *record, const json_t *line);
dt_status dt_lines_truncate(dt_record *record, int fd, const char *file, int64_t samples_seen, dt_line_visitor *visit);

/* JSON has no NaN and no infinity: null says that there was a number, and that it was none. */
json_t *dt_json_real(double value);
json_t *dt_json_ranks(const dt_ranks_timing *timing);
/* Keeps a line of metrics.jsonl where it belongs in run.json: the final or the best of its kind. */
void dt_record_keep_line(dt_record *record, const json_t *line);

extern const char dt_metrics_file[], dt_timing_file[], dt_run_file[], dt_lock_file[];

#endif
