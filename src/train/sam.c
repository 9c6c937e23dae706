/* Sharpness-aware minimization (Foret, Kleiner, Mobahi and Neyshabur, ICLR 2021, algorithm 1): with g the gradient of a batch
 * at the parameters p, the update is by the same batch's gradient at p + rho * g / |g|. */
#include "core/config/rows.h"
#include "core/solver.h"
#include "train/steps.h"

typedef struct sam_attr {
  double rho;
} sam_attr;

static dt_status advance(dt_steps *steps) {
  steps->again = true;
  dt_status status = dt_steps_batch(steps);
  steps->again = false;
  return status == DT_OK ? dt_steps_batch(steps) : status;
}

static double ascent(const void *attr) {
  return ((const sam_attr *)attr)->rho;
}

static const dt_solver sam = {.passes = 2, .ascent = ascent, .advance = advance};

static const dt_option options[] = {
    DT_ROW_REAL("rho", offsetof(sam_attr, rho), "0.05", 0, 1e6, "How far parameters are moved along the gradient.",
                .open_min = true),
    {0},
};

const dt_kind dt_solver_sam = {
    .name = "sam",
    .doc =
        "Sharpness-aware minimization: an update for each batch, by its gradient at p + rho * g / |g|, g being its gradient at "
        "the "
        "parameters p and |g| the norm over all of them (Foret et al., 2021). Any optimizer makes the update, from p. Each "
        "batch is "
        "gone through twice; losses and metrics of training are those of the second pass, and so are batch statistics.",
    .options = options,
    .attr_bytes = sizeof(sam_attr),
    .positional = "rho",
    .impl = &sam,
};
