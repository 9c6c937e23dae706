/* Sum: y = a + b + ..., from left to right. The gradient of each is dy itself, so backward hands the same buffer on to all. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return dt_join_check("add", node, in);
}

static int add(dt_builder *b, const dt_node *node, int x, int addend) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ADD);
  instr->arg[DT_ARG_X] = x;
  instr->arg[DT_ARG_ADDEND] = addend;
  instr->arg[DT_ARG_Y] = y;
  return y;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int sum = dt_builder_input(b, node, 0);
  for (int i = 1; i < node->input_count; i++) sum = add(b, node, sum, dt_builder_input(b, node, i));
  dt_builder_set_value(b, node, sum);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  for (int i = 0; i < node->input_count; i++) {
    if (dt_builder_needs_gradient(b, node, i)) dt_builder_add_gradient(b, node, i, dy);
  }
  return DT_OK;
}

static const dt_layer layer = {
    .inputs_least = 2, .inputs_most = DT_NODE_INPUTS, .infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_add = {
    .name = "add",
    .doc = "The sum of its inputs, which have one shape: `{add: {}, from: [a, b]}`.",
    .impl = &layer,
};
