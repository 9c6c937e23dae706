/* What happens between steps: one table of hooks, each with a due and a run. Every rank runs the same hooks at the same step.
 * Before a hook runs every step has ended, but for the one of metrics' lines: a line is made when its step's outcome is known,
 * so that it holds up no device that has the next step already. */
#ifndef DT_TRAIN_HOOKS_H
#define DT_TRAIN_HOOKS_H

#include <limits.h>

#include "core/clock.h"
#include "train/job.h"
#include "train/steps.h"
#include "train/timing.h"
#include "train/trainer.h"

/* A line of metrics whose step was made: what later steps change. */
typedef struct dt_due_line {
  bool due;
  int64_t step, samples_seen, samples_before; /* of dt_steps */
  int64_t trained_samples;                    /* of dt_trainer */
  double hyper[DT_HYPER_MAX];
} dt_due_line;

typedef struct dt_trainer {
  dt_job *job;
  const dt_train_options *options;
  dt_train_result *result;
  dt_record *record;
  dt_steps steps;
  char checkpoint_dir[PATH_MAX];
  int64_t first_step; /* steps that earlier processes have made */
  dt_watch watch[DT_WATCH_COUNT];
  dt_epoch_sums epoch;   /* of the steps of this epoch whose outcome is known */
  double epoch_began_at; /* or when this process began to train */
  dt_status failed;      /* of this rank alone, between steps: the next step's flags tell the others */
  bool ending, target_reached, stopped_early;
  bool improved;         /* the evaluation of this state is the best so far: its checkpoint is kept besides */
  bool evaluation_due;   /* a signal called off the evaluation of this state */
  int64_t saved_samples; /* samples seen by the last checkpoint */
  double saved_at;       /* when it was written, in seconds of the monotonic clock */
  bool engines_told;     /* what libraries do slowly */
  dt_due_line line;
  double resumed_at;                     /* when the steps went on after the last hooks */
  double lap_at;                         /* when the last metrics line was written, hooks left out */
  int64_t lap_samples, lap_step;         /* trained on by then; the step */
  double lap_data_wait, lap_reduce_wait; /* since then, of steps whose outcome is known */
  double line_at;                        /* when the last line of text was due, and what had been trained by then */
  int64_t line_step, line_samples;
  double train_seconds; /* in steps, hooks left out */
  int64_t trained_samples;
  dt_timing timing;
  double started_at, data_wait, reduce_wait, evaluation_seconds, checkpoint_seconds; /* of this process */
} dt_trainer;

typedef struct dt_hook {
  const char *name;
  bool (*due)(const dt_trainer *t);
  dt_status (*run)(dt_trainer *t);
  bool early; /* runs though steps are on their way */
} dt_hook;

extern const dt_hook dt_hooks[]; /* in the order they run; name NULL ends */

/* Runs what is due after a step. Collective. */
dt_status dt_hooks_run(dt_trainer *t);
/* The outcome of a step has come, and all is well: writes its line of metrics, if one is due. Collective. */
dt_status dt_trainer_write_line(dt_trainer *t, int64_t step);
/* Evaluates the state as it is; a signal calls it off, and t->evaluation_due says so. Collective. */
dt_status dt_trainer_evaluate(dt_trainer *t);
/* The measure that a watch is for, by the config; and whether what it has seen ends the training. */
int dt_trainer_watched(const dt_trainer *t, dt_watched watch);
void dt_trainer_look(dt_trainer *t);
/* Begins the sums of an epoch. */
void dt_trainer_begin_epoch(dt_trainer *t);
/* Saves a checkpoint of the state as it is, unless this very state is saved already. Collective. */
dt_status dt_trainer_save(dt_trainer *t);
/* resume.c: takes the state of the run's newest checkpoint, unless config or data would train something else. Changes nothing
 * on disk. Collective. */
dt_status dt_trainer_restore(dt_trainer *t);
/* Makes an evaluation that a signal called off where the run stopped, as if the run had not stopped. Collective. */
dt_status dt_trainer_catch_up(dt_trainer *t);
enum { DT_FINGERPRINT = 256 };
/* What the bits of a run depend on besides config and data; kept in checkpoints. text holds DT_FINGERPRINT bytes. */
void dt_trainer_fingerprint(const dt_job *job, char *text);

#endif
