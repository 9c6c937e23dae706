#include "core/optim/lamb.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/lamb.h"
#define RULE_NAME lamb
#define RULE_DIRECTS
#include "core/optim/loops.h"

static dt_status emit_direction(dt_builder *b, int *out_buffer) {
  *out_buffer = dt_builder_new_tensor_rows(b, "tensor norms", 2);
  dt_builder_emit_step(b, DT_OP_DIRECTION);
  dt_builder_emit_step(b, DT_OP_TENSOR_NORM)->arg[DT_ARG_Y] = *out_buffer;
  return DT_OK;
}

static const dt_optimizer lamb = {
    .name = "lamb",
    .slots = DT_OPTIMIZER_SLOTS(lamb),
    .slot_name = {"exp_avg", "exp_avg_sq"},
    .update_f32 = lamb_update_f32,
    .update_f64 = lamb_update_f64,
    .direct_f32 = lamb_direct_f32,
    .direct_f64 = lamb_direct_f64,
    .emit = emit_direction,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_lamb_attr, beta1), "0.9", 0, 1, "Share of the mean of gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_lamb_attr, beta2), "0.999", 0, 1, "Share of the mean of squared gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_lamb_attr, eps), "1e-6", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_lamb_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the direction of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_lamb = {
    .name = "lamb",
    .doc =
        "Layer-wise adaptive moments, for large batches: Adam's direction u = m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) "
        "+ "
        "eps) + weight_decay * p, with m and v as in adam; p = p - lr * |w| / |u| * u by the norms of the whole tensor w and "
        "of its "
        "direction, whose ratio is 1 where one is 0 (You et al., 2020). The same as optax.lamb.",
    .options = options,
    .attr_bytes = sizeof(dt_lamb_attr),
    .impl = &lamb,
};
