/* Max pooling: y[c, i, j] = the largest x in the window; the gradient goes to the first largest in scan order. Padding never
 * wins. */
#include "core/layers/pool.h"

enum { WINNERS = 256 }; /* places that one byte can name */

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("maxpool", node->attr, in[0], false, &pool));
  const dt_window *window = &pool.window;
  DT_REQUIRE((int64_t)window->kernel[0] * window->kernel[1] <= WINNERS, DT_USAGE,
             "the window has %d x %d places, maxpool takes at most %d", window->kernel[0], window->kernel[1], WINNERS);
  return dt_window_output(&pool.window, in[0], in[0]->dim[0], &node->shape);
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("maxpool", node->attr, dt_builder_input_shape(b, node, 0), false, &pool));
  dt_builder_set_value(b, node, dt_pool_emit_forward(b, node, pool, &node->shape));
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_pool_op pool;
  DT_TRY(dt_pool_make("maxpool", node->attr, dt_builder_input_shape(b, node, 0), false, &pool));
  dt_pool_emit_backward(b, node, pool, dy);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_maxpool = {
    .name = "maxpool",
    .doc = "The largest number of each window.",
    .options = dt_pool_options,
    .attr_bytes = sizeof(dt_window_attr),
    .positional = "window",
    .impl = &layer,
    .check = dt_pool_check,
};
