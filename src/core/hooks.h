/* What happens between steps: one table of hooks, each with a due and a run. Every rank runs the same hooks at the same step.
 */
#ifndef DT_CORE_HOOKS_H
#define DT_CORE_HOOKS_H

#include <limits.h>

#include "core/clock.h"
#include "core/job.h"
#include "core/trainer.h"
#include "report/record.h"

typedef struct dt_trainer {
  dt_job *job;
  const dt_train_options *options;
  dt_train_result *result;
  dt_record *record;
  dt_loader *loader;
  char checkpoint_dir[PATH_MAX];
  int64_t samples_seen, samples_before; /* after and before the last step */
  int64_t step, first_step;
  int64_t batch_samples; /* of the last step */
  dt_outcome outcome;    /* of the last step whose outcome is known; dt_trainer_settle makes that the last one */
  struct {
    int64_t step, samples_before, samples;
  } flight[2]; /* steps started whose outcome is not known, oldest first */
  int in_flight;
  double momentum, weight_decay; /* as the optimizer is configured */
  double best_accuracy;          /* -1 before the first evaluation */
  dt_status failed;              /* of this rank alone, between steps: the next step's flags tell the others */
  bool ending, target_reached;
  bool evaluation_due;   /* a signal called off the evaluation of this state */
  int64_t saved_samples; /* samples seen by the last checkpoint */
  double saved_at;       /* when it was written, in seconds of the monotonic clock */
  double resumed_at;     /* when the steps went on after the last hooks */
  double lap_at;         /* when the last metrics line was written, hooks left out */
  int64_t lap_samples;
  double lap_data_wait, lap_reduce_wait; /* since then, of steps whose outcome is known */
  double train_seconds;                  /* in steps, hooks left out */
  int64_t trained_samples;
} dt_trainer;

typedef struct dt_hook {
  const char *name;
  bool (*due)(const dt_trainer *t);
  dt_status (*run)(dt_trainer *t);
} dt_hook;

extern const dt_hook dt_hooks[]; /* in the order they run; name NULL ends */

/* Waits for every step that was started, and checks what they came to. Collective. */
dt_status dt_trainer_settle(dt_trainer *t);
/* Runs what is due after a step. Collective. */
dt_status dt_hooks_run(dt_trainer *t);
/* Evaluates the state as it is; a signal calls it off, and t->evaluation_due says so. Collective. */
dt_status dt_trainer_evaluate(dt_trainer *t);
/* Saves a checkpoint of the state as it is, unless this very state is saved already. Collective. */
dt_status dt_trainer_save(dt_trainer *t);
enum { DT_FINGERPRINT = 256 };
/* What the bits of a run depend on besides config and data; kept in checkpoints. text holds DT_FINGERPRINT bytes. */
void dt_trainer_fingerprint(const dt_job *job, char *text);

#endif
