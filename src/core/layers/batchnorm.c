/* Batch normalisation (Ioffe and Szegedy, ICML 2015), per channel c over the samples and positions of one shard:
 *   y = (x - mean) / sqrt(var + eps) * weight + bias
 * In training mean and biased variance are the shard's own; running statistics (unbiased variance, as in PyTorch) are sums over
 * shards that ride on the gradient's last bucket, and running = (1 - momentum) * running + momentum * new. Evaluation uses the
 * running ones; so does a frozen layer in training, whose statistics then stay. */
#include "core/config/rows.h"
#include "core/layers/layers.h"

typedef struct batchnorm_attr {
  double momentum, eps;
} batchnorm_attr;

static const dt_option options[] = {
    DT_ROW_REAL("momentum", offsetof(batchnorm_attr, momentum), "0.1", 0, 1,
                "Weight of the newest step in the running statistics.", .open_min = true),
    DT_ROW_REAL("eps", offsetof(batchnorm_attr, eps), "1e-5", 0, 1, "Added to the variance.", .open_min = true),
    {0},
};

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  dt_shape channels = {.ndim = 1, .dim = {dt_shape_channels(in[0])}};
  node->shape = *in[0];
  node->param[0] = (dt_param_decl){.role = "weight", .shape = channels, .init = DT_INIT_ONE};
  node->param[1] = (dt_param_decl){.role = "bias", .shape = channels, .init = DT_INIT_ZERO};
  node->param_count = 2;
  node->state[0] = (dt_param_decl){.role = "running_mean", .shape = channels, .init = DT_INIT_ZERO};
  node->state[1] = (dt_param_decl){.role = "running_var", .shape = channels, .init = DT_INIT_ONE};
  node->state_count = 2;
  return DT_OK;
}

/* A single value is its own mean: the output would be the bias, whatever the input, and nothing before it would learn. */
static dt_status check_shard(const dt_node *node, int64_t samples) {
  int64_t values = dt_count_multiply(samples, dt_shape_inner(&node->shape));
  DT_REQUIRE(values > 1, DT_USAGE, "found a shard with a single value for each channel, expected two or more to normalise");
  return DT_OK;
}

static dt_instr *emit(dt_builder *b, const dt_node *node, dt_op op) {
  const batchnorm_attr *attr = node->attr;
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->norm.eps = attr->eps;
  instr->norm.momentum = attr->momentum;
  return instr;
}

/* Mean and 1/sqrt(var + eps) of each channel, for the shard. */
static int new_moments(dt_builder *b, const dt_node *node) {
  dt_shape shape = {.ndim = 1, .dim = {2 * dt_shape_channels(&node->shape)}};
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
  if (dt_builder_mode(b) == DT_PROGRAM_TRAIN && !node->frozen) {
    forward_training(b, node, y);
  } else {
    forward_inference(b, node, y);
  }
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

/* Running statistics are constants: dx = dy * weight / sqrt(var + eps). */
static void backward_frozen(dt_builder *b, const dt_node *node, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = emit(b, node, DT_OP_BN_EVAL_BWD);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  instr->arg[DT_ARG_STATE] = dt_builder_state(b, node);
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (node->frozen) {
    backward_frozen(b, node, dy);
    return DT_OK;
  }
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

static const dt_layer layer = {
    .stem = "bn", .infer = infer, .check_shard = check_shard, .forward = forward, .backward = backward};

const dt_kind dt_layer_batchnorm = {
    .name = "batchnorm",
    .doc =
        "Normalises each channel over a shard's samples and positions, of which it needs two or more, then scales and shifts "
        "it.",
    .options = options,
    .attr_bytes = sizeof(batchnorm_attr),
    .impl = &layer,
};
