#include "core/optim/lion.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/lion.h"
#define RULE_NAME lion
#include "core/optim/loops.h"

static const dt_optimizer lion = {
    .name = "lion",
    .slots = DT_OPTIMIZER_SLOTS(lion),
    .slot_name = {"exp_avg"},
    .update_f32 = lion_update_f32,
    .update_f64 = lion_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_lion_attr, beta1), "0.9", 0, 1,
                "Share of the mean of gradients, in the step that is kept.", .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_lion_attr, beta2), "0.99", 0, 1,
                "Share of the mean of gradients, from step to step that is kept.", .open_max = true, .scheduled = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_lion_attr, weight_decay), "0", 0, 1,
                "Takes lr * weight_decay * p off each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_lion = {
    .name = "lion",
    .doc =
        "Lion: p = p - lr * weight_decay * p; p = p - lr * sign(beta1 * m + (1 - beta1) * g); m = beta2 * m + (1 - beta2) * g; "
        "the usual lr is a third to a tenth of AdamW's (Chen et al., 2023). The same as optax.lion, but for its weight_decay "
        "of 1e-3.",
    .options = options,
    .attr_bytes = sizeof(dt_lion_attr),
    .impl = &lion,
};
