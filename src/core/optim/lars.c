#include "core/optim/lars.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/lars.h"
#define RULE_NAME lars
#include "core/optim/loops.h"

static dt_status emit_norms(dt_builder *b, int *out_buffer) {
  *out_buffer = dt_builder_new_tensor_rows(b, "tensor norms", 2);
  dt_builder_emit_step(b, DT_OP_TENSOR_NORM)->arg[DT_ARG_Y] = *out_buffer;
  return DT_OK;
}

static const dt_optimizer lars = {
    .name = "lars",
    .slots = DT_OPTIMIZER_SLOTS(lars),
    .slot_name = {"momentum"},
    .update_f32 = lars_update_f32,
    .update_f64 = lars_update_f64,
    .emit = emit_norms,
};

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(dt_lars_attr, momentum), "0.9", 0, 1, "Share of the last step that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_lars_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    DT_ROW_REAL("trust", offsetof(dt_lars_attr, trust), "0.001", 0, 1,
                "The length of a step at a learning rate of 1, as a fraction of the tensor's own.", .open_min = true),
    {0},
};

const dt_kind dt_optimizer_lars = {
    .name = "lars",
    .doc =
        "Layer-wise adaptive rates, for large batches: v = momentum * v + lr * ratio * (g + weight_decay * p); p = p - v, with "
        "ratio = trust * |w| / (|g| + weight_decay * |w|) by the norms of the whole tensor w and of its gradient g, 1 where "
        "one is 0 (You, Gitman and Ginsburg, 2017).",
    .options = options,
    .attr_bytes = sizeof(dt_lars_attr),
    .impl = &lars,
};
