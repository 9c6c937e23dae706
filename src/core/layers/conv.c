/* Two-dimensional convolution (cross-correlation, as everywhere in this field):
 *   y[o, i, j] = b[o] + sum over c, u, v of w[o, c, u, v] * x[c + first channel of o's group, i s + u d - p, j s + v d - p]
 * LeCun et al., "Gradient-based learning applied to document recognition", Proc. IEEE 86 (1998); groups: Krizhevsky et al.
 * (NeurIPS 2012); dilation: Yu and Koltun (ICLR 2016). */
#include <inttypes.h>
#include <math.h>

#include "core/config/rows.h"
#include "core/layers/layer.h"
#include "core/layers/layers.h"
#include "core/layers/window.h"

static const dt_option options[] = {
    DT_ROW_INT("filters", offsetof(dt_conv_attr, filters), NULL, 1, 1 << 24, "Output channels."),
    DT_ROW_INTS("kernel", offsetof(dt_conv_attr, window.kernel), NULL, 1, 65536,
                "Size of the window: one number, or [height, width].", .unit = "pixels"),
    DT_ROW_INTS("stride", offsetof(dt_conv_attr, window.stride), "1", 1, 65536, "Step of the window.", .unit = "pixels"),
    DT_ROW_INTS("pad", offsetof(dt_conv_attr, window.pad), "0", 0, 65536, "Zeros put around the image.", .unit = "pixels"),
    DT_ROW_INTS("dilation", offsetof(dt_conv_attr, window.dilation), "1", 1, 65536,
                "Distance between neighbours within the window.", .unit = "pixels"),
    DT_ROW_INT("groups", offsetof(dt_conv_attr, groups), "1", 1, 1 << 24,
               "Input and output channels are cut into this many groups that do not see each other."),
    DT_ROW_BOOL("bias", offsetof(dt_conv_attr, bias), "true", "Whether a number per output channel is added."),
    {0},
};

static dt_status check(const void *attr) {
  const dt_conv_attr *conv = attr;
  DT_TRY(dt_window_check(&conv->window));
  DT_REQUIRE(conv->filters % conv->groups == 0, DT_USAGE, "filters is %" PRId64 ", expected a multiple of groups, %" PRId64,
             conv->filters, conv->groups);
  return DT_OK;
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const dt_conv_attr *conv = node->attr;
  dt_window window;
  DT_TRY(dt_window_of("conv", &conv->window, in[0], 1, &window));
  DT_TRY(dt_window_output(&window, in[0], conv->filters, &node->shape));
  int64_t channels = in[0]->dim[0];
  DT_REQUIRE(channels % conv->groups == 0, DT_USAGE,
             "the input has %" PRId64 " channels, expected a multiple of groups, %" PRId64, channels, conv->groups);
  dt_shape weight = {.ndim = 4, .dim = {conv->filters, channels / conv->groups, window.kernel[0], window.kernel[1]}};
  double fan_in = (double)weight.dim[1] * (double)weight.dim[2] * (double)weight.dim[3];
  dt_node_add_affine(node, weight, DT_LAYOUT_FILTER, conv->filters, fan_in, conv->bias);
  return DT_OK;
}

static int64_t flops_forward(const dt_node *node, const dt_shape *const *in) {
  int64_t positions = dt_shape_inner(&node->shape);
  return dt_count_multiply(2, dt_count_multiply(positions, dt_shape_count(&node->param[0].shape)));
}

static int64_t flops_backward(const dt_node *node, const dt_shape *const *in, bool needs_dx) {
  return dt_count_multiply(needs_dx ? 2 : 1, flops_forward(node, in));
}

static dt_status attr_of(const dt_builder *b, const dt_node *node, dt_conv_op *out) {
  const dt_conv_attr *conv = node->attr;
  *out = (dt_conv_op){.groups = (int)conv->groups};
  return dt_window_of("conv", &conv->window, dt_builder_input_shape(b, node, 0), 1, &out->window);
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_conv_op attr;
  DT_TRY(attr_of(b, node, &attr));
  dt_affine_emit_forward(b, node, DT_OP_CONV_FWD)->conv = attr;
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_conv_op attr;
  DT_TRY(attr_of(b, node, &attr));
  if (dt_builder_is_trained(b, node)) dt_affine_emit_weights(b, node, DT_OP_CONV_WGRAD, dy)->conv = attr;
  if (dt_builder_needs_gradient(b, node, 0)) dt_affine_emit_input(b, node, DT_OP_CONV_DGRAD, dy)->conv = attr;
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
