#include "core/layers/activation.h"

dt_status dt_activation_infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return DT_OK;
}

dt_status dt_activation_forward(dt_builder *b, const dt_node *node, dt_act act) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ACT_FWD);
  instr->act = act;
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

dt_status dt_activation_backward(dt_builder *b, const dt_node *node, int dy, dt_act act) {
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ACT_BWD);
  instr->act = act;
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_MASK] = dt_builder_value(b, node);
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}
