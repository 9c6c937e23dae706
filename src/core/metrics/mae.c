/* Mean absolute error over the elements of samples. */
#include "core/metrics/metric.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  dt_node_add_sum(node, "absolute_error", DT_SUM_REAL, 1);
  return DT_OK;
}

static const dt_metric mae = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_ABSOLUTE_ERROR,
    .field = dt_metric_numbers,
    .label = "mae",
};

const dt_kind dt_metric_mae = DT_METRIC_KIND("mae", "Mean of |x - target| over samples and elements; lower is better.", mae);
