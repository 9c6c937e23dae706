/* Huber loss over the D elements of a sample: with e = x - t, and c = e cut to [-delta, delta], loss = (1/D) sum c (e - c / 2),
 * which is e^2 / 2 where |e| <= delta, else delta (|e| - delta / 2); gradient (1/D) c. With means over samples this is
 * torch.nn.HuberLoss. Huber, "Robust Estimation of a Location Parameter", 1964. */
#include "core/losses/loss.h"

typedef struct huber_attr {
  dt_loss_attr common; /* first */
  double delta;
} huber_attr;

static void set_params(const void *attr, double param[DT_LOSS_PARAMS]) {
  param[0] = ((const huber_attr *)attr)->delta;
}

static const dt_loss huber = {
    .layer = {.infer = dt_loss_infer_numbers, .forward = dt_loss_forward},
    .op = DT_OP_HUBER,
    .set_params = set_params,
    .output = DT_OUTPUT_NUMBERS,
    .field = dt_loss_like_input,
};

static const dt_option options[] = {
    DT_LOSS_ROWS,
    DT_ROW_REAL("delta", offsetof(huber_attr, delta), "1", 0, INFINITY,
                "Distance from the target beyond which the loss grows in proportion to it, not to its square.",
                .open_min = true),
    {0},
};

const dt_kind dt_loss_huber = DT_KIND_LIKE("huber",
                                           "Huber loss: the mean over the elements of e^2 / 2 where |e| <= delta, else of "
                                           "delta (|e| - delta / 2), with e = x - target, "
                                           "for a target of the same shape. Elements that are far off count less than in mse.",
                                           options, huber_attr, huber);
