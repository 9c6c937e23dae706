/* The trainer: a small state machine over the program, and the table of hooks between steps.
 *
 * States: SETUP -> (RESTORE) -> FIRST_CHECKPOINT -> STEP <-> HOOKS -> FINISH. Every control decision (stop, save, evaluate,
 * fail) is made from the reduced step statistics or from samples seen, so that every rank decides alike. */
#ifndef DT_TRAIN_TRAINER_H
#define DT_TRAIN_TRAINER_H

#include "comm/comm.h"
#include "core/config/spec.h"
#include "core/output.h"
#include "core/program/goals.h"

typedef struct dt_train_options {
  bool resume;
  dt_output output;         /* where lines about the run go, besides its log file */
  const char *accept;       /* comma-separated config keys whose change on resume is accepted, with all below them */
  const char *command;      /* the command line, for run.json */
  int64_t stop_after_steps; /* ends with a checkpoint after so many steps of this process; 0 = off. For tests and preemption
                               drills. */
} dt_train_options;

typedef struct dt_train_result {
  int64_t samples_seen, steps;
  dt_measured measured;    /* of the last evaluation */
  int64_t trained_samples; /* of samples_seen, by this process */
  double train_seconds;    /* of this process */
  double samples_per_second;
  const char *outcome; /* why it ended, as run.json has it (docs/run.md) */
  char run_dir[4096], checkpoint[4096];
} dt_train_result;

/* Trains to the end, a target, or a signal. Collective. */
dt_status dt_train(const dt_config *config, dt_comm *comm, const dt_train_options *options, dt_train_result *out);

#endif
