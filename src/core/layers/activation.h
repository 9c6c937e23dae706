/* What relu, sigmoid and tanh share: their instructions differ in dt_act only. */
#ifndef DT_CORE_LAYERS_ACTIVATION_H
#define DT_CORE_LAYERS_ACTIVATION_H

#include "core/layers/layers.h"

dt_status dt_activation_infer(dt_node *node, const dt_shape *const *in);
dt_status dt_activation_forward(dt_builder *b, const dt_node *node, dt_act act);
/* dx = dy * act'(x), where act' is computed from the output. */
dt_status dt_activation_backward(dt_builder *b, const dt_node *node, int dy, dt_act act);

#endif
