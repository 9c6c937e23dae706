/* Softmax and cross-entropy: with p = softmax(x) and label k, loss = -log p[k] = log(sum over j of exp(x[j])) - x[k], and its
 * gradient is p - onehot(k). Both are sums over samples; the update divides by the global count. Evaluation counts, prediction
 * gives p. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(
      in[0]->ndim == 1, DT_USAGE,
      "the last layer gives the shape %s, cross_entropy expects one number a class: end with `flatten` and `linear: CLASSES`",
      dt_shape_text(in[0], text));
  DT_REQUIRE(in[0]->dim[0] >= 2, DT_USAGE,
             "the last layer gives %d number, cross_entropy expects one for each of 2 or more classes", (int)in[0]->dim[0]);
  node->shape = *in[0];
  return DT_OK;
}

static void forward_training(dt_builder *b, const dt_node *node) {
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_LOSS);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_DX] = dx;
  instr->arg[DT_ARG_STAT] = dt_builder_stat(b, node);
  dt_builder_add_gradient(b, node, 0, dx);
}

static void forward_prediction(dt_builder *b, const dt_node *node) {
  int y = dt_builder_new_value(b, node, "probabilities", &node->shape);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_SOFTMAX);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  dt_builder_set_output(b, y);
}

static dt_status forward(dt_builder *b, const dt_node *node) {
  dt_builder_set_output(b, dt_builder_input(b, node, 0));
  switch (dt_builder_mode(b)) {
    case DT_PROGRAM_TRAIN:
      forward_training(b, node);
      break;
    case DT_PROGRAM_EVAL:
      dt_builder_emit(b, node, DT_OP_SCORE)->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
      break;
    case DT_PROGRAM_PREDICT:
      forward_prediction(b, node);
      break;
  }
  return DT_OK;
}

static const dt_layer layer = {.infer = infer, .forward = forward};

const dt_kind dt_loss_cross_entropy = {
    .name = "cross_entropy",
    .doc = "Softmax and cross-entropy over classes: -log softmax(x)[label].",
    .impl = &layer,
};
