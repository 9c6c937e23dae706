/* How kernels find their arguments and inputs. */
#include "core/program/lowering.h"
#include "gpu/bound.h"

static const dt_buffer *root_buffer(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return &program->buffer[dt_buffer_root(program, instr->arg[arg])];
}

void *dt_gpu_arg(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  if (instr->arg[arg] < 0) return NULL;
  const dt_buffer *b = root_buffer(run->program, instr, arg);
  DT_ASSERT(b->kind != DT_BUF_FIELD);
  switch (b->kind) {
    case DT_BUF_PARAM:
      return (float *)run->blocks.param + b->offset;
    case DT_BUF_STATE:
      return (float *)run->blocks.state + b->offset;
    case DT_BUF_GRAD:
      return (float *)run->blocks.grad + (micro == NULL ? 0 : micro->partial * run->program->grad_elements) + b->offset;
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
  return (dt_gpu_stretch){0, instr->bucket + 1 == program->bucket_count ? program->trained_elements : 0};
}

dt_gpu_pieces dt_gpu_pieces_of(const dt_run *run, const dt_gpu_stretch *stretch) {
  return dt_gpu_pieces_within(&dt_gpu_bound_of(run)->pieces, stretch);
}

const dt_segment *dt_gpu_tensors_of(const dt_run *run) {
  return dt_gpu_bound_of(run)->tensors;
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

int64_t *dt_gpu_scores(const dt_run *run) {
  return dt_gpu_bound_of(run)->score;
}

dt_gpu_input dt_gpu_input_of(const dt_run *run, const dt_micro_batch *micro) {
  const dt_gpu_inputs *inputs = &dt_gpu_bound_of(run)->inputs;
  const dt_gpu_form *form = &inputs->form;
  const dt_gpu_layout *layout = &inputs->layout;
  char *own = inputs->current + dt_gpu_inputs_at(inputs, micro->index);
  bool travels = form->cached == NULL;
  return (dt_gpu_input){
      .step = (dt_step *)inputs->current,
      .shards = {(const int32_t *)(own + layout->valid), run->program->shard_capacity, micro->shard_count},
      .position = (const int64_t *)(own + layout->position),
      .index = travels ? NULL : (const int64_t *)(own + layout->index),
      .augmentation = travels ? NULL : (const dt_augmentation *)(own + layout->augmentation),
      .augmentations = form->augmentations,
  };
}

bool dt_gpu_caches(const dt_run *run, int field) {
  return dt_gpu_bound_of(run)->inputs.form.cached != NULL && run->program->field_use[field] == DT_FIELD_LOADED;
}

const void *dt_gpu_field(const dt_run *run, const dt_micro_batch *micro, int field, dt_field_part part) {
  const dt_gpu_inputs *inputs = &dt_gpu_bound_of(run)->inputs;
  if (dt_gpu_caches(run, field)) return inputs->form.cached->memory[field];
  return inputs->current + dt_gpu_inputs_at(inputs, micro->index) + inputs->layout.field[field][part];
}

dt_gpu_values dt_gpu_values_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  DT_ASSERT(instr->arg[arg] >= 0);
  const dt_shape *shape = &root_buffer(run->program, instr, arg)->shape;
  return (dt_gpu_values){
      .samples = dt_gpu_places(run, micro), .inner = dt_shape_inner(shape), .channels = dt_shape_channels(shape)};
}

dt_gpu_image dt_gpu_image_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg arg) {
  DT_ASSERT(instr->arg[arg] >= 0);
  const dt_shape *shape = &root_buffer(run->program, instr, arg)->shape;
  int64_t samples = dt_gpu_places(run, micro);
  DT_ASSERT(shape->ndim == 1 || shape->ndim == 3);
  if (shape->ndim == 1) return (dt_gpu_image){.samples = samples, .height = 1, .width = 1, .channels = shape->dim[0]};
  return (dt_gpu_image){.samples = samples, .height = shape->dim[1], .width = shape->dim[2], .channels = shape->dim[0]};
}

int64_t dt_gpu_count(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return instr->arg[arg] < 0 ? 0 : dt_shape_count(&program->buffer[instr->arg[arg]].shape);
}
