/* What a run leaves behind, and what the terminal shows.
 *
 * config.yaml     as resolved
 * run.json        command, versions, hardware, hashes, seed, memory of a gpu, when it began and how it ended
 * metrics.jsonl   the trajectory, one JSON object a line: the same bytes for any rank and thread count (reduce: ordered)
 * timing.jsonl    what the clock says of the same steps: samples per second, waits
 * log.<rank>.txt  every line said or noted, with its time
 * plans.txt       on a gpu: the library engine and workspace of each instruction that is left to a library
 * lock            held by the running job; says which one */
#ifndef DT_REPORT_RECORD_H
#define DT_REPORT_RECORD_H

#include <stdarg.h>

#include "comm/comm.h"
#include "core/memory.h"
#include "core/spec.h"

typedef struct dt_record dt_record;

typedef struct dt_record_step {
  int64_t step, samples_seen, total_samples, epoch;
  double loss, accuracy; /* of the batch */
  double lr, momentum, grad_norm;
  double samples_per_second;
  /* Of rank 0, seconds per step since the last line: dt_outcome's data_wait and reduce_wait. */
  double data_wait, exposed_communication;
} dt_record_step;

typedef struct dt_record_eval {
  int64_t step, samples_seen, epoch;
  int64_t samples, correct;
  double loss, accuracy, seconds;
} dt_record_eval;

typedef struct dt_record_facts {                    /* run.json */
  const char *device_name, *kernels, *math_library; /* as in dt_device */
  uint64_t program_hash, train_hash, eval_hash;
  int64_t parameters;
  int ranks, threads, local_ranks, shards;
  const char *train_source, *eval_source;
  const char *command;
  const char *units;                      /* a line a rank: the hardware each works on; NULL where ranks share the host */
  const char *plans;                      /* plans.txt; NULL for none */
  const char *mpi_library, *yaml_library; /* versions as the libraries state them, NULL when not known */
  const char *reducer_library;            /* that reduces besides MPI, with its version; NULL: none */
} dt_record_facts;

/* Rank 0 takes the lock of <output>/<name>/ (DT_IO naming the holder when another job has it) and, without resume, sets an
 * existing run aside as <name>.1, .2, ... under that lock before it creates the folder anew; other ranks open only their log,
 * after rank 0. Not collective. DT_IO. */
dt_status dt_record_open(const dt_spec *spec, int rank, bool resume, dt_record **out);
/* Cuts metrics.jsonl and timing.jsonl back to the lines that a checkpoint at samples_seen knows of. Rank 0. DT_IO. */
dt_status dt_record_truncate(dt_record *record, int64_t samples_seen);
const char *dt_record_dir(const dt_record *record);
dt_status dt_record_start(dt_record *record, const dt_config *config, const dt_record_facts *facts);
/* On devices that tell what is free: run.json's `device_memory`, on rank 0; and once the run has ended, on every rank, a line
 * in its log. DT_IO. */
dt_status dt_record_memory(dt_record *record, const dt_memory *planned, const dt_memory_seen *seen);
dt_status dt_record_write_step(dt_record *record, const dt_record_step *step); /* and the terminal. DT_IO. */
dt_status dt_record_write_eval(dt_record *record, const dt_record_eval *eval);
/* A line for the log and, on rank 0, for the terminal (above the progress bar). */
void dt_record_say(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line for the log only. */
void dt_record_note(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A line of run.json's end: how it ended. */
dt_status dt_record_finish(dt_record *record, dt_status how, const char *text);
void dt_record_close(dt_record **record);

#endif
