/* Fully connected layer: y = w x + b, with w [units, features]. */
#include <inttypes.h>

#include "core/layer.h"
#include "core/layers/layers.h"

static const dt_option options[] = {
    {.name = "units",
     .type = DT_OPT_INT,
     .min = 1,
     .max = 1 << 24,
     .offset = offsetof(dt_linear_attr, units),
     .doc = "Numbers that come out."},
    {.name = "bias",
     .type = DT_OPT_BOOL,
     .fallback = "true",
     .offset = offsetof(dt_linear_attr, bias),
     .doc = "Whether a number per unit is added."},
    {0},
};

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const dt_linear_attr *linear = node->attr;
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "the input has the shape %s, linear expects a vector: put `flatten` before it",
             dt_shape_text(in[0], text));
  node->shape = (dt_shape){.ndim = 1, .dim = {linear->units}};
  dt_shape weight = {.ndim = 2, .dim = {linear->units, in[0]->dim[0]}};
  dt_node_add_affine(node, weight, (double)in[0]->dim[0], linear->bias);
  return DT_OK;
}

static int64_t flops_forward(const dt_node *node, const dt_shape *const *in) {
  return dt_count_multiply(2, dt_shape_count(&node->param[0].shape));
}

static int64_t flops_backward(const dt_node *node, const dt_shape *const *in, bool needs_dx) {
  return dt_count_multiply(needs_dx ? 2 : 1, flops_forward(node, in));
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_LINEAR_FWD);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  if (node->param_count > 1) instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_instr *wgrad = dt_builder_emit(b, node, DT_OP_LINEAR_WGRAD);
  wgrad->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  wgrad->arg[DT_ARG_DY] = dy;
  wgrad->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  if (node->param_count > 1) wgrad->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *dgrad = dt_builder_emit(b, node, DT_OP_LINEAR_DGRAD);
  dgrad->arg[DT_ARG_DY] = dy;
  dgrad->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  dgrad->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layer = {
    .infer = infer,
    .flops_forward = flops_forward,
    .flops_backward = flops_backward,
    .forward = forward,
    .backward = backward,
};

const dt_kind dt_layer_linear = {
    .name = "linear",
    .doc = "Fully connected: y = w x + b.",
    .options = options,
    .attr_bytes = sizeof(dt_linear_attr),
    .positional = "units",
    .impl = &layer,
};
