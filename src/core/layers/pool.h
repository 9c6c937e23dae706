/* What the pooling layers share: their instructions differ in the window and in max or average only. */
#ifndef DT_CORE_LAYERS_POOL_H
#define DT_CORE_LAYERS_POOL_H

#include "core/layers/layers.h"

/* An option row of maxpool and avgpool. */
extern const dt_option dt_pool_options[];
/* The check of both kinds: pad at most half of the window, as in PyTorch, so that every window sees a pixel. */
dt_status dt_pool_check(const void *attr);
/* Pooling of inputs of the shape `in`; `kind` names the layer in the message of one that has no window. DT_USAGE. */
dt_status dt_pool_make(const char *kind, const dt_window_attr *attr, const dt_shape *in, bool average, dt_pool_op *out);
/* y [C, H', W'] = pool(x); the argmax is kept only where a gradient needs them. */
int dt_pool_emit_forward(dt_builder *b, const dt_node *node, dt_pool_op pool, const dt_shape *shape);
/* Gradient of the input from dy [C, H', W']. */
void dt_pool_emit_backward(dt_builder *b, const dt_node *node, dt_pool_op pool, int dy);

#endif
