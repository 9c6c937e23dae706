/* A checkpoint at work on a whole data set: evaluation, in a training and on its own. */
#ifndef DT_TRAIN_EVALUATE_H
#define DT_TRAIN_EVALUATE_H

#include "checkpoint/checkpoint.h"
#include "core/program/goals.h"
#include "train/job.h"

/* What ended an evaluation early, from the least to the most severe. */
typedef enum dt_cut { DT_CUT_NONE, DT_CUT_STOP, DT_CUT_PREEMPT, DT_CUT_FAILED } dt_cut;
/* Scores the evaluation set on all ranks into job->score. *out_cut, the same on every rank, tells whether a signal ended it
 * early (then the score is worthless). Collective; an error is everyone's. */
dt_status dt_job_evaluate(dt_job *job, dt_cut *out_cut);
/* What job->score comes to. */
void dt_job_evaluation(const dt_job *job, dt_evaluation *out);
/* Restores an EVAL or PREDICT job from `path` (a checkpoint, a folder of them, or a run's folder), NULL for the run's own
 * checkpoints; one of step 0 only where it is named itself (DT_USAGE). *out, on rank 0, tells which was taken. Collective; an
 * error is everyone's. */
dt_status dt_score_restore(dt_job *job, const char *path, dt_source *out);
typedef struct dt_eval_result {
  dt_measured measured;
  int64_t *matrix; /* [classes][classes]: the first confusion matrix, label by class; NULL where none is measured. free it */
  int classes;
  dt_source source;
} dt_eval_result;
/* Scores the eval set (or train set) with a checkpoint: a folder of one, of several, or of a run; NULL = the run's newest. One
 * of step 0 is DT_USAGE unless it is named itself. Collective. */
dt_status dt_evaluate(const dt_config *config, dt_comm *comm, const char *checkpoint, bool on_train, dt_eval_result *out);

#endif
