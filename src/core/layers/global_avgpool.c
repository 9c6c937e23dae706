/* Global average pooling: [C, H, W] -> [C], y[c] = mean over all positions (Lin et al., "Network in network", ICLR 2014).
 * It is average pooling with a window as large as the image, seen as a vector, so that `linear` can follow at once. */
#include "core/layers/pool.h"

static dt_pool_op whole_image(const dt_shape *in) {
  int height = (int)in->dim[1], width = (int)in->dim[2];
  return (dt_pool_op){.window = {.ndim = 2, .kernel = {height, width}, .stride = {height, width}, .dilation = {1, 1}},
                      .average = true};
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  dt_shape pooled;
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 3, DT_USAGE,
             "the input has the shape %s, global_avgpool expects an image [channels, height, width]",
             dt_shape_text(in[0], text));
  dt_pool_op pool = whole_image(in[0]);
  DT_TRY(dt_window_output(&pool.window, in[0], in[0]->dim[0], &pooled));
  node->shape = (dt_shape){.ndim = 1, .dim = {in[0]->dim[0]}};
  return DT_OK;
}

static dt_shape pooled_shape(const dt_node *node) {
  return (dt_shape){.ndim = 3, .dim = {node->shape.dim[0], 1, 1}};
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_shape shape = pooled_shape(node);
  int y = dt_pool_emit_forward(b, node, whole_image(dt_builder_input_shape(b, node, 0)), &shape);
  dt_builder_set_value(b, node, dt_builder_new_alias(b, node, y, &node->shape));
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  dt_shape shape = pooled_shape(node);
  dt_pool_emit_backward(b, node, whole_image(dt_builder_input_shape(b, node, 0)), dt_builder_new_alias(b, node, dy, &shape));
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_global_avgpool = {
    .name = "global_avgpool",
    .doc = "The mean of each channel: an image becomes a vector.",
    .impl = &layer,
};
