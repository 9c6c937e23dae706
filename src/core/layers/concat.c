/* Concatenation, also the join of branches: the inputs one after another along the channels. Backward cuts dy into the same
 * pieces. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char first[DT_SHAPE_TEXT], other[DT_SHAPE_TEXT];
  node->shape = *in[0];
  for (int i = 1; i < node->input_count; i++) {
    dt_shape alike = *in[i];
    alike.dim[0] = in[0]->dim[0];
    DT_REQUIRE(dt_shape_equal(&alike, in[0]), DT_USAGE,
               "input 1 is %s and input %d is %s: what is joined must agree in everything but channels",
               dt_shape_text(in[0], first), i + 1, dt_shape_text(in[i], other));
    node->shape.dim[0] = dt_count_add(node->shape.dim[0], in[i]->dim[0]);
  }
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  int channel = 0;
  for (int i = 0; i < node->input_count; i++) {
    dt_instr *instr = dt_builder_emit(b, node, DT_OP_CONCAT);
    instr->arg[DT_ARG_X] = dt_builder_input(b, node, i);
    instr->arg[DT_ARG_Y] = y;
    instr->channel = channel;
    channel += (int)dt_shape_channels(dt_builder_input_shape(b, node, i));
  }
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  int channel = 0;
  for (int i = 0; i < node->input_count; i++) {
    if (dt_builder_needs_gradient(b, node, i)) {
      int dx = dt_builder_new_gradient(b, node, i);
      dt_instr *instr = dt_builder_emit(b, node, DT_OP_SLICE);
      instr->arg[DT_ARG_DY] = dy;
      instr->arg[DT_ARG_DX] = dx;
      instr->channel = channel;
      dt_builder_add_gradient(b, node, i, dx);
    }
    channel += (int)dt_shape_channels(dt_builder_input_shape(b, node, i));
  }
  return DT_OK;
}

static const dt_layer layer = {
    .inputs_least = 2, .inputs_most = DT_NODE_INPUTS, .infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_concat = {
    .name = "concat",
    .doc = "Its inputs one after another along the channels, of vectors along their length: `{concat: {}, from: [a, b]}`.",
    .impl = &layer,
};
