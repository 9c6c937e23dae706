/* L1 penalty of the D numbers that a layer gives of a sample: (1/D) sum |x|, gradient (1/D) sign(x) with sign(0) = 0. It draws
 * most of them to zero. */
#include "core/losses/loss.h"

static const dt_loss activity_l1 = {
    .layer = {.infer = dt_loss_infer_numbers, .forward = dt_loss_forward},
    .op = DT_OP_ACTIVITY_L1,
    .output = DT_OUTPUT_NUMBERS,
};

const dt_kind dt_loss_activity_l1 =
    DT_KIND_LIKE("activity_l1",
                 "A penalty of what a layer gives, without a target: the mean of |x| over the elements, which draws them to 0.",
                 dt_penalty_options, dt_loss_attr, activity_l1);
