/* Flatten: [C, H, W] -> [C * H * W], in that order. The same memory seen as a vector, and nothing is computed, where the device
 * keeps values in that order; else a copy. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = (dt_shape){.ndim = 1, .dim = {dt_shape_count(in[0])}};
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int x = dt_builder_input(b, node, 0);
  if (dt_builder_is_ordered(b, dt_builder_input_shape(b, node, 0))) {
    dt_builder_set_value(b, node, dt_builder_new_alias(b, node, x, &node->shape));
    return DT_OK;
  }
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_FLATTEN);
  instr->arg[DT_ARG_X] = x;
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  if (dt_builder_is_ordered(b, dt_builder_input_shape(b, node, 0))) {
    dt_builder_add_gradient(b, node, 0, dt_builder_new_alias(b, node, dy, dt_builder_input_shape(b, node, 0)));
    return DT_OK;
  }
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_UNFLATTEN);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_flatten = {
    .name = "flatten",
    .doc = "Sees an image as a vector.",
    .impl = &layer,
};
