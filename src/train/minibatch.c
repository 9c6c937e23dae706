/* The common solver: an update for every batch. */
#include "core/config/options.h"
#include "core/solver.h"
#include "train/steps.h"

static dt_status advance(dt_steps *steps) {
  return dt_steps_batch(steps);
}

static const dt_solver minibatch = {.advance = advance};

const dt_kind dt_solver_minibatch = {
    .name = "minibatch",
    .doc = "One update for each batch, by its gradient.",
    .impl = &minibatch,
};
