/* exp of the mean cross-entropy: as many classes, alike, would be as hard to tell. */
#include <math.h>

#include "core/metrics/metric.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "found outputs of the shape %s, expected one number a class",
             dt_shape_text(in[0], text));
  node->shape = *in[0];
  dt_node_add_sum(node, "cross_entropy", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "correct", DT_SUM_COUNT, 1);
  return DT_OK;
}

static double exp_of_mean(const dt_measure *measure, const dt_measured_sums *of) {
  return exp(of->sum[0] / of->samples);
}

static const dt_metric perplexity = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_CROSS_ENTROPY,
    .field = dt_metric_label,
    .label = "ppl",
    .derive = exp_of_mean,
};

const dt_kind dt_metric_perplexity =
    DT_METRIC_KIND("perplexity", "exp of the mean cross-entropy of classes; lower is better.", perplexity);
