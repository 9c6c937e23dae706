/* Mean squared error over the D elements of a sample: loss = (1/D) sum (x - t)^2, gradient (2/D) (x - t). With means over
 * samples this is torch.nn.MSELoss. */
#include "core/losses/loss.h"

static const dt_loss mse = {
    .layer = {.infer = dt_loss_infer_numbers, .forward = dt_loss_forward},
    .op = DT_OP_SQUARED_ERROR,
    .output = DT_OUTPUT_NUMBERS,
    .field = dt_loss_like_input,
    .metric = "mse",
    .metric_sum = 0,
};

const dt_kind dt_loss_mse = DT_LOSS_KIND(
    "mse", "Mean squared error: the mean of (x - target)^2 over the elements, for a target of the same shape.", mse);
