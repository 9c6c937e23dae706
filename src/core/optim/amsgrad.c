#include "core/optim/adam.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/adam.h"
#define RULE_NAME amsgrad
#include "core/optim/loops.h"

static const dt_optimizer amsgrad = {
    .name = "amsgrad",
    .slots = DT_OPTIMIZER_SLOTS(amsgrad),
    .slot_name = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    .update_f32 = amsgrad_update_f32,
    .update_f64 = amsgrad_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_amsgrad_attr, adam.beta1), "0.9", 0, 1, "Share of the mean of gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_amsgrad_attr, adam.beta2), "0.999", 0, 1,
                "Share of the mean of squared gradients that is kept.", .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_amsgrad_attr, adam.eps), "1e-8", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_amsgrad_attr, adam.weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p, or, decoupled, takes lr * weight_decay * p off it.",
                .scheduled = true),
    DT_ROW_BOOL("decoupled", offsetof(dt_amsgrad_attr, decoupled), "false",
                "Whether weight decay is AdamW's instead of Adam's."),
    {0},
};

const dt_kind dt_optimizer_amsgrad = {
    .name = "amsgrad",
    .doc =
        "Adam that divides by the root of the largest v so far (Reddi, Kale and Kumar, 2018). The same as torch.optim.Adam "
        "with amsgrad, and as torch.optim.AdamW with amsgrad where decoupled.",
    .options = options,
    .attr_bytes = sizeof(dt_amsgrad_attr),
    .impl = &amsgrad,
};
