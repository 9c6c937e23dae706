/* Rectified linear unit: y = max(x, 0), y' = 1 where y > 0, else 0 (Nair and Hinton, ICML 2010). */
#include "core/layers/activation.h"

static dt_status forward(dt_builder *b, const dt_node *node) {
  return dt_activation_forward(b, node, DT_ACT_RELU);
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  return dt_activation_backward(b, node, dy, DT_ACT_RELU);
}

static const dt_layer layer = {.infer = dt_activation_infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_relu = {
    .name = "relu",
    .doc = "y = max(x, 0).",
    .impl = &layer,
};
