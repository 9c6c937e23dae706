/* Softmax and cross-entropy: with p = softmax(x) and label k, loss = -log p[k] = log(sum over j of exp(x[j])) - x[k], and its
 * gradient is p - onehot(k). */
#include "core/losses/loss.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(
      in[0]->ndim == 1, DT_USAGE,
      "the last layer gives the shape %s, cross_entropy expects one number a class: end with `flatten` and `linear: CLASSES`",
      dt_shape_text(in[0], text));
  DT_REQUIRE(in[0]->dim[0] >= 2, DT_USAGE,
             "the last layer gives %d number, cross_entropy expects one for each of 2 or more classes", (int)in[0]->dim[0]);
  node->shape = *in[0];
  dt_node_add_sum(node, "loss", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "correct", DT_SUM_COUNT, 1);
  return DT_OK;
}

static dt_field label(const dt_shape *x) {
  return (dt_field){.dtype = DT_I32, .limit = dt_shape_count(x)};
}

static const dt_loss cross_entropy = {
    .layer = {.infer = infer, .forward = dt_loss_forward},
    .op = DT_OP_CROSS_ENTROPY,
    .output = DT_OUTPUT_CLASSES,
    .target = "label",
    .field = label,
    .metric = "accuracy",
    .metric_sum = 1,
    .shows_metric = true,
};

const dt_kind dt_loss_cross_entropy =
    DT_LOSS_KIND("cross_entropy", "Softmax and cross-entropy over classes: -log softmax(x)[label].", cross_entropy);
