/* Gaussian noise (Vincent et al., "Extracting and composing robust features with denoising autoencoders", ICML 2008, take it on
 * the input): in training y = x + std * z with z normal, outside of training y = x, and nothing is computed. What is added to
 * an element is a pure function of seed, step and place. Its gradient is the output's. */
#include "core/config/rows.h"
#include "core/layers/layers.h"

typedef struct noise_attr {
  double std;
} noise_attr;

static const dt_option options[] = {
    DT_ROW_REAL("std", offsetof(noise_attr, std), NULL, 0, 1e6,
                "Standard deviation of what is added, in the units of the numbers."),
    {0},
};

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  return DT_OK;
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  if (dt_builder_mode(b) != DT_PROGRAM_TRAIN) {
    dt_builder_set_value(b, node, dt_builder_input(b, node, 0));
    return DT_OK;
  }
  int y = dt_builder_new_value(b, node, "y", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_NOISE);
  instr->noise.std = ((const noise_attr *)node->attr)->std;
  instr->noise.layer = dt_builder_layer_index(b, node);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, node, y);
  return DT_OK;
}

static dt_status backward(dt_builder *b, const dt_node *node, int dy) {
  if (dt_builder_needs_gradient(b, node, 0)) dt_builder_add_gradient(b, node, 0, dy);
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward, .backward = backward};

const dt_kind dt_layer_noise = {
    .name = "noise",
    .doc =
        "Adds Gaussian noise in training: x + std * z, z normal. With a loss that compares with the clean input the network "
        "learns to take it off.",
    .options = options,
    .attr_bytes = sizeof(noise_attr),
    .positional = "std",
    .impl = &layer,
};
