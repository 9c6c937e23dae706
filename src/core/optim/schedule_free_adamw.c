#include "core/optim/schedule_free.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/schedule_free.h"
#define RULE_NAME schedule_free_adamw
#include "core/optim/loops.h"

static const dt_optimizer schedule_free_adamw = {
    .name = "schedule_free_adamw",
    .slots = DT_OPTIMIZER_SLOTS(schedule_free_adamw),
    .slot_name = {[DT_SF_Z] = "z", [DT_SF_X] = "x", [DT_SF_WEIGHT_SUM] = "weight_sum", [DT_SF_SQUARES] = "exp_avg_sq"},
    .starts_as_param = 1u << DT_SF_Z | 1u << DT_SF_X,
    .evaluated = 1 + DT_SF_X,
    .update_f32 = schedule_free_adamw_update_f32,
    .update_f64 = schedule_free_adamw_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("beta1", offsetof(dt_schedule_free_adamw_attr, beta1), "0.9", 0, 1,
                "Where gradients are taken between z (0) and x (1).", .open_max = true, .scheduled = true),
    DT_ROW_REAL("beta2", offsetof(dt_schedule_free_adamw_attr, beta2), "0.999", 0, 1,
                "Share of the mean of squared gradients that is kept.", .open_max = true, .scheduled = true),
    DT_ROW_REAL("eps", offsetof(dt_schedule_free_adamw_attr, eps), "1e-8", 0, 1,
                "Added to the root that the step is divided by.", .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_schedule_free_adamw_attr, weight_decay), "0", 0, 1,
                "Takes lr * weight_decay * p off z.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_schedule_free_adamw = {
    .name = "schedule_free_adamw",
    .doc =
        "AdamW that needs no falling learning rate: v = beta2 * v + (1 - beta2) * g * g; u = g / (sqrt(v) / sqrt(1 - beta2^t) "
        "+ eps) + weight_decay * p; z = z - lr * u; x = x + c * (z - x), c = lr^2 over its sum over all steps; p = z + beta1 * "
        "(x - z). Evaluations and model.safetensors have x (Defazio et al., 2024). The same as schedulefree.AdamWScheduleFree "
        "while lr does not fall.",
    .options = options,
    .attr_bytes = sizeof(dt_schedule_free_adamw_attr),
    .impl = &schedule_free_adamw,
};
