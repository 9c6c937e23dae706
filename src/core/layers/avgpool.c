/* Average pooling: y[c, i, j] = (sum of x over the window) / (kernel height * kernel width). Padding counts as zeros, as
 * PyTorch's AvgPool2d does by default. */
#include "core/layers/pool.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("avgpool", node->attr, in[0], true, &pool));
  return dt_window_output(&pool.window, in[0], in[0]->dim[0], &node->shape);
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("avgpool", node->attr, dt_builder_input_shape(b, node, 0), true, &pool));
  dt_builder_set_value(b, node, dt_pool_emit_forward(b, node, pool, &node->shape));
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("avgpool", node->attr, dt_builder_input_shape(b, node, 0), true, &pool));
  dt_pool_emit_backward(b, node, pool, dy);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_avgpool = {
    .name = "avgpool",
    .doc = "The mean of each window, padding counted as zeros.",
    .options = dt_pool_options,
    .attr_bytes = sizeof(dt_window_attr),
    .positional = "window",
    .impl = &layer,
    .check = dt_pool_check,
};
