/* Full-batch gradient descent: batches only say how much is computed at once. */
#include "core/config/options.h"
#include "core/solver.h"
#include "train/steps.h"

static dt_status advance(dt_steps *steps) {
  const int64_t before = steps->step;
  while (steps->step == before) {
    DT_TRY(dt_steps_batch(steps));
    if (steps->called_off) return dt_steps_drain(steps);
  }
  return DT_OK;
}

static const dt_solver gradient_descent = {.whole = true, .advance = advance};

const dt_kind dt_solver_gradient_descent = {
    .name = "gradient_descent",
    .doc =
        "One update for each pass over the training set, by the gradient of all of it: with the optimizer sgd without "
        "momentum, "
        "gradient descent p = p - lr * gradient. train.global_batch is how many samples are computed at once; a step is an "
        "epoch, for durations and schedules too.",
    .impl = &gradient_descent,
};
