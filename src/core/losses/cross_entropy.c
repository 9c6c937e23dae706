/* Softmax and cross-entropy: with p = softmax(x) and probabilities q of the classes, loss = -sum over k of q[k] log p[k], and
 * its gradient is p sum(q) - q. Of a label q is 1 for that class; smoothing e (Szegedy et al., "Rethinking the Inception
 * architecture for computer vision", 2016, section 7) makes (1 - e) q + e / classes of it, as torch.nn.CrossEntropyLoss does.
 */
#include "core/losses/loss.h"

typedef struct cross_entropy_attr {
  dt_loss_attr loss;
  double smoothing;
  bool soft;
} cross_entropy_attr;

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

static dt_field target(const void *attr, const dt_shape *x) {
  if (((const cross_entropy_attr *)attr)->soft) return (dt_field){.name = "target", .dtype = DT_F32, .shape = *x};
  return (dt_field){.name = "label", .dtype = DT_I32, .limit = dt_shape_count(x)};
}

static void set_params(const void *attr, double param[DT_LOSS_PARAMS]) {
  param[0] = ((const cross_entropy_attr *)attr)->smoothing;
}

static const dt_option options[] = {
    DT_LOSS_ROWS,
    DT_ROW_REAL("smoothing", offsetof(cross_entropy_attr, smoothing), "0", 0, 1,
                "Part of the probability that is spread evenly over all classes: label smoothing.", .open_max = true),
    DT_ROW_BOOL("soft", offsetof(cross_entropy_attr, soft), "false",
                "Whether the target is a field of floats, a probability for each class, in place of a label."),
    {0},
};

static const dt_loss cross_entropy = {
    .layer = {.infer = infer, .forward = dt_loss_forward},
    .op = DT_OP_CROSS_ENTROPY,
    .set_params = set_params,
    .output = DT_OUTPUT_CLASSES,
    .field = target,
    .metric = "accuracy",
    .metric_sum = 1,
    .shows_metric = true,
};

const dt_kind dt_loss_cross_entropy = DT_KIND_LIKE(
    "cross_entropy",
    "Softmax and cross-entropy over classes: -log softmax(x)[label], or -sum of target * log softmax(x) where soft.", options,
    cross_entropy_attr, cross_entropy);
