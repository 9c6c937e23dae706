/* The area under the ROC curve: the chance that a sample of the class has a larger score than one that is not (Hanley and
 * McNeil, "The meaning and use of the area under a receiver operating characteristic curve", Radiology 1982), equal scores
 * counting half.
 *
 * Scores are counted in 2^18 bins, whole numbers that ranks and devices add alike: scores whose float has the same sign,
 * exponent and nine first digits of the fraction, 0.2 % apart at most, count as equal. */
#include <math.h>

#include "core/metrics/metric.h"

typedef struct auc_attr {
  dt_metric_attr all;
  int64_t class;
} auc_attr;

enum { BINS = 1 << 18 };

static int64_t class_of(const dt_node *node, const dt_shape *in) {
  const int64_t class = ((const auc_attr *)node->attr)->class;
  return class >= 0 ? class : dt_shape_count(in) - 1;
}

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  const auc_attr *attr = node->attr;
  char text[DT_SHAPE_TEXT];
  const int64_t outputs = dt_shape_count(in[0]);
  DT_REQUIRE(in[0]->ndim == 1, DT_USAGE, "found outputs of the shape %s, expected a vector", dt_shape_text(in[0], text));
  DT_REQUIRE(outputs <= 2 || attr->class >= 0, DT_USAGE,
             "found %lld classes, expected one to be named, which the others are held against: class: 0", (long long)outputs);
  DT_REQUIRE(class_of(node, in[0]) < outputs, DT_USAGE, "class: found %lld, expected 0 to %lld", (long long)attr->class,
             (long long)outputs - 1);
  node->shape = *in[0];
  node->sum[node->sum_count++] = (dt_sum_decl){.name = "scores", .kind = DT_SUM_HISTOGRAM, .bins = 2 * BINS, .per_sample = 1};
  return DT_OK;
}

/* One output is a yes or no, several are classes. */
static dt_field target(const dt_shape *x) {
  return dt_shape_count(x) == 1 ? dt_metric_numbers(x) : dt_metric_label(x);
}

/* -1 stands for the last: 1 of two classes, the only output. */
static void set_params(const void *attr, double param[DT_LOSS_PARAMS]) {
  param[0] = (double)((const auc_attr *)attr)->class;
}

static double area(const dt_measure *measure, const dt_measured_sums *of) {
  unsigned __int128 twice = 0;
  int64_t below = 0, inside = 0; /* samples of other classes, and of the class, with smaller scores */
  for (int64_t b = 0; b < BINS; b++) {
    const int64_t others = of->bins[2 * b], own = of->bins[2 * b + 1];
    twice += (unsigned __int128)own * (unsigned __int128)(2 * below + others);
    below += others;
    inside += own;
  }
  return below > 0 && inside > 0 ? (double)twice / 2 / ((double)below * (double)inside) : NAN;
}

static const dt_metric auc = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_SCORE_BIN,
    .set_params = set_params,
    .field = target,
    .label = "auc",
    .higher = true,
    .derive = area,
};

static const dt_option options[] = {
    DT_METRIC_ROWS,
    DT_ROW_INT("class", offsetof(auc_attr, class), "-1", -1, 1 << 20,
               "The class that is told from all others; -1: class 1 of two, or the only output's yes."),
    {0},
};

const dt_kind dt_metric_auc = DT_KIND_LIKE("auc",
                                           "Area under the ROC curve of one class against the others, in evaluations: the "
                                           "chance that a sample of it has the larger score; "
                                           "scores within 0.2 % count as equal; higher is better.",
                                           options, auc_attr, auc);
