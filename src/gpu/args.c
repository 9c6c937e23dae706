/* How kernels find their arguments and inputs. */
#include "core/lowering.h"
#include "gpu/bound.h"

static const dt_buffer *root_buffer(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return &program->buffer[dt_buffer_root(program, instr->arg[arg])];
}

void *dt_gpu_arg(const dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg arg) {
  if (instr->arg[arg] < 0) return NULL;
  const dt_buffer *b = root_buffer(run->program, instr, arg);
  switch (b->kind) {
    case DT_BUF_PARAM:
      return (float *)run->blocks.param + b->offset;
    case DT_BUF_STATE:
      return (float *)run->blocks.state + b->offset;
    case DT_BUF_GRAD:
      return (float *)run->blocks.grad + (pass == NULL ? 0 : pass->node * run->program->grad_elements) + b->offset;
    default:
      return (char *)run->blocks.arena + b->offset;
  }
}

const void *dt_gpu_param(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  const char *low = dt_gpu_low_params(run);
  if (instr->arg[arg] < 0 || low == NULL) return dt_gpu_arg(run, instr, NULL, arg);
  return low + (size_t)root_buffer(run->program, instr, arg)->offset * dt_gpu_type_bytes(dt_gpu_of(run)->type);
}

void *dt_gpu_low_params(const dt_run *run) {
  return dt_gpu_bound_of(run)->low;
}

dt_gpu_stretch dt_gpu_stretch_of(const dt_run *run, const dt_instr *instr) {
  const dt_program *program = run->program;
  const dt_bucket *bucket = &program->bucket[instr->bucket];
  if (!dt_gpu_bound_of(run)->alone) return (dt_gpu_stretch){bucket->first, bucket->param_count};
  return (dt_gpu_stretch){0, instr->bucket + 1 == program->bucket_count ? program->param_elements : 0};
}

const float *dt_gpu_scale(const dt_run *run) {
  return dt_gpu_bound_of(run)->scale;
}

const float *dt_gpu_shift(const dt_run *run) {
  return dt_gpu_bound_of(run)->shift;
}

float *dt_gpu_loss_scale(const dt_run *run) {
  return dt_gpu_bound_of(run)->loss_scale;
}

dt_score *dt_gpu_scores(const dt_run *run) {
  return dt_gpu_bound_of(run)->score;
}

dt_gpu_input dt_gpu_input_of(const dt_run *run, const dt_pass *pass) {
  const dt_gpu_inputs *inputs = &dt_gpu_bound_of(run)->inputs;
  const dt_gpu_form *form = &inputs->form;
  const dt_gpu_layout *layout = &inputs->layout;
  char *own = inputs->current + dt_gpu_inputs_at(inputs, pass->index);
  bool travels = form->held == NULL;
  return (dt_gpu_input){
      .step = (dt_step *)inputs->current,
      .filled = (const int32_t *)(own + layout->filled),
      .place = (const int64_t *)(own + layout->place),
      .labels = (const int32_t *)(own + layout->labels),
      .pixels = travels && !form->values ? (const uint8_t *)(own + layout->samples) : NULL,
      .values = travels && form->values ? (const float *)(own + layout->samples) : NULL,
      .held = travels ? NULL : form->held->memory,
      .held_values = !travels && form->held->values,
      .index = travels ? NULL : (const int64_t *)(own + layout->index),
      .move = travels ? NULL : (const dt_move *)(own + layout->move),
      .moves = form->moves,
  };
}

dt_gpu_image dt_gpu_image_of(const dt_run *run, const dt_instr *instr, dt_arg arg) {
  DT_ASSERT(instr->arg[arg] >= 0);
  const dt_shape *shape = &root_buffer(run->program, instr, arg)->shape;
  int64_t samples = run->program->shard_slots;
  DT_ASSERT(shape->ndim == 1 || shape->ndim == 3);
  if (shape->ndim == 1) return (dt_gpu_image){.samples = samples, .height = 1, .width = 1, .channels = shape->dim[0]};
  return (dt_gpu_image){.samples = samples, .height = shape->dim[1], .width = shape->dim[2], .channels = shape->dim[0]};
}

int64_t dt_gpu_count(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return instr->arg[arg] < 0 ? 0 : dt_shape_count(&program->buffer[instr->arg[arg]].shape);
}
