/* LOAD: y = x * scale[c] + shift[c]. */
#include "cpu/reference.h"

static void load_sample(const dt_reference_sample *at) {
  const float *scale = at->run->blocks.scale + at->instr->channel;
  const float *shift = at->run->blocks.shift + at->instr->channel;
  const dt_shape *shape = dt_reference_shape(at->run, at->instr, DT_ARG_Y);
  const int64_t channels = dt_shape_channels(shape), plane = dt_shape_inner(shape);
  int64_t first = (at->shard * at->run->program->shard_capacity + at->position) * channels * plane;
  const void *raw =
      dt_host_field(at->run, at->micro, dt_instr_field_index(at->run->program, at->instr, DT_ARG_X), DT_PART_VALUES);
  bool bytes = dt_instr_field(at->run->program, at->instr, DT_ARG_X)->dtype == DT_U8;
  double *y = dt_reference_value(at, DT_ARG_Y);
  for (int64_t c = 0; c < channels; c++) {
    for (int64_t i = c * plane; i < (c + 1) * plane; i++) {
      double x = bytes ? ((const uint8_t *)raw)[first + i] : (double)((const float *)raw)[first + i];
      y[i] = x * scale[c] + shift[c];
    }
  }
}

dt_status dt_reference_load(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, load_sample);
}
