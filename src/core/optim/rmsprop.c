#include "core/optim/rmsprop.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/rmsprop.h"
#define RULE_NAME rmsprop
#include "core/optim/loops.h"

static const dt_optimizer rmsprop = {
    .name = "rmsprop",
    .slots = DT_OPTIMIZER_SLOTS(rmsprop),
    .slot_name = {"square_avg", "momentum", "grad_avg"},
    .update_f32 = rmsprop_update_f32,
    .update_f64 = rmsprop_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("alpha", offsetof(dt_rmsprop_attr, alpha), "0.99", 0, 1, "Share of the mean of squared gradients that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("momentum", offsetof(dt_rmsprop_attr, momentum), "0", 0, 1, "Share of the last step that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_BOOL("centered", offsetof(dt_rmsprop_attr, centered), "false",
                "Divides by the standard deviation of gradients instead of the root of their mean square."),
    DT_ROW_REAL("eps", offsetof(dt_rmsprop_attr, eps), "1e-8", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_rmsprop_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_rmsprop = {
    .name = "rmsprop",
    .doc =
        "RMSprop: g = gradient + weight_decay * p; v = alpha * v + (1 - alpha) * g * g; b = momentum * b + g / (sqrt(v) + "
        "eps), or, centered, with sqrt(v - m * m), m = m + (1 - alpha) * (g - m); p = p - lr * b (Tieleman and Hinton, 2012; "
        "Graves, 2013). The same as torch.optim.RMSprop.",
    .options = options,
    .attr_bytes = sizeof(dt_rmsprop_attr),
    .impl = &rmsprop,
};
