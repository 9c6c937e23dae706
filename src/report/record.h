/* What a run leaves behind: config.yaml, run.json, metrics.jsonl, log.<rank>.txt; and what the terminal shows. */
#ifndef DT_REPORT_RECORD_H
#define DT_REPORT_RECORD_H

#include <stdarg.h>

#include "comm/comm.h"
#include "core/spec.h"

typedef struct dt_record dt_record;

typedef struct dt_record_step {
  int64_t step, samples_seen, total_samples, epoch;
  double loss, accuracy; /* of the batch */
  double lr, momentum, grad_norm;
  double samples_per_second, data_wait, exposed_communication; /* seconds per step since the last line */
} dt_record_step;

typedef struct dt_record_eval {
  int64_t step, samples_seen, epoch;
  int64_t samples, correct;
  double loss, accuracy, seconds;
} dt_record_eval;

typedef struct dt_record_facts { /* run.json */
  const char *device_name;
  uint64_t program_hash, train_hash, eval_hash;
  int64_t param_elements;
  int ranks, threads, local_ranks, shards;
  const char *train_source, *eval_source;
  const char *command;
} dt_record_facts;

/* Creates <output>/<name>/ with the lock, truncates metrics.jsonl to samples_seen on resume. Rank 0 writes the shared files,
 * every rank its log. Not collective. DT_IO. */
dt_status dt_record_open(const dt_spec *spec, int rank, int64_t samples_seen, bool resume, dt_record **out);
const char *dt_record_dir(const dt_record *record);
dt_status dt_record_start(dt_record *record, const dt_config *config, const dt_record_facts *facts);
dt_status dt_record_write_step(dt_record *record, const dt_record_step *step); /* metrics.jsonl, and the terminal */
dt_status dt_record_write_eval(dt_record *record, const dt_record_eval *eval);
/* A line for the log and, on rank 0, for the terminal (above the progress bar). */
void dt_record_say(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line for the log only. */
void dt_record_note(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of run.json's end: how it ended. */
dt_status dt_record_finish(dt_record *record, dt_status how, const char *text);
void dt_record_close(dt_record **record);

#endif
