/* Precision, recall and F1 (van Rijsbergen, Information Retrieval, 1979), of classes from the confusion matrix, of yes-or-no
 * outputs from counts over all of them. */
#include "core/metrics/metric.h"

typedef struct retrieval_attr {
  dt_metric_attr all;
  int64_t class;
  int average;
} retrieval_attr;

enum { AVERAGE_MACRO, AVERAGE_WEIGHTED };
static const char *const averages[] = {"macro", "weighted", NULL};

/* What was found of what was meant. */
typedef struct found {
  double right, taken, meant; /* taken for the class, and right; taken for it; of it */
} found;

static double ratio(double part, double whole) {
  return whole > 0 ? part / whole : 0;
}

static double precision(found f) {
  return ratio(f.right, f.taken);
}
static double recall(found f) {
  return ratio(f.right, f.meant);
}
static double f1(found f) {
  return ratio(2 * f.right, f.taken + f.meant);
}

/* --- of classes --- */

static dt_status infer_classes(dt_node *node, const dt_shape *const *in) {
  const retrieval_attr *attr = node->attr;
  DT_TRY(dt_metric_infer_confusion(node, in));
  DT_REQUIRE(attr->class < in[0]->dim[0], DT_USAGE, "class: found %lld, expected 0 to %lld, or -1 for all",
             (long long)attr->class, (long long)in[0]->dim[0] - 1);
  return DT_OK;
}

static found found_of(const dt_measure *measure, const int64_t *count, int64_t class) {
  const int64_t classes = measure->outputs;
  found f = {.right = (double)count[class * classes + class]};
  for (int64_t k = 0; k < classes; k++) {
    f.taken += (double)count[k * classes + class];
    f.meant += (double)count[class * classes + k];
  }
  return f;
}

/* Of one class, or the mean over those that occur, as labels or as what was taken for them. */
static double of_classes(const dt_measure *measure, const dt_measured_sums *of, double (*value)(found)) {
  const retrieval_attr *attr = measure->attr;
  double sum = 0, weights = 0;
  if (attr->class >= 0) return value(found_of(measure, of->bins, attr->class));
  for (int64_t c = 0; c < measure->outputs; c++) {
    const found f = found_of(measure, of->bins, c);
    const double weight = attr->average == AVERAGE_WEIGHTED ? f.meant : f.taken + f.meant > 0;
    sum += weight * value(f);
    weights += weight;
  }
  return ratio(sum, weights);
}

static double precision_of_classes(const dt_measure *measure, const dt_measured_sums *of) {
  return of_classes(measure, of, precision);
}
static double recall_of_classes(const dt_measure *measure, const dt_measured_sums *of) {
  return of_classes(measure, of, recall);
}
static double f1_of_classes(const dt_measure *measure, const dt_measured_sums *of) {
  return of_classes(measure, of, f1);
}

/* --- of yes-or-no outputs, all counted together --- */

static dt_status infer_labels(dt_node *node, const dt_shape *const *in) {
  const retrieval_attr *attr = node->attr;
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "found outputs of the shape %s, expected a vector", dt_shape_text(in[0], text));
  DT_REQUIRE(attr->class < 0 && attr->average == AVERAGE_MACRO, DT_USAGE,
             "found class or average for outputs that are a yes or no each, which are counted together; expected neither");
  node->shape = *in[0];
  dt_node_add_sum(node, "right", DT_SUM_COUNT, in[0]->dim[0]);
  dt_node_add_sum(node, "too_many", DT_SUM_COUNT, in[0]->dim[0]);
  dt_node_add_sum(node, "missed", DT_SUM_COUNT, in[0]->dim[0]);
  return DT_OK;
}

static found found_in_labels(const dt_measured_sums *of) {
  return (found){.right = of->sum[0], .taken = of->sum[0] + of->sum[1], .meant = of->sum[0] + of->sum[2]};
}

static double precision_of_labels(const dt_measure *measure, const dt_measured_sums *of) {
  return precision(found_in_labels(of));
}
static double recall_of_labels(const dt_measure *measure, const dt_measured_sums *of) {
  return recall(found_in_labels(of));
}
static double f1_of_labels(const dt_measure *measure, const dt_measured_sums *of) {
  return f1(found_in_labels(of));
}

static const dt_option options[] = {
    DT_METRIC_ROWS,
    DT_ROW_INT("class", offsetof(retrieval_attr, class), "-1", -1, DT_METRIC_CLASSES_MAX - 1,
               "The class that it is of; -1: of all, averaged."),
    DT_ROW_ENUM("average", offsetof(retrieval_attr, average), "macro", averages,
                "How classes are averaged: alike, those that occur; or by their numbers of samples."),
    {0},
};

/* A metric of classes and the one of yes-or-no outputs, which has its name. */
#define RETRIEVAL(metric, text)                                                                                      \
  static const dt_metric metric##_labels = {.layer = {.infer = infer_labels, .forward = dt_metric_forward},          \
                                            .op = DT_OP_LABEL_COUNTS,                                                \
                                            .field = dt_metric_numbers,                                              \
                                            .label = #metric,                                                        \
                                            .percent = true,                                                         \
                                            .higher = true,                                                          \
                                            .derive = metric##_of_labels};                                           \
  static const dt_kind metric##_labels_kind = DT_KIND_LIKE(#metric, text, options, retrieval_attr, metric##_labels); \
  static const dt_metric metric##_classes = {.layer = {.infer = infer_classes, .forward = dt_metric_forward},        \
                                             .op = DT_OP_CONFUSION,                                                  \
                                             .field = dt_metric_label,                                               \
                                             .label = #metric,                                                       \
                                             .percent = true,                                                        \
                                             .higher = true,                                                         \
                                             .derive = metric##_of_classes,                                          \
                                             .of_labels = &metric##_labels_kind};                                    \
  const dt_kind dt_metric_##metric = DT_KIND_LIKE(#metric, text, options, retrieval_attr, metric##_classes)

RETRIEVAL(precision,
          "Share right of the samples taken for a class, averaged over classes, in evaluations; after binary_cross_entropy "
          "of all outputs that are yes, together; higher is better.");
RETRIEVAL(recall,
          "Share found of the samples of a class, averaged over classes, in evaluations; after binary_cross_entropy of all "
          "outputs that should be yes, together; higher is better.");
RETRIEVAL(
    f1,
    "2 right / (taken + meant) of a class, the harmonic mean of precision and recall, averaged over classes, in evaluations; "
    "after binary_cross_entropy over all outputs together; higher is better.");
