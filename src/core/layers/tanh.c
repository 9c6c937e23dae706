/* Hyperbolic tangent: y = tanh(x), y' = 1 - y^2. */
#include "core/layers/activation.h"

static dt_status forward(dt_builder *b, const dt_node *node) {
  return dt_activation_forward(b, node, DT_ACT_TANH);
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  return dt_activation_backward(b, node, dy, DT_ACT_TANH);
}

static const dt_layer layer = {.infer = dt_activation_infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_tanh = {
    .name = "tanh",
    .doc = "y = tanh(x).",
    .impl = &layer,
};
