#include "core/optim/adam.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/adam.h"
#define RULE_NAME adamw
#include "core/optim/loops.h"

static const dt_optimizer adamw = {
    .name = "adamw",
    .slots = DT_OPTIMIZER_SLOTS(adamw),
    .slot_name = {"exp_avg", "exp_avg_sq"},
    .update_f32 = adamw_update_f32,
    .update_f64 = adamw_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_adamw_attr, beta1), "0.9", 0, 1, "Share of the mean of gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_adamw_attr, beta2), "0.999", 0, 1, "Share of the mean of squared gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_adamw_attr, eps), "1e-8", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_adamw_attr, weight_decay), "0.01", 0, 1,
                "Takes lr * weight_decay * p off each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_adamw = {
    .name = "adamw",
    .doc =
        "Adam with decoupled weight decay: p = p - lr * weight_decay * p, and then Adam's step of a gradient without weight "
        "decay. The same as torch.optim.AdamW.",
    .options = options,
    .attr_bytes = sizeof(dt_adamw_attr),
    .impl = &adamw,
};
