/* Product: y = a * b, element by element; da = dy * b, db = dy * a. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return dt_join_check("multiply", node, in);
}

static void emit(dt_builder *b, const dt_node *node, int x, int factor, int y) {
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_MULTIPLY);
  instr->arg[DT_ARG_X] = x;
  instr->arg[DT_ARG_FACTOR] = factor;
  instr->arg[DT_ARG_Y] = y;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  emit(b, node, dt_builder_input(b, node, 0), dt_builder_input(b, node, 1), y);
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  for (int i = 0; i < 2; i++) {
    if (!dt_builder_needs_gradient(b, node, i)) continue;
    int dx = dt_builder_new_gradient(b, node, i);
    emit(b, node, dy, dt_builder_input(b, node, 1 - i), dx);
    dt_builder_add_gradient(b, node, i, dx);
  }
  return DT_OK;
}

static const dt_layer layer = {.inputs_least = 2, .inputs_most = 2, .infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_multiply = {
    .name = "multiply",
    .doc = "The product of two inputs of one shape, element by element: `{multiply: {}, from: [a, b]}`.",
    .impl = &layer,
};
