/* The learning-rate range test (Smith, "Cyclical learning rates for training neural networks", WACV 2017, section 3.3): a short
 * training whose learning rate grows from step to step. */
#ifndef DT_TRAIN_RATE_RANGE_H
#define DT_TRAIN_RATE_RANGE_H

#include "train/job.h"

typedef struct dt_rate_range {
  double from, to; /* learning rates of the first and the last step */
  int64_t steps;
  /* What was seen: [steps] each, of which the first `count` are filled. */
  double *rate, *loss,
      *smooth; /* loss: of each step's batch, before its update; smooth: its mean with weights falling by 0.9 */
  int64_t count;
  bool diverged;    /* the loss grew beyond four times the least one, or was not finite any more: no further steps */
  bool not_finite;  /* the latter, in the step behind the last of `count` */
  int64_t lowest;   /* where smooth is least */
  int64_t steepest; /* where it falls most steeply over the logarithm of the rate, before that; -1: it falls nowhere */
} dt_rate_range;

/* Finds lowest and steepest in what was seen, of one step or more. */
void dt_rate_range_mark(dt_rate_range *range);
/* Trains from where the job's parameters are, in equal factors from `from` to `to`; the arrays are the caller's. The same on
 * every rank. Collective. */
dt_status dt_rate_range_run(dt_job *job, dt_rate_range *range);

#endif
