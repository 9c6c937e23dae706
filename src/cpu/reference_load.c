/* LOAD: y = raw * scale[c] + shift[c]. */
#include "cpu/reference.h"

static void load_sample(const dt_reference_sample *at) {
  const dt_batch *batch = at->pass->batch;
  const dt_blocks *blocks = &at->run->blocks;
  dt_reference_image image = dt_reference_image_of(at->run, at->instr, DT_ARG_Y);
  int64_t plane = image.height * image.width;
  int64_t first = (at->shard * at->run->program->shard_slots + at->slot) * image.channels * plane;
  double *y = dt_reference_value(at, DT_ARG_Y);
  for (int64_t c = 0; c < image.channels; c++) {
    for (int64_t i = c * plane; i < (c + 1) * plane; i++) {
      double raw = batch->pixels != NULL ? batch->pixels[first + i] : batch->values[first + i];
      y[i] = raw * blocks->scale[c] + blocks->shift[c];
    }
  }
}

dt_status dt_reference_load(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  return dt_reference_map(run, instr, pass, DT_ARG_Y, load_sample);
}
