/* How often samples of each label were taken for each class: a histogram over label * classes + class. */
#include "core/metrics/metric.h"

enum { CLASSES_MAX = 1024 };

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1 && in[0]->dim[0] <= CLASSES_MAX, DT_USAGE,
             "found outputs of the shape %s, expected one number a class, of %d classes at most", dt_shape_text(in[0], text),
             (int)CLASSES_MAX);
  node->shape = *in[0];
  node->sum[node->sum_count++] =
      (dt_sum_decl){.name = "confusion", .kind = DT_SUM_HISTOGRAM, .bins = in[0]->dim[0] * in[0]->dim[0], .per_sample = 1};
  return DT_OK;
}

static dt_field label(const dt_shape *x) {
  return (dt_field){.dtype = DT_I32, .limit = dt_shape_count(x)};
}

static const dt_metric confusion = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_CONFUSION,
    .field = label,
    .label = "confusion",
};

const dt_kind dt_metric_confusion = DT_METRIC_KIND(
    "confusion",
    "Confusion matrix: how many samples of each label were taken for each class. It goes to confusion.csv, or NAME.csv, in the "
    "run's folder, as of the last evaluation, and to what eval prints.",
    confusion);
