#include "core/optim/adam.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/adam.h"
#define RULE_NAME adam
#include "core/optim/loops.h"

static const dt_optimizer adam = {
    .name = "adam",
    .slots = DT_OPTIMIZER_SLOTS(adam),
    .slot_name = {"exp_avg", "exp_avg_sq"},
    .update_f32 = adam_update_f32,
    .update_f64 = adam_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_adam_attr, beta1), "0.9", 0, 1, "Share of the mean of gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_adam_attr, beta2), "0.999", 0, 1, "Share of the mean of squared gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_adam_attr, eps), "1e-8", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_adam_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_adam = {
    .name = "adam",
    .doc =
        "Adam: g = gradient + weight_decay * p; m = m + (1 - beta1) * (g - m); v = beta2 * v + (1 - beta2) * g * g; p = p - lr "
        "/ (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps), t being the number of the step. The same as "
        "torch.optim.Adam.",
    .options = options,
    .attr_bytes = sizeof(dt_adam_attr),
    .impl = &adam,
};
