#include "core/layers/layers.h"

#include <math.h>

const dt_kind *const dt_layer_kinds[] = {
    &dt_layer_conv,    &dt_layer_linear,   &dt_layer_maxpool,  &dt_layer_avgpool,   &dt_layer_global_avgpool,
    &dt_layer_relu,    &dt_layer_sigmoid,  &dt_layer_tanh,     &dt_layer_batchnorm, &dt_layer_dropout,
    &dt_layer_flatten, &dt_layer_residual, &dt_layer_branches, &dt_layer_softmax,   NULL,
};

const dt_kind *const dt_loss_kinds[] = {&dt_loss_cross_entropy, NULL};

void dt_node_add_affine(dt_node *node, dt_shape weight, double fan_in, bool bias) {
  double bound = 1.0 / sqrt(fan_in);
  node->param[node->param_count++] =
      (dt_param_decl){.role = "weight", .shape = weight, .init = DT_INIT_KAIMING_UNIFORM, .bound = bound};
  if (!bias) return;
  dt_shape shape = {.ndim = 1, .dim = {weight.dim[0]}};
  node->param[node->param_count++] =
      (dt_param_decl){.role = "bias", .shape = shape, .init = DT_INIT_KAIMING_UNIFORM, .bound = bound};
}
