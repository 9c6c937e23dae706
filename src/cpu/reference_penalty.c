/* Penalties of parameters, terms of what training makes small beside the losses. */
#include <math.h>

#include "cpu/reference.h"

static double sign(double x) {
  return x > 0 ? 1 : x < 0 ? -1 : 0;
}

dt_status dt_reference_penalty(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  dt_step *step = run->step;
  const double *p = run->blocks.param;
  double *g = run->blocks.grad;
  step->penalty = 0;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *segment = &program->segment[s];
    for (int64_t i = segment->first; segment->decay && i < segment->first + segment->count; i++) {
      step->penalty += step->l1 * fabs(p[i]) + step->l2 / 2 * p[i] * p[i];
      g[i] += (double)step->batch_samples * (step->l1 * sign(p[i]) + step->l2 * p[i]);
    }
  }
  return DT_OK;
}
