/* What happens once a step, on the sums over all shards in gradient node 0. */
#include <math.h>

#include "core/optimizer.h"
#include "cpu/reference.h"

dt_status dt_reference_grad_norm(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const double *grad = run->blocks.grad;
  double sum = 0;
  for (int64_t i = 0; i < run->program->param_elements; i++) sum += grad[i] * grad[i];
  run->step->grad_norm = sqrt(sum) / (double)run->step->batch_samples;
  return DT_OK;
}

/* The factor of clipping by global norm (Pascanu et al. 2013), with PyTorch's guard against a zero norm. */
static double clip_factor(const dt_step *step) {
  if (step->clip_norm == 0) return 1;
  return fmin(1, step->clip_norm / (step->grad_norm + 1e-6));
}

dt_status dt_reference_update(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_bucket *bucket = &run->program->bucket[instr->bucket];
  double *slot[4];
  for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (double *)run->blocks.slot[i] + bucket->first;
  run->optimizer->update_f64(run->optimizer_attr, run->step, clip_factor(run->step) / (double)run->step->batch_samples,
                             bucket->param_count, (double *)run->blocks.param + bucket->first,
                             (const double *)run->blocks.grad + bucket->first, slot);
  return DT_OK;
}
