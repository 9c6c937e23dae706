/* Fully connected layer: y = w x + b, with w [units, features]. Transposed it is y = w^T x + b, with w [features, units]: the
 * product that gives another layer's input gradient, so that a decoder may use its encoder's weight. */
#include <inttypes.h>

#include "core/config/rows.h"
#include "core/layers/layer.h"
#include "core/layers/layers.h"

static const dt_option options[] = {
    DT_ROW_INT("units", offsetof(dt_linear_attr, units), NULL, 1, 1 << 24, "Numbers that come out."),
    DT_ROW_BOOL("bias", offsetof(dt_linear_attr, bias), "true", "Whether a number per unit is added."),
    DT_ROW_BOOL(
        "transpose", offsetof(dt_linear_attr, transpose), "false",
        "Whether the weight is kept as [features, units], so that it may be shared with a layer that goes the other way: "
        "y = w^T x + b."),
    {0},
};

static bool is_transposed(const dt_node *node) {
  return ((const dt_linear_attr *)node->attr)->transpose;
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const dt_linear_attr *linear = node->attr;
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "the input has the shape %s, linear expects a vector: put `flatten` before it",
             dt_shape_text(in[0], text));
  node->shape = (dt_shape){.ndim = 1, .dim = {linear->units}};
  dt_shape weight = {.ndim = 2, .dim = {linear->units, in[0]->dim[0]}};
  if (linear->transpose) weight = (dt_shape){.ndim = 2, .dim = {in[0]->dim[0], linear->units}};
  dt_node_add_affine(node, weight, DT_LAYOUT_PLAIN, linear->units, (double)in[0]->dim[0], linear->bias);
  return DT_OK;
}

static int64_t flops_forward(const dt_node *node, const dt_shape *const *in) {
  return dt_count_multiply(2, dt_shape_count(&node->param[0].shape));
}

static int64_t flops_backward(const dt_node *node, const dt_shape *const *in, bool needs_dx) {
  return dt_count_multiply(needs_dx ? 2 : 1, flops_forward(node, in));
}

/* The product w x, or w^T x, of whatever lies in x. */
static void multiply(dt_builder *b, const dt_node *node, bool transposed, int x, int y) {
  dt_instr *instr = dt_builder_emit(b, node, transposed ? DT_OP_LINEAR_DGRAD : DT_OP_LINEAR_FWD);
  instr->arg[transposed ? DT_ARG_DY : DT_ARG_X] = x;
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[transposed ? DT_ARG_DX : DT_ARG_Y] = y;
}

static dt_status forward_transposed(dt_builder *b, const dt_node *node) {
  bool bias = node->param_count > 1;
  int product = dt_builder_new_value(b, node, bias ? "product" : "y", &node->shape), y = product;
  multiply(b, node, true, dt_builder_input(b, node, 0), product);
  if (bias) {
    y = dt_builder_new_value(b, node, "y", &node->shape);
    dt_instr *instr = dt_builder_emit(b, node, DT_OP_ADD_BIAS);
    instr->arg[DT_ARG_X] = product;
    instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
    instr->arg[DT_ARG_Y] = y;
  }
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  if (is_transposed(node)) return forward_transposed(b, node);
  dt_affine_emit_forward(b, node, DT_OP_LINEAR_FWD);
  return DT_OK;
}

/* dw = x dy^T, [features, units]: the weight gradient of the layer that goes the other way. */
static void weight_gradient_transposed(dt_builder *b, const dt_node *node, int dy) {
  dt_instr *wgrad = dt_builder_emit(b, node, DT_OP_LINEAR_WGRAD);
  wgrad->arg[DT_ARG_X] = dy;
  wgrad->arg[DT_ARG_DY] = dt_builder_input(b, node, 0);
  wgrad->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  if (node->param_count == 1) return;
  dt_instr *bias = dt_builder_emit(b, node, DT_OP_BIAS_WGRAD);
  bias->arg[DT_ARG_DY] = dy;
  bias->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
}

static void weight_gradient(dt_builder *b, const dt_node *node, int dy) {
  if (is_transposed(node))
    weight_gradient_transposed(b, node, dy);
  else
    dt_affine_emit_weights(b, node, DT_OP_LINEAR_WGRAD, dy);
}

static void input_gradient(dt_builder *b, const dt_node *node, int dy) {
  if (!is_transposed(node)) {
    dt_affine_emit_input(b, node, DT_OP_LINEAR_DGRAD, dy);
    return;
  }
  int dx = dt_builder_new_gradient(b, node, 0);
  multiply(b, node, false, dy, dx);
  dt_builder_add_gradient(b, node, 0, dx);
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (dt_builder_is_trained(b, node)) weight_gradient(b, node, dy);
  if (dt_builder_needs_gradient(b, node, 0)) input_gradient(b, node, dy);
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
