/* Driving training steps: the one place that says what a batch is given, starts it, and takes what it came to. A device that
 * works on its own tells that a batch late; until then the batch is in flight. */
#ifndef DT_TRAIN_STEPS_H
#define DT_TRAIN_STEPS_H

#include "core/solver.h"
#include "train/job.h"

/* A batch whose outcome is not known. */
typedef struct dt_in_flight {
  int64_t step, samples_before, samples; /* of the step that it belongs to: its number, from 1, and its samples */
  bool partial;                          /* others of the step follow: the outcome is of this batch alone */
  bool again;                            /* the same batch follows */
} dt_in_flight;

/* Told of what each batch came to, in order. What it raises ends the training; where every rank raises the same, it clears
 * enters DT_RANK_TOGETHER first. */
typedef dt_status dt_step_taken(void *context, const dt_in_flight *batch, const dt_step_result *outcome);
/* Asked for this rank's flags before each batch: [DT_STATISTIC_COUNT] zeros come in. */
typedef void dt_step_flags(void *context, double *flags);

/* Set job, taken, flags (NULL: there are none) and context, and, to go on with a training, samples_seen and step; then begin.
 */
struct dt_steps {
  dt_job *job;
  dt_step_taken *taken;
  dt_step_flags *flags;
  void *context;
  dt_loader *loader;
  int64_t samples_seen, samples_before; /* after and before the last step that was made */
  int64_t step;                         /* its number, from 1; 0 before the first */
  int64_t batch_samples;                /* its samples */
  int64_t samples_begun;                /* samples_seen, and the batches of the step that is being made */
  bool no_update;                       /* batches are summed and parameters stay as they are: train/objective.h */
  bool again;                           /* the batch that starts next comes once more: the first pass of two over it */
  /* A signal has come on some rank while a step of several batches was being made. It is given up: samples_seen and all
   * parameters are as before it, and no further batch may start. */
  bool called_off;
  dt_step_result outcome; /* of the last batch that was taken; dt_steps_drain makes that the last one */
  dt_in_flight flight[2]; /* oldest first */
  int in_flight;
};

/* Makes the loader; no step may start at or after end_samples. Not collective. */
dt_status dt_steps_begin(dt_steps *steps, int64_t end_samples);
/* One step of the config's solver. Takes the outcomes that are due. Collective. */
dt_status dt_steps_advance(dt_steps *steps);
/* Starts the next batch, with which the step ends unless the solver's steps are `whole` and others are left in the epoch. Takes
 * the outcomes that are due. Collective. */
dt_status dt_steps_batch(dt_steps *steps);
/* Waits for every batch that was started. Collective. */
dt_status dt_steps_drain(dt_steps *steps);
/* dt_step_flags and what dt_step_taken makes of them where nothing is to be saved: a signal to any rank ends the work of all.
 * DT_INTERRUPTED, on every rank. */
void dt_steps_raise_signals(void *context, double *flags);
dt_status dt_steps_check_signals(const dt_job *job, const dt_step_result *outcome);
/* Frees what begin made; may be called without it. */
void dt_steps_end(dt_steps *steps);

#endif
