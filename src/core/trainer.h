/* The trainer: a small state machine over the program, and the table of hooks between steps.
 *
 * States: SETUP -> (RESTORE) -> FIRST_CHECKPOINT -> STEP <-> HOOKS -> FINISH. Every control decision (stop, save, evaluate,
 * fail) is made from the reduced tail or from samples seen, so that every rank decides alike. */
#ifndef DT_CORE_TRAINER_H
#define DT_CORE_TRAINER_H

#include "comm/comm.h"
#include "core/spec.h"

typedef struct dt_train_options {
  bool resume;
  const char *accept;       /* comma-separated config keys whose change on resume is accepted */
  const char *command;      /* the command line, for run.json */
  int64_t stop_after_steps; /* ends with a checkpoint after so many steps of this process; 0 = off. For tests and preemption
                               drills. */
} dt_train_options;

typedef struct dt_train_result {
  int64_t samples_seen, steps;
  double accuracy, loss; /* last evaluation; accuracy -1 when there was none */
  double train_seconds;
  double samples_per_second;
  char run_dir[4096], checkpoint[4096];
} dt_train_result;

/* Trains to the end, a target, or a signal. Collective. */
dt_status dt_train(const dt_config *config, dt_comm *comm, const dt_train_options *options, dt_train_result *out);

typedef struct dt_eval_result {
  int64_t samples, correct;
  double loss, accuracy;
  char checkpoint[4096]; /* what was scored; rank 0 knows it */
} dt_eval_result;
/* Scores the eval set (or train set) with a checkpoint. Collective. */
dt_status dt_evaluate(const dt_config *config, dt_comm *comm, const char *checkpoint, bool on_train, dt_eval_result *out);
/* Labels the eval set: a CSV line per sample on rank 0, index,label,probability, in the order of the data. Collective. */
dt_status dt_predict(const dt_config *config, dt_comm *comm, const char *checkpoint, FILE *out);

/* Set by signal handlers (core/signals.c): SIGUSR1 saves and exits 75; the first SIGINT or SIGTERM saves and stops, the second
 * ends. */
dt_status dt_signals_install(void);
bool dt_signal_preempt(void);
bool dt_signal_stop(void);

#endif
