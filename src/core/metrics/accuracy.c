/* The share of samples whose first largest output is the label's. */
#include "core/metrics/metric.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "found outputs of the shape %s, expected one number a class",
             dt_shape_text(in[0], text));
  node->shape = *in[0];
  dt_node_add_sum(node, "correct", DT_SUM_COUNT, 1);
  return DT_OK;
}

static const dt_metric accuracy = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_CORRECT,
    .field = dt_metric_label,
    .label = "acc",
    .percent = true,
    .higher = true,
};

const dt_kind dt_metric_accuracy =
    DT_METRIC_KIND("accuracy", "Share of samples whose largest output is the label's; higher is better.", accuracy);
