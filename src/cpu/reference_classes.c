/* Metrics of classes: whether, and what, the first largest output is. */
#include "cpu/reference.h"

/* The first largest; NaN is never larger. */
static int64_t best_of(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  int64_t best = 0;
  for (int64_t k = 1; k < dt_reference_elements(at); k++) best = x[k] > x[best] ? k : best;
  return best;
}

static void correct(const dt_reference_sample *at) {
  dt_reference_terms(at)[0] = best_of(at) == dt_reference_label(at) ? 1 : 0;
}

static void confusion(const dt_reference_sample *at) {
  const int64_t label = dt_reference_label(at), classes = dt_reference_elements(at);
  const bool known = label >= 0 && label < classes;
  dt_reference_terms(at)[0] = known ? (double)(label * classes + best_of(at)) : -1;
}

dt_status dt_reference_correct(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, correct);
}

dt_status dt_reference_confusion(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, confusion);
}
