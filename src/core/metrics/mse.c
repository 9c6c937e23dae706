/* Mean squared error, as the loss of that name has it. */
#include "core/metrics/metric.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  dt_node_add_sum(node, "squared_error", DT_SUM_REAL, 1);
  return DT_OK;
}

static const dt_metric mse = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_SQUARED_ERROR,
    .field = dt_metric_numbers,
    .label = "mse",
};

const dt_kind dt_metric_mse = DT_METRIC_KIND("mse", "Mean of (x - target)^2 over samples and elements; lower is better.", mse);
