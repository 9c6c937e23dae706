/* The inputs of a step on their way to the device.
 *
 * 1. The host fills a pinned copy; there are two, and one is filled again when the copy out of it, made two steps ago, is over.
 * 2. The copy stream copies it to the place in device memory that goes with it, once the step that read there, two steps
 *    ago, is over.
 * 3. Kernels read it there. A place never moves, so that a recorded step finds each new input: there is a recording for each of
 *    the two, and no copy on the compute stream.
 *
 * So the next step's input crosses the bus while this step computes. */
#include <stdlib.h>
#include <string.h>

#include "gpu/await.h"
#include "gpu/bound.h"

/* Appends a part; returns where it begins. */
static size_t add_part(size_t *end, size_t bytes) {
  size_t at = *end;
  *end += dt_gpu_round_up(bytes);
  return at;
}

/* Of a part that travels with the batch, of so many shards; else 0. */
static size_t part_bytes(const dt_program *program, const dt_gpu_form *form, size_t shards, int field, dt_field_part part) {
  dt_field_use use = program->field_use[field];
  if (use == DT_FIELD_UNUSED || (use == DT_FIELD_LOADED && form->cached != NULL)) return 0;
  return shards * dt_field_part_bytes(&program->field[field], part, program->shard_capacity);
}

/* Room for the largest micro-batch. */
static dt_gpu_layout make_layout(const dt_program *program, const dt_gpu_form *form) {
  const size_t shards = (size_t)program->micro_batch_shards, slots = shards * (size_t)program->shard_capacity;
  dt_gpu_layout layout = {0};
  size_t *end = &layout.micro_batch_bytes;
  layout.valid = add_part(end, shards * sizeof(int32_t));
  layout.position = add_part(end, shards * sizeof(int64_t));
  layout.index = add_part(end, form->cached != NULL ? slots * sizeof(int64_t) : 0);
  layout.augmentation = add_part(end, slots * (size_t)form->augmentations * sizeof(dt_augmentation));
  for (int f = 0; f < program->field_count; f++) {
    for (dt_field_part p = 0; p < DT_FIELD_PARTS; p++)
      layout.field[f][p] = add_part(end, part_bytes(program, form, shards, f, p));
  }
  return layout;
}

/* Both copies of a step's input in device memory. */
static size_t bytes_of(const dt_gpu_layout *layout, int micro_batches) {
  return 2 * (DT_GPU_ALIGN + (size_t)micro_batches * layout->micro_batch_bytes);
}

/* Samples that travel are the most as a rule; small ones with many augmentations are less than their numbers and augmentations.
 */
size_t dt_gpu_inputs_bytes(const dt_program *program, const dt_bound_plan *plan) {
  static const dt_gpu_cached any_set;
  const dt_gpu_form travelling = {0}, cached = {.cached = &any_set, .augmentations = plan->augmentations};
  const dt_gpu_layout samples = make_layout(program, &travelling), numbers = make_layout(program, &cached);
  const size_t bytes = bytes_of(&samples, plan->micro_batches), other = bytes_of(&numbers, plan->micro_batches);
  return plan->may_cache && other > bytes ? other : bytes;
}

dt_status dt_gpu_inputs_create(int micro_batches, dt_gpu_inputs *out) {
  *out = (dt_gpu_inputs){.micro_batches = micro_batches};
  for (int i = 0; i < 2; i++) {
    DT_CUDA(cudaEventCreateWithFlags(&out->arrived[i], cudaEventDisableTiming));
    DT_CUDA(cudaEventCreate(&out->asked[i]));
    DT_CUDA(cudaEventCreate(&out->passed[i]));
    DT_CUDA(cudaEventCreateWithFlags(&out->over[i], cudaEventDisableTiming));
  }
  return DT_OK;
}

void dt_gpu_inputs_release(dt_gpu_inputs *inputs) {
  for (int i = 0; i < 2; i++) {
    cudaFree(inputs->place[i]);
    cudaFreeHost(inputs->host[i]);
    if (inputs->over[i] != NULL) cudaEventDestroy(inputs->over[i]);
    if (inputs->passed[i] != NULL) cudaEventDestroy(inputs->passed[i]);
    if (inputs->asked[i] != NULL) cudaEventDestroy(inputs->asked[i]);
    if (inputs->arrived[i] != NULL) cudaEventDestroy(inputs->arrived[i]);
  }
  *inputs = (dt_gpu_inputs){0};
}

/* A rank without shards has no batch, and sends the step alone. */
static dt_gpu_form form_of(const dt_batch *batch) {
  if (batch == NULL) return (dt_gpu_form){0};
  return (dt_gpu_form){.cached = batch->cached, .augmentations = batch->cached != NULL ? batch->augmentations : 0};
}

static dt_status make_ready(dt_gpu_inputs *inputs, const dt_run *run, const dt_batch *batch) {
  dt_device *device = run->device;
  _Static_assert(sizeof(dt_step) <= DT_GPU_ALIGN, "the step comes before the first micro-batch");
  inputs->form = form_of(batch);
  inputs->layout = make_layout(run->program, &inputs->form);
  inputs->bytes = dt_gpu_inputs_at(inputs, inputs->micro_batches);
  for (int i = 0; i < 2; i++) {
    DT_CUDA(cudaMallocHost((void **)&inputs->host[i], inputs->bytes));
    memset(inputs->host[i], 0, inputs->bytes);
    DT_TRY(device->ops->alloc(device, inputs->bytes, (void **)&inputs->place[i]));
  }
  inputs->ready = true;
  return DT_OK;
}

/* Makes sure that host[turn] may be written. */
static dt_status open_turn(dt_gpu_inputs *inputs, const dt_run *run, const dt_batch *batch) {
  if (!inputs->ready) DT_TRY(make_ready(inputs, run, batch));
  if (!inputs->open) DT_TRY(dt_gpu_await_event(dt_gpu_of(run), inputs->arrived[inputs->turn], NULL, "the copy of an input"));
  inputs->open = true;
  return DT_OK;
}

dt_status dt_gpu_inputs_ask(const dt_gpu_inputs *inputs, const dt_run *run) {
  DT_CUDA(cudaEventRecord(inputs->asked[inputs->turn], dt_gpu_of(run)->stream[DT_STREAM_COMPUTE]));
  return DT_OK;
}

dt_status dt_gpu_inputs_waited(const dt_gpu_inputs *inputs, int turn, double *out) {
  float ms = 0;
  DT_CUDA(cudaEventElapsedTime(&ms, inputs->asked[turn], inputs->passed[turn]));
  *out = 1e-3 * (double)ms;
  return DT_OK;
}

static void write_part(char *to, const void *from, size_t bytes) {
  if (from != NULL) memcpy(to, from, bytes);
}

dt_status dt_gpu_inputs_stage(dt_gpu_inputs *inputs, const dt_run *run, const dt_micro_batch *micro) {
  const dt_batch *batch = micro->batch;
  DT_ASSERT(micro->shard_count <= run->program->micro_batch_shards && micro->index < inputs->micro_batches);
  DT_TRY(open_turn(inputs, run, batch));
  const dt_gpu_form form = form_of(batch), *first = &inputs->form;
  DT_ASSERT(form.cached == first->cached && form.augmentations == first->augmentations);
  const dt_gpu_layout *layout = &inputs->layout;
  const size_t shards = (size_t)micro->shard_count, slots = (size_t)dt_gpu_places(run, micro);
  inputs->shards |= (unsigned)micro->shard_count;
  char *to = inputs->host[inputs->turn] + dt_gpu_inputs_at(inputs, micro->index);
  write_part(to + layout->valid, batch->valid, shards * sizeof *batch->valid);
  write_part(to + layout->position, batch->position, shards * sizeof *batch->position);
  if (form.cached != NULL) {
    write_part(to + layout->index, batch->index, slots * sizeof *batch->index);
    write_part(to + layout->augmentation, batch->augmentation,
               slots * (size_t)form.augmentations * sizeof *batch->augmentation);
  }
  for (int f = 0; f < run->program->field_count; f++) {
    for (dt_field_part p = 0; p < DT_FIELD_PARTS; p++) {
      write_part(to + layout->field[f][p], batch->field[f].part[p], part_bytes(run->program, &form, shards, f, p));
    }
  }
  return DT_OK;
}

dt_status dt_gpu_inputs_send(dt_gpu_inputs *inputs, const dt_run *run) {
  const dt_gpu *gpu = dt_gpu_of(run);
  cudaStream_t compute = gpu->stream[DT_STREAM_COMPUTE], copy = gpu->stream[DT_STREAM_COPY];
  DT_TRY(open_turn(inputs, run, NULL));
  int turn = inputs->turn;
  memcpy(inputs->host[turn], run->step, sizeof *run->step);
  DT_CUDA(cudaStreamWaitEvent(copy, inputs->over[turn], 0));
  DT_CUDA(cudaMemcpyAsync(inputs->place[turn], inputs->host[turn], inputs->bytes, cudaMemcpyHostToDevice, copy));
  DT_CUDA(cudaEventRecord(inputs->arrived[turn], copy));
  DT_CUDA(cudaStreamWaitEvent(compute, inputs->arrived[turn], 0));
  DT_CUDA(cudaEventRecord(inputs->passed[turn], compute));
  inputs->current = inputs->place[turn];
  inputs->turn = 1 - turn;
  inputs->open = false;
  inputs->shards = 0;
  return DT_OK;
}

dt_status dt_gpu_inputs_end(const dt_gpu_inputs *inputs, const dt_run *run) {
  DT_CUDA(cudaEventRecord(inputs->over[dt_gpu_inputs_last(inputs)], dt_gpu_of(run)->stream[DT_STREAM_COMPUTE]));
  return DT_OK;
}
