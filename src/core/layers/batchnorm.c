/* Batch normalisation (Ioffe and Szegedy, ICML 2015), per channel c over the samples and positions of one shard:
 *   y = (x - mean) / sqrt(var + eps) * weight + bias
 * In training mean and biased variance are the shard's own; running statistics (unbiased variance, as in PyTorch) are sums over
 * shards that ride on the gradient's last bucket, and running = (1 - momentum) * running + momentum * new. Evaluation uses the
 * running ones. */
#include "core/layers/layers.h"

typedef struct batchnorm_attr {
  double momentum, eps;
} batchnorm_attr;

static const dt_option options[] = {
    {.name = "momentum",
     .type = DT_OPT_REAL,
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(batchnorm_attr, momentum),
     .doc = "Weight of the newest step in the running statistics."},
    {.name = "eps",
     .type = DT_OPT_REAL,
     .fallback = "1e-5",
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(batchnorm_attr, eps),
     .doc = "Added to the variance."},
    {0},
};

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  dt_shape channels = {.ndim = 1, .dim = {in[0]->dim[0]}};
  node->shape = *in[0];
  node->param[0] = (dt_param_decl){.role = "weight", .shape = channels, .init = DT_INIT_ONE};
  node->param[1] = (dt_param_decl){.role = "bias", .shape = channels, .init = DT_INIT_ZERO};
  node->param_count = 2;
  node->state[0] = (dt_param_decl){.role = "running_mean", .shape = channels, .init = DT_INIT_ZERO};
  node->state[1] = (dt_param_decl){.role = "running_var", .shape = channels, .init = DT_INIT_ONE};
  node->state_count = 2;
  return DT_OK;
}

static dt_instr *emit(dt_builder *b, const dt_node *node, dt_op op) {
  const batchnorm_attr *attr = node->attr;
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->bn.eps = attr->eps;
  instr->bn.momentum = attr->momentum;
  return instr;
}

/* Mean and 1/sqrt(var + eps) of each channel, for the shard. */
static int new_moments(dt_builder *b, const dt_node *node) {
  dt_shape shape = {.ndim = 1, .dim = {2 * node->shape.dim[0]}};
  return dt_builder_new_shard(b, node, "moments", &shape);
}

static void forward_training(dt_builder *b, const dt_node *node, int y) {
  int moments = new_moments(b, node);
  dt_builder_keep(b, node, moments);
  dt_instr *instr = emit(b, node, DT_OP_BN_FWD);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  instr->arg[DT_ARG_AUX] = moments;
  instr->arg[DT_ARG_STAT] = dt_builder_stat(b, node);
  dt_instr *update = emit(b, node, DT_OP_BN_UPDATE);
  update->arg[DT_ARG_STAT] = dt_builder_stat(b, node);
  update->arg[DT_ARG_STATE] = dt_builder_state(b, node);
}

static void forward_inference(dt_builder *b, const dt_node *node, int y) {
  dt_instr *instr = emit(b, node, DT_OP_BN_EVAL);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_STATE] = dt_builder_state(b, node);
  instr->arg[DT_ARG_Y] = y;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  if (dt_builder_mode(b) == DT_PROGRAM_TRAIN) {
    forward_training(b, node, y);
  } else {
    forward_inference(b, node, y);
  }
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  /* One pass gives the parameters' gradients and the input's, so dx is computed even where nothing reads it. */
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = emit(b, node, DT_OP_BN_BWD);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_AUX] = dt_builder_kept(b, node);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[DT_ARG_DX] = dx;
  instr->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  instr->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
  if (dt_builder_needs_gradient(b, node, 0)) dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layer = {.stem = "bn", .infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_batchnorm = {
    .name = "batchnorm",
    .doc = "Normalises each channel over a shard's samples and positions, then scales and shifts it.",
    .options = options,
    .attr_bytes = sizeof(batchnorm_attr),
    .impl = &layer,
};
