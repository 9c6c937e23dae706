/* The table of metrics, and what all of them do alike. */
#include "core/metrics/metric.h"

/* clang-format off */
const dt_kind *const dt_metric_kinds[] = {
    &dt_metric_accuracy,
    &dt_metric_mse,
    &dt_metric_mae,
    &dt_metric_confusion,
    &dt_metric_top_k,
    &dt_metric_precision,
    &dt_metric_recall,
    &dt_metric_f1,
    &dt_metric_auc,
    &dt_metric_r2,
    &dt_metric_perplexity,
    NULL,
};
/* clang-format on */

const dt_option dt_metric_options[] = {DT_METRIC_ROWS, {0}};

dt_status dt_metric_infer_confusion(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in[0]->ndim == 1 && in[0]->dim[0] <= DT_METRIC_CLASSES_MAX, DT_USAGE,
             "found outputs of the shape %s, expected one number a class, of %d classes at most", dt_shape_text(in[0], text),
             (int)DT_METRIC_CLASSES_MAX);
  node->shape = *in[0];
  node->sum[node->sum_count++] =
      (dt_sum_decl){.name = "confusion", .kind = DT_SUM_HISTOGRAM, .bins = in[0]->dim[0] * in[0]->dim[0], .per_sample = 1};
  return DT_OK;
}

dt_field dt_metric_label(const dt_shape *x) {
  return (dt_field){.dtype = DT_I32, .limit = dt_shape_count(x)};
}

dt_field dt_metric_numbers(const dt_shape *x) {
  return (dt_field){.dtype = DT_F32, .shape = *x};
}

dt_status dt_metric_forward(dt_builder *b, const dt_node *node) {
  if (!dt_builder_takes_sums(b, node)) return DT_OK;
  const dt_metric *metric = (const dt_metric *)node->layer;
  const int target = dt_builder_field(b, node->field);
  dt_instr *instr = dt_builder_emit_terms(b, node, metric->op);
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_TARGET] = target;
  if (metric->set_params != NULL) metric->set_params(node->attr, instr->loss.param);
  return DT_OK;
}
