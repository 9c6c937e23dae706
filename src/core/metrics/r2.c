/* The coefficient of determination, 1 - sum (x - target)^2 / sum (target - mean target)^2. */
#include "core/metrics/metric.h"

static dt_status infer(dt_node *node, const dt_shape *const *in) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(dt_shape_count(in[0]) == 1, DT_USAGE, "found outputs of the shape %s, expected a single number",
             dt_shape_text(in[0], text));
  node->shape = *in[0];
  dt_node_add_sum(node, "squared_error", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "target", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "squared_target", DT_SUM_REAL, 1);
  dt_node_add_sum(node, "squared_target_rest", DT_SUM_REAL, 1);
  return DT_OK;
}

/* Of targets that are all the same, as far as the sums can tell (a term is cut at 2^-64), 1 where they are met and else 0, as
 * scikit-learn has it. */
static double determination(const dt_measure *measure, const dt_measured_sums *of) {
  const double spread = of->sum[2] + of->sum[3] - of->sum[1] / of->samples * of->sum[1];
  if (!(spread > of->samples * 0x1p-62 + of->sum[2] * 0x1p-50)) return of->sum[0] == 0;
  return 1 - of->sum[0] / spread;
}

static const dt_metric r2 = {
    .layer = {.infer = infer, .forward = dt_metric_forward},
    .op = DT_OP_MOMENTS,
    .field = dt_metric_numbers,
    .label = "r2",
    .higher = true,
    .eval_only = true,
    .derive = determination,
};

const dt_kind dt_metric_r2 =
    DT_METRIC_KIND("r2",
                   "Coefficient of determination of a single output, in evaluations: 1 - sum (x - target)^2 / sum "
                   "(target - mean)^2, 1 where all is explained, 0 where "
                   "the mean would do as well; higher is better.",
                   r2);
