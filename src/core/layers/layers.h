/* What the files of this folder share: their rows of dt_layer_kinds, and the attrs that composites make up. */
#ifndef DT_CORE_LAYERS_LAYERS_H
#define DT_CORE_LAYERS_LAYERS_H

#include "core/layer.h"
#include "core/layers/window.h"

typedef struct dt_conv_attr {
  int64_t filters, groups;
  dt_window_attr window;
  bool bias;
} dt_conv_attr;

typedef struct dt_linear_attr {
  int64_t units;
  bool bias;
} dt_linear_attr;

extern const dt_kind dt_layer_conv, dt_layer_linear, dt_layer_maxpool, dt_layer_avgpool, dt_layer_global_avgpool, dt_layer_relu,
    dt_layer_sigmoid, dt_layer_tanh, dt_layer_batchnorm, dt_layer_dropout, dt_layer_flatten, dt_layer_residual,
    dt_layer_branches, dt_layer_softmax;
extern const dt_kind dt_loss_cross_entropy;

/* Declares weight and bias with PyTorch's default initialisation: kaiming_uniform with a = sqrt(5), which is uniform in
 * [-1/sqrt(fan_in), 1/sqrt(fan_in)), for both. */
void dt_node_add_affine(dt_node *node, dt_shape weight, double fan_in, bool bias);

#endif
