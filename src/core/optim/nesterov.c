#include "core/optim/nesterov.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/nesterov.h"
#define RULE_NAME nesterov
#include "core/optim/loops.h"

static const dt_optimizer nesterov = {
    .name = "nesterov",
    .slots = DT_OPTIMIZER_SLOTS(nesterov),
    .slot_name = {[DT_NESTEROV_VELOCITY] = "velocity", [DT_NESTEROV_WEIGHTS] = "weights"},
    .starts_as_param = 1u << DT_NESTEROV_WEIGHTS,
    .evaluated = 1 + DT_NESTEROV_WEIGHTS,
    .along_gradient = true,
    .update_f32 = nesterov_update_f32,
    .update_f64 = nesterov_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(dt_nesterov_attr, momentum), "0.9", 0, 1,
                "Share of the last step's velocity that is kept.", .open_max = true, .scheduled = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_nesterov_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_nesterov = {
    .name = "nesterov",
    .doc =
        "Nesterov's accelerated gradient as the literature has it, with the gradient at the point ahead, w - momentum * v: v = "
        "momentum * v + lr * (gradient + weight_decay * p); w = w - v; p = w - momentum * v. Evaluations and model.safetensors "
        "have w (Nesterov, 1983; Sutskever et al., 2013). PyTorch's form is sgd's nesterov.",
    .options = options,
    .attr_bytes = sizeof(dt_nesterov_attr),
    .impl = &nesterov,
};
