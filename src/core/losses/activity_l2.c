/* L2 penalty of the D numbers that a layer gives of a sample: (1/D) sum x^2, gradient (2/D) x: mse against zeros. */
#include "core/losses/loss.h"

static const dt_loss activity_l2 = {
    .layer = {.infer = dt_loss_infer_numbers, .forward = dt_loss_forward},
    .op = DT_OP_ACTIVITY_L2,
    .output = DT_OUTPUT_NUMBERS,
};

const dt_kind dt_loss_activity_l2 = DT_KIND_LIKE(
    "activity_l2",
    "A penalty of what a layer gives, without a target: the mean of x^2 over the elements, which keeps them small.",
    dt_penalty_options, dt_loss_attr, activity_l2);
