/* The contract of a solver: it owns the loop between two looks at a training. One file in train, one row in dt_solver_kinds.
 *
 * A training advances by its solver's steps. What comes between steps - metrics, evaluation, checkpoints, replica checks,
 * signals, the end - is the trainer's and the same for every solver; so are the data, the order of samples, ranks and resuming,
 * which a solver gets by driving batches through train/steps.h and in no other way:
 *
 * - A gradient comes from dt_steps_batch: the objective and its gradient over one batch, summed over shards and ranks in the
 *   one tree. With `whole`, batches are summed one behind another, in their order, and the last of them brings the sum over
 * all. Either sum lies in partial sum 0, equal on every rank, and its statistics in the step's result.
 * - An update is the step section of the program, which follows in the same call on that sum.
 * - Decisions come from results alone, which are the same on every rank; so every rank goes the same way without a message.
 *
 * How others fit: what a solver keeps beside the parameters (directions of L-BFGS, the last accepted point of a line search)
 * are slots of its optimizer, flat blocks that are saved, restored and compared by name; numbers of an iteration that kernels
 * need are in dt_step; what replaces the update (a two-loop recursion, a trust-region step) are instructions of the step
 * section over the flat blocks. A product with the Hessian is a micro-batch section of its own whose sums ride in the gradient
 * block, and so through the same reducer; a line search calls dt_steps_batch again over the same samples. */
#ifndef DT_CORE_SOLVER_H
#define DT_CORE_SOLVER_H

#include "core/status.h"

typedef struct dt_steps dt_steps; /* train/steps.h */

typedef struct dt_solver {
  /* A step takes all samples that are left in the epoch, batch by batch: as a rule the whole training set. A step is then what
   * durations and schedules call one, and the program has the instructions that sum over batches. */
  bool whole;
  /* How often a step goes through its batch: the loader gives each so many times; 0 stands for 1. Two passes: after the first
   * parameters are moved up along its gradient, by `ascent` of the solver's options, and the gradient of the second is the one
   * that they are updated by from where they were (ASCEND and RETURN). */
  int passes;
  double (*ascent)(const void *attr); /* NULL where there is one pass */
  /* Makes one step: steps->samples_seen and steps->step grow, unless the step was called off (dt_steps_batch), and nothing has
   * changed. Collective. */
  dt_status (*advance)(dt_steps *steps);
} dt_solver;

#endif
