#include "core/layers/layers.h"

#include <math.h>

/* clang-format off */
const dt_kind *const dt_layer_kinds[] = {
    &dt_layer_conv,
    &dt_layer_linear,
    &dt_layer_maxpool,
    &dt_layer_avgpool,
    &dt_layer_global_avgpool,
#define DT_FUNCTION_ROW(NAME, name, at, params, doc) &dt_layer_activations[DT_ACT_##NAME],
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
    &dt_layer_batchnorm,
    &dt_layer_layernorm,
    &dt_layer_dropout,
    &dt_layer_noise,
    &dt_layer_flatten,
    &dt_layer_residual,
    &dt_layer_branches,
    &dt_layer_add,
    &dt_layer_multiply,
    &dt_layer_concat,
    &dt_layer_softmax,
    NULL,
};
/* clang-format on */

const char *dt_layer_stem(const dt_kind *kind) {
  const dt_layer *layer = kind->impl;
  return layer->stem != NULL ? layer->stem : kind->name;
}

dt_status dt_join_check(const char *kind, const dt_node *node, const dt_shape *const *in) {
  char first[DT_SHAPE_TEXT], other[DT_SHAPE_TEXT];
  for (int i = 1; i < node->input_count; i++) {
    DT_REQUIRE(dt_shape_equal(in[i], in[0]), DT_USAGE, "input 1 is %s and input %d is %s: the inputs of %s have one shape",
               dt_shape_text(in[0], first), i + 1, dt_shape_text(in[i], other), kind);
  }
  return DT_OK;
}

void dt_node_add_affine(dt_node *node, dt_shape weight, dt_layout layout, int64_t outputs, double fan_in, bool bias) {
  double bound = 1.0 / sqrt(fan_in);
  node->param[node->param_count++] =
      (dt_param_decl){.role = "weight", .shape = weight, .layout = layout, .init = DT_INIT_KAIMING_UNIFORM, .bound = bound};
  if (!bias) return;
  dt_shape shape = {.ndim = 1, .dim = {outputs}};
  node->param[node->param_count++] =
      (dt_param_decl){.role = "bias", .shape = shape, .init = DT_INIT_KAIMING_UNIFORM, .bound = bound};
}

dt_instr *dt_affine_emit_forward(dt_builder *b, const dt_node *node, dt_op op) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  if (node->param_count > 1) instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return instr;
}

dt_instr *dt_affine_emit_weights(dt_builder *b, const dt_node *node, dt_op op, int dy) {
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  if (node->param_count > 1) instr->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
  return instr;
}

dt_instr *dt_affine_emit_input(dt_builder *b, const dt_node *node, dt_op op, int dy) {
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return instr;
}
