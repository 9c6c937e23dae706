/* Metrics of classes: whether, and what, the first largest output is. */
#include "cpu/reference.h"

static int64_t class_count(const dt_reference_sample *at) {
  return dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_X));
}

/* The first largest; NaN is never larger. */
static int64_t best_of(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  int64_t best = 0;
  for (int64_t k = 1; k < class_count(at); k++) best = x[k] > x[best] ? k : best;
  return best;
}

static int64_t label_of(const dt_reference_sample *at) {
  const int32_t *target =
      dt_host_field(at->run, at->micro, dt_instr_field_index(at->run->program, at->instr, DT_ARG_TARGET), DT_PART_VALUES);
  return target[at->shard * at->run->program->shard_capacity + at->position];
}

static void correct(const dt_reference_sample *at) {
  dt_reference_value(at, DT_ARG_TERMS)[at->instr->loss.column] = best_of(at) == label_of(at) ? 1 : 0;
}

static void confusion(const dt_reference_sample *at) {
  const int64_t label = label_of(at), classes = class_count(at);
  const bool known = label >= 0 && label < classes;
  dt_reference_value(at, DT_ARG_TERMS)[at->instr->loss.column] = known ? (double)(label * classes + best_of(at)) : -1;
}

dt_status dt_reference_correct(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, correct);
}

dt_status dt_reference_confusion(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_DX, confusion);
}
