/* Softmax is not a layer of its own here: cross_entropy computes it together with the loss, which is exact where the two in a
 * row would overflow, and `predict` applies it. The kind exists so that who writes it is told so. */
#include "core/layers/layers.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  DT_RAISE(DT_USAGE, "cross_entropy contains the softmax, and predict gives probabilities: take this layer out");
}

static const dt_layer layer = {.infer = infer};

const dt_kind dt_layer_softmax = {
    .name = "softmax",
    .doc = "Refused with a hint: cross_entropy contains it, and predict gives probabilities.",
    .impl = &layer,
};
