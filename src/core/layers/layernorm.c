/* Layer normalisation (Ba, Kiros and Hinton, arXiv:1607.06450, 2016), over all D numbers of a sample: a vector [D], or an image
 * [C, H, W] with D = C H W, which is PyTorch's LayerNorm(normalized_shape = the whole shape of a sample):
 *   y = (x - mean) / sqrt(var + eps) * weight + bias
 * with the sample's own mean and biased variance, in training and evaluation alike, and a weight and a bias for each number. */
#include "core/config/rows.h"
#include "core/layers/layers.h"

typedef struct layernorm_attr {
  double eps;
} layernorm_attr;

static const dt_option options[] = {
    DT_ROW_REAL("eps", offsetof(layernorm_attr, eps), "1e-5", 0, 1, "Added to the variance.", .open_min = true),
    {0},
};

/* A single number is its own mean: the output would be the bias, whatever the input. */
static dt_status infer(dt_node *node, const dt_shape *const *in) {
  DT_REQUIRE(dt_shape_count(in[0]) > 1, DT_USAGE, "the input is a single number, expected two or more to normalise");
  node->shape = *in[0];
  node->param[0] = (dt_param_decl){.role = "weight", .shape = *in[0], .init = DT_INIT_ONE};
  node->param[1] = (dt_param_decl){.role = "bias", .shape = *in[0], .init = DT_INIT_ZERO};
  node->param_count = 2;
  return DT_OK;
}

static dt_instr *emit(dt_builder *b, const dt_node *node, dt_op op) {
  const layernorm_attr *attr = node->attr;
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->norm.eps = attr->eps;
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_W] = dt_builder_param(b, node, 0);
  return instr;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = emit(b, node, DT_OP_LN_FWD);
  instr->arg[DT_ARG_B] = dt_builder_param(b, node, 1);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  const bool trained = dt_builder_is_trained(b, node);
  if (!trained && !dt_builder_needs_gradient(b, node, 0)) return DT_OK;
  /* The moments are taken once for the parameters' gradients and the input's, so dx is computed even where nothing reads it. */
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = emit(b, node, DT_OP_LN_BWD);
  instr->arg[DT_ARG_DY] = dy;
  instr->arg[DT_ARG_DX] = dx;
  if (trained) instr->arg[DT_ARG_DW] = dt_builder_param_gradient(b, node, 0);
  if (trained) instr->arg[DT_ARG_DB] = dt_builder_param_gradient(b, node, 1);
  if (dt_builder_needs_gradient(b, node, 0)) dt_builder_add_gradient(b, node, 0, dx);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_layernorm = {
    .name = "layernorm",
    .doc = "Normalises each sample over all its numbers, then scales and shifts each of them.",
    .options = options,
    .attr_bytes = sizeof(layernorm_attr),
    .impl = &layer,
};
