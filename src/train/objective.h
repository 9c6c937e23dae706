/* The objective of a training - the weighted sum of its losses, a mean over samples - and its gradient at any parameters, over
 * the first batch of the training set each time: dropout and augmentations repeat as well, so that it is a function. */
#ifndef DT_TRAIN_OBJECTIVE_H
#define DT_TRAIN_OBJECTIVE_H

#include "train/steps.h"

/* Vectors are [count] doubles: trained parameters by their offsets in the program's block, zeros between them. */
typedef struct dt_objective {
  dt_job *job;
  int64_t count;   /* of a vector */
  int64_t samples; /* in the batch, once it was evaluated */
  double sum[DT_SUMS_MAX];
} dt_objective;

/* Of a TRAIN job whose solver takes several batches for a step; borrows it. */
dt_objective dt_objective_of(dt_job *job);
/* Its value at `param`, and its gradient; gradient may be NULL. The job keeps those parameters. The same on every rank.
 * DT_NUMERIC where the value is not finite; DT_INTERRUPTED after a
 * signal to any rank. Collective. */
dt_status dt_objective_evaluate(dt_objective *objective, const double *param, double *out_value, double *gradient);

#endif
