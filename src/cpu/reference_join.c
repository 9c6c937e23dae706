/* Where paths meet and part: ADD, MULTIPLY, CONCAT (x becomes channels [channel, ...) of y) and its adjoint SLICE. */
#include <string.h>

#include "cpu/reference.h"

static void add_sample(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *addend = dt_reference_value(at, DT_ARG_ADDEND);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_Y));
  for (int64_t i = 0; i < count; i++) y[i] = x[i] + addend[i];
}

static void multiply_sample(const dt_reference_sample *at) {
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *factor = dt_reference_value(at, DT_ARG_FACTOR);
  double *y = dt_reference_value(at, DT_ARG_Y);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_Y));
  for (int64_t i = 0; i < count; i++) y[i] = x[i] * factor[i];
}

/* First element of the joined tensor that belongs to the instruction's channels. */
static int64_t first_element(const dt_reference_sample *at, dt_arg joined) {
  return at->instr->channel * dt_shape_inner(dt_reference_shape(at->run, at->instr, joined));
}

static void concat_sample(const dt_reference_sample *at) {
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_X));
  double *y = dt_reference_value(at, DT_ARG_Y) + first_element(at, DT_ARG_Y);
  memcpy(y, dt_reference_value(at, DT_ARG_X), (size_t)count * sizeof(double));
}

static void slice_sample(const dt_reference_sample *at) {
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, DT_ARG_DX));
  const double *dy = dt_reference_value(at, DT_ARG_DY) + first_element(at, DT_ARG_DY);
  memcpy(dt_reference_value(at, DT_ARG_DX), dy, (size_t)count * sizeof(double));
}

dt_status dt_reference_add(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_ASSERT(instr->act.kind == DT_ACT_NONE && instr->arg[DT_ARG_ADDEND] >= 0 && instr->arg[DT_ARG_MASK] < 0);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, add_sample);
}

dt_status dt_reference_multiply(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, multiply_sample);
}

dt_status dt_reference_concat(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, concat_sample);
}

dt_status dt_reference_slice(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, slice_sample);
}
