/* Logistic function: y = 1 / (1 + exp(-x)), y' = y (1 - y). */
#include "core/layers/activation.h"

static dt_status forward(dt_builder *b, const dt_node *node) {
  return dt_activation_forward(b, node, DT_ACT_SIGMOID);
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  return dt_activation_backward(b, node, dy, DT_ACT_SIGMOID);
}

static const dt_layer layer = {.infer = dt_activation_infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_sigmoid = {
    .name = "sigmoid",
    .doc = "y = 1 / (1 + exp(-x)).",
    .impl = &layer,
};
