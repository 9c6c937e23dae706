/* What the files of this folder share: their rows of dt_layer_kinds, and the attrs that composites make up. */
#ifndef DT_CORE_LAYERS_LAYERS_H
#define DT_CORE_LAYERS_LAYERS_H

#include "core/layers/layer.h"
#include "core/layers/window.h"

typedef struct dt_conv_attr {
  int64_t filters, groups;
  dt_window_attr window;
  bool bias;
} dt_conv_attr;

typedef struct dt_linear_attr {
  int64_t units;
  bool bias, transpose;
} dt_linear_attr;

extern const dt_kind dt_layer_conv;
extern const dt_kind dt_layer_linear;
extern const dt_kind dt_layer_maxpool;
extern const dt_kind dt_layer_avgpool;
extern const dt_kind dt_layer_global_avgpool;
extern const dt_kind dt_layer_batchnorm;
extern const dt_kind dt_layer_layernorm;
extern const dt_kind dt_layer_dropout;
extern const dt_kind dt_layer_noise;
extern const dt_kind dt_layer_flatten;
extern const dt_kind dt_layer_residual;
extern const dt_kind dt_layer_branches;
extern const dt_kind dt_layer_softmax;
extern const dt_kind dt_layer_add;
extern const dt_kind dt_layer_multiply;
extern const dt_kind dt_layer_concat;
extern const dt_kind dt_layer_activations[DT_ACT_COUNT]; /* of core/functions, by dt_act_kind */

/* What layers y = w x + b emit: the value from X, W and B; the gradients of W and B; the gradient of X, which is handed over.
 * The instruction is returned for its attribute; the pointer is good until the next emit. */
dt_instr *dt_affine_emit_forward(dt_builder *b, const dt_node *node, dt_op op);
dt_instr *dt_affine_emit_weights(dt_builder *b, const dt_node *node, dt_op op, int dy);
dt_instr *dt_affine_emit_input(dt_builder *b, const dt_node *node, dt_op op, int dy);

/* Raises DT_USAGE unless all inputs of the node have one shape; `kind` is named in the message. */
dt_status dt_join_check(const char *kind, const dt_node *node, const dt_shape *const *in);

/* Declares weight and bias, one number an output, with PyTorch's default initialisation: kaiming_uniform with a = sqrt(5),
 * which is uniform in
 * [-1/sqrt(fan_in), 1/sqrt(fan_in)), for both. */
void dt_node_add_affine(dt_node *node, dt_shape weight, dt_layout layout, int64_t outputs, double fan_in, bool bias);

#endif
