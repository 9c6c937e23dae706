/* Dropout: y = x / (1 - p) where the element is kept, else 0; the gradient takes the same factors. The choice is a pure
 * function of seed, samples seen, layer, the sample's place in the global batch and the element, so backward draws it again. */
#include "core/rng.h"
#include "cpu/reference.h"

static double factor_of(const dt_reference_sample *at, int64_t element) {
  const dt_run *run = at->run;
  uint64_t place = (uint64_t)(at->micro->batch->position[at->shard] + at->position);
  uint64_t stream = (uint64_t)at->instr->dropout.layer << 32 | place;
  dt_rng_block block = dt_rng(run->seed, DT_RNG_DROPOUT, (uint64_t)run->step->samples_seen, stream, (uint32_t)(element / 4));
  double p = at->instr->dropout.p;
  return dt_rng_float(block.word[element % 4]) >= p ? 1 / (1 - p) : 0;
}

static void scale_elements(const dt_reference_sample *at, dt_arg from, dt_arg to) {
  const double *in = dt_reference_value(at, from);
  double *out = dt_reference_value(at, to);
  int64_t count = dt_shape_count(dt_reference_shape(at->run, at->instr, to));
  for (int64_t i = 0; i < count; i++) {
    double factor = factor_of(at, i);
    out[i] = factor == 0 ? 0 : in[i] * factor;
  }
}

static void dropout_forward(const dt_reference_sample *at) {
  scale_elements(at, DT_ARG_X, DT_ARG_Y);
}

static void dropout_backward(const dt_reference_sample *at) {
  scale_elements(at, DT_ARG_DY, DT_ARG_DX);
}

dt_status dt_reference_dropout_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, dropout_forward);
}

dt_status dt_reference_dropout_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, dropout_backward);
}
