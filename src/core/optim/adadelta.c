#include "core/optim/adadelta.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/adadelta.h"
#define RULE_NAME adadelta
#include "core/optim/loops.h"

static const dt_optimizer adadelta = {
    .name = "adadelta",
    .slots = DT_OPTIMIZER_SLOTS(adadelta),
    .slot_name = {"square_avg", "acc_delta"},
    .update_f32 = adadelta_update_f32,
    .update_f64 = adadelta_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("rho", offsetof(dt_adadelta_attr, rho), "0.9", 0, 1, "Share of the means of squares that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_adadelta_attr, eps), "1e-6", 0, 1, "Added under both roots.", .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_adadelta_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_adadelta = {
    .name = "adadelta",
    .doc =
        "Adadelta: g = gradient + weight_decay * p; v = rho * v + (1 - rho) * g * g; d = sqrt(u + eps) / sqrt(v + eps) * g; u "
        "= rho * u + (1 - rho) * d * d; p = p - lr * d; the usual lr is 1 (Zeiler, 2012). The same as torch.optim.Adadelta.",
    .options = options,
    .attr_bytes = sizeof(dt_adadelta_attr),
    .impl = &adadelta,
};
