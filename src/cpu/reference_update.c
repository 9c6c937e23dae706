/* What happens once a step, on the sums over all shards in partial sum 0. */
#include <math.h>
#include <string.h>

#include "core/optim/average.h"
#include "core/optim/optimizer.h"
#include "cpu/reference.h"

dt_status dt_reference_grad_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const double *grad = run->blocks.grad;
  double sum = 0;
  for (int64_t i = 0; i < run->program->trained_elements; i++) sum += grad[i] * grad[i];
  run->step->grad_norm = sqrt(sum) / (double)run->step->batch_samples;
  run->step->scale = dt_step_clip(run->step) / (double)run->step->batch_samples;
  return DT_OK;
}

dt_status dt_reference_ascend(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = run->program->trained_elements;
  const double *grad = run->blocks.grad;
  double *param = run->blocks.param, sum = 0;
  for (int64_t i = 0; i < count; i++) sum += grad[i] * grad[i];
  const double factor = dt_step_ascent(run->step, sum);
  memcpy(run->blocks.sum, param, (size_t)count * sizeof *param);
  for (int64_t i = 0; factor != 0 && i < count; i++) param[i] += factor * grad[i];
  return DT_OK;
}

dt_status dt_reference_return(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  memcpy(run->blocks.param, run->blocks.sum, (size_t)run->program->trained_elements * sizeof(double));
  return DT_OK;
}

dt_status dt_reference_tensor_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  double *out = dt_reference_buffer(run, instr, micro, DT_ARG_Y);
  for (int t = 0; t < run->program->trained_count; t++) {
    const dt_param *param = &run->program->param[t];
    const double *p = (const double *)run->blocks.param + param->offset, *g = (const double *)run->blocks.grad + param->offset;
    out[2 * t] = out[2 * t + 1] = 0;
    for (int64_t i = 0; i < param->count; i++) {
      out[2 * t] += p[i] * p[i];
      out[2 * t + 1] += g[i] * g[i];
    }
  }
  return DT_OK;
}

dt_status dt_reference_clip_units(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *tensor = &program->segment[s];
    for (int64_t u = 0; u < tensor->units; u++) {
      const int64_t first = tensor->first + u * tensor->unit_count;
      const double *p = (const double *)run->blocks.param + first;
      double *g = (double *)run->blocks.grad + first, of_p = 0, of_g = 0;
      for (int64_t i = 0; i < tensor->unit_count; i++) of_p += p[i] * p[i], of_g += g[i] * g[i];
      const double factor = dt_step_clip_unit(run->step, of_p, of_g);
      for (int64_t i = 0; factor < 1 && i < tensor->unit_count; i++) g[i] = factor * g[i];
    }
  }
  return DT_OK;
}

dt_status dt_reference_max_norm(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *tensor = &program->segment[s];
    for (int64_t u = 0; tensor->bounded && u < tensor->units; u++) {
      double *p = (double *)run->blocks.param + tensor->first + u * tensor->unit_count, squares = 0;
      for (int64_t i = 0; i < tensor->unit_count; i++) squares += p[i] * p[i];
      const double factor = dt_step_shorten(run->step, squares);
      for (int64_t i = 0; factor < 1 && i < tensor->unit_count; i++) p[i] = factor * p[i];
    }
  }
  return DT_OK;
}

dt_status dt_reference_direction(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *segment = &program->segment[s];
    const dt_update update = {.attr = run->optimizer_attr, .step = run->step, .segment = segment};
    double *slot[DT_SLOTS_MAX] = {NULL};
    for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (double *)run->blocks.slot[i] + segment->first;
    run->optimizer->direct_f64(&update, segment->count, (const double *)run->blocks.param + segment->first,
                               (double *)run->blocks.grad + segment->first, slot);
  }
  return DT_OK;
}

/* tensors: rows of what the optimizer's own instructions wrote; NULL where it has none. */
static void update_segment(dt_run *run, const dt_segment *segment, const double *tensors, int64_t columns, int64_t first,
                           int64_t end) {
  const dt_update update = {.attr = run->optimizer_attr,
                            .step = run->step,
                            .segment = segment,
                            .tensor = tensors != NULL ? tensors + segment->tensor * columns : NULL};
  double *slot[DT_SLOTS_MAX] = {NULL};
  for (int i = 0; i < run->optimizer->slots; i++) slot[i] = (double *)run->blocks.slot[i] + first;
  double *param = (double *)run->blocks.param + first;
  run->optimizer->update_f64(&update, end - first, param, (const double *)run->blocks.grad + first, slot);
  if (run->averages)
    dt_average_f64(run->step->average, end - first, param, (double *)run->blocks.slot[run->optimizer->slots] + first);
}

dt_status dt_reference_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  const dt_bucket *bucket = &program->bucket[instr->bucket];
  const double *tensors = dt_reference_buffer(run, instr, micro, DT_ARG_X);
  int64_t columns = tensors != NULL ? dt_shape_count(&program->buffer[instr->arg[DT_ARG_X]].shape) : 0;
  int64_t bucket_end = bucket->first + bucket->param_count;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *segment = &program->segment[s];
    int64_t first = segment->first, end = segment->first + segment->count;
    if (first < bucket->first) first = bucket->first;
    if (end > bucket_end) end = bucket_end;
    if (first < end) update_segment(run, segment, tensors, columns, first, end);
  }
  return DT_OK;
}
