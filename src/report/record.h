/* What a run leaves behind, and what the terminal shows. docs/run.md tells every field.
 *
 * config.yaml     as resolved
 * run.json        command, versions, hardware, hashes, seed, memory of a gpu, when it began and how it ended
 * best            a link to the checkpoint of the best evaluation
 * confusion.csv   the confusion matrix of the last evaluation, where that is measured
 * metrics.jsonl   the trajectory, one JSON object a line: the same bytes for any rank and thread count (reduce: ordered)
 * timing.jsonl    what the clock says of the same steps: samples per second, waits
 * log.<rank>.txt  every line said or noted, with its time
 * plans.txt       on a gpu: the library engine and workspace of each instruction that is left to a library
 * lock            held by the running job; says which one */
#ifndef DT_REPORT_RECORD_H
#define DT_REPORT_RECORD_H

#include <stdarg.h>

#include "core/config/spec.h"
#include "core/field.h"
#include "core/memory.h"
#include "core/output.h"
#include "core/program/goals.h"

typedef struct dt_record dt_record;

/* One figure over all ranks. */
typedef struct dt_spread {
  double min, median, max;
} dt_spread;

/* What the clocks of all ranks say, in seconds: per step, or of a whole run. */
typedef struct dt_ranks_timing {
  int ranks, slowest; /* the rank with the most work of its own: time in steps less what it waited for the sums of others */
  dt_spread step, data_wait, exposed_communication, own;
} dt_ranks_timing;

typedef struct dt_record_step {
  int64_t step, samples_seen, total_samples, epoch;
  double value[DT_MEASURES_MAX]; /* by measure, of the batch */
  const char *const *hyper_name; /* of the optimizer's hyper-parameters, the learning rate first, and their values */
  const double *hyper;
  int hyper_count;
  double grad_norm;
  bool penalised; /* there is a penalty to tell of */
  double penalty;
  double samples_per_second;
  /* Of rank 0, seconds per step since the last line: dt_step_result's data_wait and reduce_wait. */
  double data_wait, exposed_communication;
  dt_ranks_timing timing; /* per step since the last line */
  bool line;              /* a line of text is due too */
} dt_record_step;

/* What an epoch of training or an evaluation came to. */
typedef struct dt_record_sums {
  int64_t step, samples_seen, epoch;
  dt_evaluation of; /* over the samples; in training, of each as it was trained on */
  double seconds;   /* of the epoch: since it, or this process, began to train */
} dt_record_sums;

/* Where the time of this process went, on rank 0. */
typedef struct dt_record_seconds {
  double wall; /* from the first look at the config's data to the end */
  double training, evaluation, checkpoints;
  double data_wait, exposed_communication; /* within training */
} dt_record_seconds;

typedef struct dt_record_end {
  const char *outcome; /* docs/run.md lists them */
  dt_status status;
  const char *text; /* of the error; may be NULL */
  dt_record_seconds seconds;
  dt_ranks_timing timing; /* of the whole run; ranks 0 = not known, since the run failed */
} dt_record_end;

typedef struct dt_record_facts {                    /* run.json */
  const char *device_name, *kernels, *math_library; /* as in dt_device */
  uint64_t program_hash, train_hash, eval_hash;
  int64_t parameters;
  int ranks, threads, local_ranks, shards;
  int buckets; /* in which gradients are exchanged, and the bytes of one */
  int64_t bucket_bytes;
  const char *train_source, *eval_source;
  const dt_fields *train_fields, *eval_fields; /* NULL = none */
  const char *command;
  const char *devices;                    /* a line a rank: the hardware each works on; NULL where ranks share the host */
  const char *plans;                      /* plans.txt; NULL for none */
  const char *mpi_library, *yaml_library; /* versions as the libraries state them, NULL when not known */
  const char *reducer_library;            /* that reduces besides MPI, with its version; NULL: none */
} dt_record_facts;

/* Rank 0 takes the lock of <output>/<name>/ (DT_IO naming the holder when another job has it). With resume it opens the run
 * there. Else it begins a new one, beside an earlier one if there is one, until dt_record_take_place; closing the record before
 * dt_record_stand removes what was begun and puts the earlier run back. Other ranks open only their log, once the run is in its
 * place. Not collective. DT_IO. */
dt_status dt_record_open(const dt_spec *spec, const dt_goals *goals, int rank, bool resume, const dt_output *output,
                         dt_record **out);
/* The folder that the run's files are in now: dt_record_dir once it is in its place. */
const char *dt_record_work(const dt_record *record);
/* The run has a checkpoint and gets its own name; sets an earlier run aside as <name>.1, .2, .... Rank 0. DT_IO. */
dt_status dt_record_take_place(dt_record *record);
/* Every rank is ready: what was begun stays. Rank 0. */
void dt_record_stand(dt_record *record);
/* Cuts metrics.jsonl and timing.jsonl back to the lines that a checkpoint at samples_seen knows of. Rank 0. DT_IO. */
dt_status dt_record_truncate(dt_record *record, int64_t samples_seen);
const char *dt_record_dir(const dt_record *record);
dt_status dt_record_start(dt_record *record, const dt_config *config, const dt_record_facts *facts);
/* On devices that tell what is free: run.json's `device_memory`, on rank 0; and once the run has ended, on every rank, a line
 * in its log. DT_IO. */
dt_status dt_record_memory(dt_record *record, const dt_memory *planned, const dt_memory_seen *seen);
dt_status dt_record_write_step(dt_record *record, const dt_record_step *step); /* and the terminal. DT_IO. */
dt_status dt_record_write_epoch(dt_record *record, const dt_record_sums *epoch);
dt_status dt_record_write_eval(dt_record *record, const dt_record_sums *eval);
/* Writes a confusion matrix, [classes][classes] counts, to <measure's name>.csv. Rank 0. DT_IO. */
dt_status dt_record_write_matrix(dt_record *record, const dt_measure *measure, const int64_t *count);
/* Has the link `best` lead to a checkpoint of the run, by the name of its folder. Rank 0. DT_IO. */
dt_status dt_record_link_best(dt_record *record, const char *checkpoint);
/* Says the epoch and the evaluation that were written since the last call, in one line. */
void dt_record_tell(dt_record *record);
/* Lines for the log and, on rank 0, for whoever listens (above a progress bar): what happens, what the user should look at, and
 * what is only for the log. record may be NULL: nothing is said. */
void dt_record_log(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dt_record_warn(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
void dt_record_log_quietly(dt_record *record, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Says in up to three lines where the time went, which rank was the slowest, and what the best evaluation was. */
void dt_record_summary(dt_record *record, const dt_record_end *end);
/* run.json's end. DT_IO. */
dt_status dt_record_finish(dt_record *record, const dt_record_end *end);
/* How the run in a folder ended, as its run.json says: "finished", "running" (or killed); "" where there is no such run. */
enum { DT_OUTCOME_TEXT = 32 };
void dt_record_outcome(const char *dir, char text[DT_OUTCOME_TEXT]);
void dt_record_close(dt_record **record);

#endif
