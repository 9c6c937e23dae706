#include "core/optim/sgd.h"

#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/optimizer.h"

#define RULE_FILE "core/optim/sgd.h"
#define RULE_NAME sgd
#include "core/optim/loops.h"

static void sgd_warning(const void *attr, const double *largest, const dt_warnings *to) {
  if (((const dt_sgd_attr *)attr)->nesterov && largest[DT_SGD_MOMENTUM] == 0) {
    dt_warning(to, "optimizer.sgd.nesterov has no effect: the momentum is 0");
  }
}

static const dt_optimizer sgd = {
    .name = "sgd",
    .slots = DT_OPTIMIZER_SLOTS(sgd),
    .slot_name = {"momentum"},
    .along_gradient = true,
    .update_f32 = sgd_update_f32,
    .update_f64 = sgd_update_f64,
    .warning = sgd_warning,
};

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(dt_sgd_attr, momentum), "0", 0, 1, "Share of the last step's velocity that is kept.",
                .open_max = true, .scheduled = true),
    DT_ROW_BOOL("nesterov", offsetof(dt_sgd_attr, nesterov), "false", "Looks ahead along the velocity before stepping."),
    DT_ROW_REAL("weight_decay", offsetof(dt_sgd_attr, weight_decay), "0", 0, 1,
                "Adds weight_decay * p to the gradient of each parameter p.", .scheduled = true),
    {0},
};

const dt_kind dt_optimizer_sgd = {
    .name = "sgd",
    .doc =
        "Stochastic gradient descent: g = gradient + weight_decay * p; v = momentum * v + g; p = p - lr * v, or, with "
        "nesterov, "
        "p = p - lr * (g + momentum * v). The same as torch.optim.SGD.",
    .options = options,
    .attr_bytes = sizeof(dt_sgd_attr),
    .impl = &sgd,
};
