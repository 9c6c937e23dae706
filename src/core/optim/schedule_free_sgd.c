#include "core/optim/schedule_free.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/schedule_free.h"
#define RULE_NAME schedule_free_sgd
#include "core/optim/loops.h"

static const dt_optimizer schedule_free_sgd = {
    .name = "schedule_free_sgd",
    .slots = DT_OPTIMIZER_SLOTS(schedule_free_sgd),
    .slot_name = {[DT_SF_Z] = "z", [DT_SF_X] = "x", [DT_SF_WEIGHT_SUM] = "weight_sum"},
    .starts_as_param = 1u << DT_SF_Z | 1u << DT_SF_X,
    .evaluated = 1 + DT_SF_X,
    .update_f32 = schedule_free_sgd_update_f32,
    .update_f64 = schedule_free_sgd_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(dt_schedule_free_sgd_attr, momentum), "0.9", 0, 1,
                "Where gradients are taken between z (0) and x (1).", .open_max = true, .scheduled = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_schedule_free_sgd_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_schedule_free_sgd = {
    .name = "schedule_free_sgd",
    .doc =
        "SGD that needs no falling learning rate: u = gradient + weight_decay * p; z = z - lr * u; x = x + c * (z - x), c = "
        "lr^2 over its sum over all steps; p = z + momentum * (x - z). Evaluations and model.safetensors have x (Defazio et "
        "al., 2024). The same as schedulefree.SGDScheduleFree while lr does not fall.",
    .options = options,
    .attr_bytes = sizeof(dt_schedule_free_sgd_attr),
    .impl = &schedule_free_sgd,
};
