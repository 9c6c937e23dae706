/* Flatten: [C, H, W] -> [C * H * W]. The same memory seen as a vector; nothing is computed. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = (dt_shape){.ndim = 1, .dim = {dt_shape_count(in[0])}};
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_builder_set_value(b, node, dt_builder_new_alias(b, node, dt_builder_input(b, node, 0), &node->shape));
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  dt_builder_add_gradient(b, node, 0, dt_builder_new_alias(b, node, dy, dt_builder_input_shape(b, node, 0)));
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_flatten = {
    .name = "flatten",
    .doc = "Sees an image as a vector.",
    .impl = &layer,
};
