/* The contract of a metric: one file in core/metrics, one row in dt_metric_kinds, and an op (core/program/ops.def), its own or
 * a loss's.
 *
 * A metric is a node that compares a layer's output with a field, as a loss does, but has no gradient: its instruction computes
 * terms of each sample, and its value is their sum over what was counted. Where a loss over the same two already has such a sum
 * (dt_loss.metric), the metric is read off that, and nothing is computed. */
#ifndef DT_CORE_METRICS_METRIC_H
#define DT_CORE_METRICS_METRIC_H

#include <stddef.h>

#include "core/config/rows.h"
#include "core/layers/layer.h"

/* The options of every metric. A metric with options of its own has a struct whose first member is this one, as losses have
 * (core/losses/loss.h), and a table of options that begins with DT_METRIC_ROWS. */
typedef struct dt_metric_attr {
  const char *name, *of, *target; /* "" = left out */
} dt_metric_attr;

typedef struct dt_metric {
  dt_layer layer; /* first: a node's layer is its metric. infer checks the input's shape and declares the sum */
  dt_op op;       /* X, TARGET -> TERMS */
  /* Writes what the kernel needs of the metric's own options; param comes in as zeros. NULL: it has none. */
  void (*set_params)(const void *attr, double param[DT_LOSS_PARAMS]);
  dt_field (*field)(const dt_shape *x);
  const char *label; /* in lines of text: "acc" */
  bool percent;      /* how its value is written */
  bool higher;       /* more is better */
  /* What is made of the sums that infer declares, where that is no mean of the first. With a histogram among them, which is the
   * first then, the metric has a value in evaluations alone. NULL: the mean; a histogram is a matrix, and no number. */
  double (*derive)(const dt_measure *measure, const dt_measured_sums *of);
  bool eval_only;           /* the sums of training, of floats, are too coarse for it */
  const dt_kind *of_labels; /* takes this one's place where each output is a yes or no of its own; NULL: none does */
} dt_metric;

/* layer.infer of the metrics that are made of the confusion matrix: a histogram over label * classes + class. DT_USAGE beyond
 * DT_METRIC_CLASSES_MAX classes. */
enum { DT_METRIC_CLASSES_MAX = 1024 };
dt_status dt_metric_infer_confusion(dt_node *node, const dt_shape *const *in);
/* dt_metric.field of what judges classes, one number each, by a label; and of what compares number by number. */
dt_field dt_metric_label(const dt_shape *x);
dt_field dt_metric_numbers(const dt_shape *x);
/* layer.forward of every metric. */
dt_status dt_metric_forward(dt_builder *b, const dt_node *node);

/* The rows of dt_metric_attr, with which every metric's table of options begins. */
#define DT_METRIC_ROWS                                                                                                   \
  DT_ROW_STRING("of", offsetof(dt_metric_attr, of), "",                                                                  \
                "Name of the layer, as describe prints it, whose output is judged; without it, that of the first loss.", \
                .max = 200),                                                                                             \
      DT_ROW_STRING("target", offsetof(dt_metric_attr, target), "",                                                      \
                    "Field of a sample that it is compared with; without it, that of the first loss.", .max = 200),      \
      DT_ROW_STRING("name", offsetof(dt_metric_attr, name), "", "Its name in the record; without it, the kind's.", .max = 40)

/* The kind of a metric that has no other options; those that have are made by DT_KIND_LIKE. */
#define DT_METRIC_KIND(kind_name, text, metric_impl) \
  DT_KIND_LIKE(kind_name, text, dt_metric_options, dt_metric_attr, metric_impl)

extern const dt_option dt_metric_options[];
extern const dt_kind dt_metric_accuracy;
extern const dt_kind dt_metric_mse;
extern const dt_kind dt_metric_mae;
extern const dt_kind dt_metric_confusion;
extern const dt_kind dt_metric_top_k;
extern const dt_kind dt_metric_precision;
extern const dt_kind dt_metric_recall;
extern const dt_kind dt_metric_f1;
extern const dt_kind dt_metric_auc;
extern const dt_kind dt_metric_r2;
extern const dt_kind dt_metric_perplexity;

#endif
