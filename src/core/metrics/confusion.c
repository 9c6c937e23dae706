/* How often samples of each label were taken for each class: a histogram over label * classes + class. */
#include "core/metrics/metric.h"

static const dt_metric confusion = {
    .layer = {.infer = dt_metric_infer_confusion, .forward = dt_metric_forward},
    .op = DT_OP_CONFUSION,
    .field = dt_metric_label,
    .label = "confusion",
};

const dt_kind dt_metric_confusion = DT_METRIC_KIND(
    "confusion",
    "Confusion matrix: how many samples of each label were taken for each class. It goes to confusion.csv, or NAME.csv, in the "
    "run's folder, as of the last evaluation, and to what eval prints.",
    confusion);
