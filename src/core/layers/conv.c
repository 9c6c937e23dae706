/* Two-dimensional convolution (cross-correlation, as everywhere in this field):
 *   y[o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] * x[c + first channel of o's group, i s + u d - p, j s + v d - p]
 * LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998); groups: Krizhevsky et al.
 * (NeurIPS 2012); dilation: Yu and Koltun (ICLR 2016). */
#include <inttypes.h>
#include <math.h>

#include "core/layer.h"
#include "core/layers/layers.h"
#include "core/layers/window.h"

static const dt_option options[] = {
    {.name = "filters",
     .type = DT_OPT_INT,
     .min = 1,
     .max = 1 << 24,
     .offset = offsetof(dt_conv_attr, filters),
     .doc = "Output channels."},
    {.name = "kernel",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .min = 1,
     .max = 65536,
     .offset = offsetof(dt_conv_attr, window.kernel),
     .doc = "Size of the window: one number, or [height, width]."},
    {.name = "stride",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .fallback = "1",
     .min = 1,
     .max = 65536,
     .offset = offsetof(dt_conv_attr, window.stride),
     .doc = "Step of the window."},
    {.name = "pad",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .offset = offsetof(dt_conv_attr, window.pad),
     .doc = "Zeros put around the image; less than the reach of the window."},
    {.name = "dilation",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .fallback = "1",
     .min = 1,
     .max = 65536,
     .offset = offsetof(dt_conv_attr, window.dilation),
     .doc = "Distance between neighbours within the window."},
    {.name = "groups",
     .type = DT_OPT_INT,
     .fallback = "1",
     .min = 1,
     .max = 1 << 24,
     .offset = offsetof(dt_conv_attr, groups),
     .doc = "Input and output channels are cut into this many groups that do not see each other."},
    {.name = "bias",
     .type = DT_OPT_BOOL,
     .fallback = "true",
     .offset = offsetof(dt_conv_attr, bias),
     .doc = "Whether a number per output channel is added."},
    {0},
};

static dt_status check(const void *attr) {
  const dt_conv_attr *conv = attr;
  DT_TRY(dt_window_check(&conv->window));
  dt_window window = dt_window_make(&conv->window, 1);
  for (int axis = 0; axis < 2; axis++) {
    int64_t reach = (int64_t)window.dilation[axis] * (window.kernel[axis] - 1) + 1;
    DT_REQUIRE(window.pad[axis] < reach, DT_USAGE, "pad is %d, expected less than the reach of the window, %" PRId64,
               window.pad[axis], reach);
  }
  DT_REQUIRE(conv->filters % conv->groups == 0, DT_USAGE, "filters is %" PRId64 ", expected a multiple of groups, %" PRId64,
             conv->filters, conv->groups);
  return DT_OK;
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const dt_conv_attr *conv = node->attr;
  dt_window window = dt_window_make(&conv->window, 1);
  DT_TRY(dt_window_output("conv", &window, in[0], conv->filters, &node->shape));
  int64_t channels = in[0]->dim[0];
  DT_REQUIRE(channels % conv->groups == 0, DT_USAGE,
             "the input has %" PRId64 " channels, expected a multiple of groups, %" PRId64, channels, conv->groups);
  dt_shape weight = {.ndim = 4, .dim = {conv->filters, channels / conv->groups, window.kernel[0], window.kernel[1]}};
  double fan_in = (double)weight.dim[1] * (double)weight.dim[2] * (double)weight.dim[3];
  dt_node_add_affine(node, weight, fan_in, conv->bias);
  return DT_OK;
}

static int64_t flops_forward(const dt_node *node, const dt_shape *const *in) {
  int64_t positions = dt_count_multiply(node->shape.dim[1], node->shape.dim[2]);
  return dt_count_multiply(2, dt_count_multiply(positions, dt_shape_count(&node->param[0].shape)));
}

static int64_t flops_backward(const dt_node *node, const dt_shape *const *in, bool needs_dx) {
  return dt_count_multiply(needs_dx ? 2 : 1, flops_forward(node, in));
}

static dt_conv_op op_attr(const dt_node *node) {
  const dt_conv_attr *conv = node->attr;
  return (dt_conv_op){.window = dt_window_make(&conv->window, 1), .groups = (int)conv->groups};
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_CONV_FWD);
  instr->conv = op_attr(node);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  if (node->param_count > 1) instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_instr *wgrad = dt_builder_emit(b, node, DT_OP_CONV_WGRAD);
  wgrad->conv = op_attr(node);
  wgrad->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  wgrad->arg[DT_ARG_DY] = dy;
  wgrad->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  if (node->param_count > 1) wgrad->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
  if (!dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *dgrad = dt_builder_emit(b, node, DT_OP_CONV_DGRAD);
  dgrad->conv = op_attr(node);
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

const dt_kind dt_layer_conv = {
    .name = "conv",
    .doc = "Two-dimensional convolution: y = w * x + b.",
    .options = options,
    .attr_bytes = sizeof(dt_conv_attr),
    .impl = &layer,
    .check = check,
};
