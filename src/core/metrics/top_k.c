/* The share of samples whose label is among the k classes of the largest outputs. */
#include "core/metrics/metric.h"

typedef struct top_k_attr {
  dt_metric_attr all;
  int64_t k;
} top_k_attr;

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const top_k_attr *attr = node->attr;
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1 && in[0]->dim[0] > attr->k, DT_USAGE,
             "found outputs of the shape %s, expected one number a class, of more than %lld classes",
             dt_shape_text(in[0], text), (long long)attr->k);
  node->shape = *in[0];
  node->sum[node->sum_count++] =
      (dt_sum_decl){.name = "ranks", .kind = DT_SUM_HISTOGRAM, .bins = in[0]->dim[0], .per_sample = 1};
  return DT_OK;
}

static double share(const dt_measure *measure, const dt_measured_sums *of) {
  int64_t count = 0;
  for (int64_t rank = 0; rank < ((const top_k_attr *)measure->attr)->k; rank++) count += of->bins[rank];
  return (double)count / of->samples;
}

static const dt_metric top_k = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_RANK,
    .field = dt_metric_label,
    .label = "top_k",
    .percent = true,
    .higher = true,
    .derive = share,
};

static const dt_option options[] = {
    DT_METRIC_ROWS,
    DT_ROW_INT("k", offsetof(top_k_attr, k), "5", 1, 1 << 20, "How many classes are looked at."),
    {0},
};

const dt_kind dt_metric_top_k = {
    .name = "top_k",
    .doc = "Share of samples whose label is among the k classes of the largest outputs, in evaluations; higher is better.",
    .options = options,
    .attr_bytes = sizeof(top_k_attr),
    .positional = "k",
    .impl = &top_k,
};
