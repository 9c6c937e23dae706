/* The join of a residual block: y = a + b. The gradient of both is dy itself, so backward hands the same buffer on twice. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  DT_ASSERT(dt_shape_equal(in[0], in[1]));
  node->shape = *in[0];
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ADD);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_ADDEND] = dt_builder_input(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  for (int i = 0; i < node->input_count; i++) {
    if (dt_builder_needs_gradient(b, node, i)) dt_builder_add_gradient(b, node, i, dy);
  }
  return DT_OK;
}

const dt_layer dt_layer_add = {.infer = infer, .forward = forward, .backward = backward};
