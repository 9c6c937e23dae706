/* Binary cross-entropy of logits for each of D labels that a sample may have together: with p = sigmoid(x) and t in [0, 1],
 * loss = (1/D) sum -(t log p + (1 - t) log(1 - p)) = (1/D) sum (max(x, 0) - x t + log(1 + exp(-|x|))), gradient (1/D) (p - t).
 * With means over samples this is torch.nn.BCEWithLogitsLoss. */
#include "core/losses/loss.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  node->shape = *in[0];
  dt_node_add_sum(node, "loss", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "right", DT_SUM_COUNT, dt_shape_count(in[0]));
  return DT_OK;
}

static const dt_loss binary_cross_entropy = {
    .layer = {.infer = infer, .forward = dt_loss_forward},
    .op = DT_OP_BINARY_CROSS_ENTROPY,
    .output = DT_OUTPUT_LABELS,
    .field = dt_loss_like_input,
    .metric = "accuracy",
    .metric_sum = 1,
    .shows_metric = true,
};

const dt_kind dt_loss_binary_cross_entropy = DT_LOSS_KIND(
    "binary_cross_entropy",
    "Sigmoid and cross-entropy for each element, the mean of -(t log p + (1 - t) log(1 - p)) with p = sigmoid(x) and a target "
    "t from 0 to 1 of the same shape: labels of which a sample may have several. Its accuracy is the share of elements on the "
    "right side of 1/2.",
    binary_cross_entropy);
