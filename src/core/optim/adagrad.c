#include "core/optim/adagrad.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/adagrad.h"
#define RULE_NAME adagrad
#include "core/optim/loops.h"

static const dt_optimizer adagrad = {
    .name = "adagrad",
    .slots = DT_OPTIMIZER_SLOTS(adagrad),
    .slot_name = {"sum"},
    .update_f32 = adagrad_update_f32,
    .update_f64 = adagrad_update_f64,
};

static const dt_option options[] = {
    DT_ROW_REAL("initial", offsetof(dt_adagrad_attr, initial), "0", 0, 1e6, "What the sum of squares begins at."),
    DT_ROW_REAL("eps", offsetof(dt_adagrad_attr, eps), "1e-10", 0, 1, "Added to the root that the step is divided by.",
                .open_min = true),
    DT_ROW_REAL("weight_decay", offsetof(dt_adagrad_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_adagrad = {
    .name = "adagrad",
    .doc =
        "Adagrad: g = gradient + weight_decay * p; s = s + g * g; p = p - lr * g / (sqrt(initial + s) + eps) (Duchi, Hazan and "
        "Singer, 2011). The same as torch.optim.Adagrad; its lr_decay is schedule.lr's decay `inverse`.",
    .options = options,
    .attr_bytes = sizeof(dt_adagrad_attr),
    .impl = &adagrad,
};
