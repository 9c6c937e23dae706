/* The training step.
 *
 * Invariants
 * 1. A micro-batch writes one partial sum; after it the merges that the tree has due are made, bucket by bucket, as soon as a
 * bucket is complete, so that in the last micro-batch its reduction can begin while backward goes on.
 * 2. Between REDUCE_BEGIN and REDUCE_END of a bucket nobody touches its elements.
 * 3. Every rank begins and ends the same buckets in the same order, whether it has shards or not.
 * 4. A step allocates nothing. */
#include "train/executor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "train/executor_internal.h"

static size_t element_bytes(const dt_executor *executor) {
  return dt_dtype_bytes(executor->run.device->ops->dtype);
}

static void *gradient_at(const dt_executor *executor, int node, int64_t element) {
  int64_t index = node * executor->run.program->grad_elements + element;
  return (char *)executor->run.blocks.grad + (size_t)index * element_bytes(executor);
}

/* --- set-up --- */

/* A block without elements is NULL: nothing is planned for it. */
static dt_status alloc_block(dt_executor *executor, int64_t elements, void **out) {
  dt_device *device = executor->run.device;
  return elements > 0 ? device->ops->alloc(device, (size_t)elements * element_bytes(executor), out) : DT_OK;
}

static dt_status alloc_replica_blocks(dt_executor *executor) {
  dt_blocks *blocks = &executor->run.blocks;
  const dt_program *program = executor->run.program;
  DT_TRY(alloc_block(executor, program->param_elements, &blocks->param));
  DT_TRY(alloc_block(executor, program->state_elements, &blocks->state));
  for (int s = 0; s < dt_executor_slots(executor); s++)
    DT_TRY(alloc_block(executor, program->trained_elements, &blocks->slot[s]));
  return dt_replica_create(executor);
}

static void borrow_blocks(dt_executor *executor, const dt_executor *owner) {
  DT_ASSERT(owner->run.program->param_elements == executor->run.program->param_elements);
  DT_ASSERT(owner->run.program->state_elements == executor->run.program->state_elements);
  executor->run.blocks.param = owner->run.blocks.param;
  executor->run.blocks.state = owner->run.blocks.state;
}

/* The gaps between slices are never written and take part in sums and norms: they must hold zeros from the start. */
static dt_status clear_gradients(dt_executor *executor) {
  const dt_run *run = &executor->run;
  size_t bytes = (size_t)executor->tree->partials_max * (size_t)run->program->grad_elements * element_bytes(executor);
  DT_TRY(run->device->ops->clear(run->device, run->blocks.grad, bytes));
  return run->device->ops->sync(run->device);
}

/* Nothing in an arena outlives a step, so an evaluation works in the training's where that is large enough. */
static dt_status acquire_arena(dt_executor *executor, const dt_executor *share) {
  dt_run *run = &executor->run;
  size_t bytes = run->program->arena_bytes;
  executor->owns_arena = share == NULL || share->run.program->arena_bytes < bytes;
  if (executor->owns_arena) return run->device->ops->alloc(run->device, bytes > 0 ? bytes : 1, &run->blocks.arena);
  run->blocks.arena = share->run.blocks.arena;
  return DT_OK;
}

/* What the host reads of a step, and of an evaluation. */
static dt_status acquire_sums(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  const size_t sums = (size_t)program->sum_count;
  if (program->mode == DT_PROGRAM_TRAIN) {
    DT_TRY(dt_alloc((size_t)program->statistics_count + 2 * sums, sizeof *executor->statistics, &executor->statistics));
    executor->outcome.sum = executor->statistics + program->statistics_count;
    executor->outcome.nonfinite = executor->outcome.sum + sums;
  }
  if (program->mode != DT_PROGRAM_EVAL) return DT_OK;
  DT_TRY(dt_alloc((size_t)program->score_words, sizeof *executor->score, &executor->score));
  executor->run.score = executor->score;
  return DT_OK;
}

/* Micro-batches whose batches a step has on its way: evaluation goes micro-batch by micro-batch. */
static int micro_batches_of(const dt_executor *executor) {
  return executor->run.program->mode == DT_PROGRAM_TRAIN ? executor->tree->micro_batch_count : 1;
}

static dt_reducing reducing_of(const dt_reducer *reducer) {
  if (reducer == NULL || !reducer->records) return DT_REDUCING_SPANS;
  return reducer->idle ? DT_REDUCING_NOTHING : DT_REDUCING_AT_BEGIN;
}

/* --- work that ranks share --- */

static double cost_of(const dt_segment *at) {
  const double rows = (double)at->units, columns = (double)at->unit_count;
  return at->matrix ? rows * columns * fmin(rows, columns) : 0;
}

/* The costliest matrix goes to the rank that has least to do, the others likewise in turn; the same on every rank. */
static void choose_owners(const dt_program *program, int ranks, int *owner, double *load) {
  for (int s = 0; s < program->segment_count; s++) owner[s] = -1;
  for (int left = program->segment_count; left > 0; left--) {
    int next = -1, least = 0;
    for (int s = 0; s < program->segment_count; s++) {
      if (owner[s] < 0 && (next < 0 || cost_of(&program->segment[s]) > cost_of(&program->segment[next]))) next = s;
    }
    for (int r = 1; r < ranks; r++) {
      if (load[r] < load[least]) least = r;
    }
    owner[next] = least;
    load[least] += cost_of(&program->segment[next]);
  }
}

static bool makes_orthogonal(const dt_program *program) {
  for (int i = program->micro_batch_end; i < program->count; i++) {
    if (program->instr[i].op == DT_OP_ORTHOGONALISE) return true;
  }
  return false;
}

/* What one rank makes orthogonal the others get: the bits are the same as if each did all. */
static dt_status share_out(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  const int ranks = executor->tree->size;
  if (executor->reducer == NULL || ranks == 1 || executor->reducer->ops->bcast == NULL || !makes_orthogonal(program))
    return DT_OK;
  double *load;
  DT_TRY(dt_alloc((size_t)program->segment_count, sizeof *executor->owner, &executor->owner));
  DT_TRY(dt_alloc((size_t)ranks, sizeof *load, &load));
  choose_owners(program, ranks, executor->owner, load);
  free(load);
  executor->run.owner = executor->owner;
  executor->run.rank = executor->tree->rank;
  return DT_OK;
}

static dt_status hand_out(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  for (int s = 0; s < program->segment_count && executor->owner != NULL; s++) {
    const dt_segment *at = &program->segment[s];
    if (at->matrix) DT_TRY(executor->reducer->ops->bcast(executor->reducer, at->first, at->count, executor->owner[s]));
  }
  return DT_OK;
}

static dt_status acquire(dt_executor *executor, dt_executor *share) {
  dt_run *run = &executor->run;
  executor->owns_blocks = share == NULL;
  DT_TRY(acquire_sums(executor));
  if (share == NULL) {
    DT_TRY(alloc_replica_blocks(executor));
  } else {
    borrow_blocks(executor, share);
  }
  DT_TRY(acquire_arena(executor, share));
  if (dt_program_accumulates(run->program)) DT_TRY(alloc_block(executor, run->program->grad_elements, &run->blocks.sum));
  if (executor->reducer != NULL) {
    run->blocks.grad = executor->reducer->gradient;
    DT_TRY(clear_gradients(executor));
  }
  const dt_stream_ops *streams = run->device->ops->streams;
  if (streams == NULL) return DT_OK;
  DT_TRY(dt_order_create(run->program, reducing_of(executor->reducer), &executor->order));
  return streams->bind(run, executor->reducer, share != NULL ? &share->run : NULL, micro_batches_of(executor));
}

dt_status dt_executor_create(dt_device *device, const dt_program *program, const dt_tree *tree, dt_reducer *reducer,
                             const dt_spec *spec, dt_executor *share, dt_executor **out) {
  dt_executor *executor;
  DT_ASSERT((program->mode == DT_PROGRAM_TRAIN) == (reducer != NULL));
  DT_TRY(dt_alloc(1, sizeof *executor, &executor));
  executor->tree = tree;
  executor->reducer = reducer;
  executor->graph = program->graph;
  executor->spec = spec;
  executor->run = (dt_run){.device = device, .program = program, .step = &executor->step, .seed = spec->seed};
  if (program->mode == DT_PROGRAM_TRAIN) {
    executor->run.optimizer = spec->optimizer.kind->impl;
    executor->run.optimizer_attr = spec->optimizer.attr;
    executor->run.averages = spec->average.kind != NULL;
  }
  *out = executor;
  dt_status status = acquire(executor, share);
  if (status == DT_OK) status = share_out(executor);
  if (status != DT_OK) dt_executor_destroy(out);
  return status;
}

void dt_executor_destroy(dt_executor **pointer) {
  dt_executor *executor = *pointer;
  if (executor == NULL) return;
  dt_device *device = executor->run.device;
  dt_blocks *blocks = &executor->run.blocks;
  *pointer = NULL;
  if (dt_device_is_stuck(device)) return;
  if (device->ops->streams != NULL) device->ops->streams->unbind(&executor->run);
  if (dt_device_is_stuck(device)) return; /* found while it was waited for */
  dt_order_destroy(&executor->order);
  if (executor->owns_arena) device->ops->free(device, blocks->arena);
  device->ops->free(device, blocks->sum);
  if (executor->owns_blocks) {
    for (int s = DT_SLOT_BLOCKS - 1; s >= 0; s--) device->ops->free(device, blocks->slot[s]);
    device->ops->free(device, blocks->state);
    device->ops->free(device, blocks->param);
    dt_replica_destroy(executor);
  }
  free(executor->owner);
  free(executor->statistics);
  free(executor->score);
  free(executor);
}

dt_run *dt_executor_run_state(dt_executor *executor) {
  return &executor->run;
}

/* --- one instruction --- */

/* Lowering has refused what the device has no kernel for. */
static dt_status run_kernel(dt_executor *executor, const dt_instr *instr, const dt_micro_batch *micro) {
  return executor->run.device->kernel[instr->op](&executor->run, instr, micro);
}

static dt_status combine(dt_executor *executor, const dt_micro_batch_plan *plan, const dt_instr *instr) {
  dt_device *device = executor->run.device;
  const dt_bucket *bucket = &executor->run.program->bucket[instr->bucket];
  for (int m = 0; m < plan->merge_count; m++) {
    const dt_merge *merge = &executor->tree->merges[plan->merge_first + m];
    void *into = gradient_at(executor, merge->into, bucket->first);
    DT_TRY(device->add(device, instr->stream, into, gradient_at(executor, merge->from, bucket->first), bucket->count));
  }
  return DT_OK;
}

/* After the reduction, on the sums over all shards. */
static dt_status add_contribution(dt_executor *executor, const dt_instr *instr) {
  dt_device *device = executor->run.device;
  const dt_buffer *into = &executor->run.program->buffer[instr->arg[DT_ARG_DW]];
  const dt_buffer *from = &executor->run.program->buffer[instr->arg[DT_ARG_X]];
  return device->add(device, instr->stream, gradient_at(executor, 0, into->offset), gradient_at(executor, 0, from->offset),
                     dt_shape_count(&into->shape));
}

static dt_status accumulate(dt_executor *executor, const dt_instr *instr) {
  dt_device *device = executor->run.device;
  const dt_bucket *bucket = &executor->run.program->bucket[instr->bucket];
  size_t bytes = (size_t)bucket->count * element_bytes(executor);
  void *own = gradient_at(executor, 0, bucket->first);
  void *sum = (char *)executor->run.blocks.sum + (size_t)bucket->first * element_bytes(executor);
  if (executor->step.partial) return device->add(device, instr->stream, sum, own, bucket->count);
  DT_TRY(device->add(device, instr->stream, own, sum, bucket->count));
  return device->ops->clear(device, sum, bytes);
}

/* --- a step --- */

static bool has_streams(const dt_executor *executor) {
  return executor->run.device->ops->streams != NULL;
}

static dt_status wait_for(dt_executor *executor, dt_stream stream, const int *events) {
  for (int s = 0; s < DT_STREAMS; s++) {
    if (events[s] >= 0) DT_TRY(executor->run.device->ops->streams->wait(&executor->run, stream, events[s]));
  }
  return DT_OK;
}

/* Runs one instruction between the events that order it among the streams. */
static dt_status in_order(dt_executor *executor, int i, const dt_micro_batch *micro) {
  const dt_instr *instr = &executor->run.program->instr[i];
  if (has_streams(executor)) DT_TRY(wait_for(executor, instr->stream, executor->order->wait[i]));
  if (instr->op == DT_OP_REDUCE_BEGIN) {
    DT_TRY(executor->reducer->ops->begin(executor->reducer, instr->bucket));
  } else if (instr->op == DT_OP_REDUCE_END) {
    DT_TRY(executor->reducer->ops->end(executor->reducer, instr->bucket));
  } else if (instr->op == DT_OP_ACCUMULATE) {
    DT_TRY(accumulate(executor, instr));
  } else if (instr->op == DT_OP_COMBINE) {
    if (micro->index >= 0) DT_TRY(combine(executor, &executor->tree->micro_batches[micro->index], instr));
  } else if (instr->op == DT_OP_GRAD_ADD) {
    DT_TRY(add_contribution(executor, instr));
  } else if (micro->index >= 0) {
    DT_TRY(run_kernel(executor, instr, micro));
    if (instr->op == DT_OP_ORTHOGONALISE) DT_TRY(hand_out(executor));
  }
  if (!has_streams(executor) || executor->order->record[i] < 0) return DT_OK;
  return executor->run.device->ops->streams->record(&executor->run, instr->stream, executor->order->record[i]);
}

static dt_micro_batch micro_batch_of(const dt_executor *executor, int index) {
  const dt_micro_batch_plan *plan = &executor->tree->micro_batches[index];
  return (dt_micro_batch){
      .index = index, .first_shard = plan->first_shard, .shard_count = plan->shard_count, .partial = plan->partial};
}

static dt_status run_micro_batch(dt_executor *executor, const dt_micro_batch *micro, bool last) {
  const dt_program *program = executor->run.program;
  for (int i = 0; i < program->micro_batch_end; i++) {
    if (program->instr[i].op == DT_OP_REDUCE_BEGIN && !last) continue;
    DT_TRY(in_order(executor, i, micro));
  }
  if (!has_streams(executor) || executor->order->side_end < 0) return DT_OK;
  return executor->run.device->ops->streams->wait(&executor->run, DT_STREAM_COMPUTE, executor->order->side_end);
}

/* A device that computes at once stands still meanwhile. */
static dt_status await_batch(dt_executor *executor, dt_batch_source *source, void *context, const dt_batch **out) {
  double start = dt_clock_seconds();
  dt_status status = source(context, out);
  executor->outcome.data_wait += dt_clock_seconds() - start;
  return status;
}

/* Devices with streams have taken over the batches before; the others get each as its turn comes. */
static dt_status run_micro_batches(dt_executor *executor, dt_batch_source *source, void *context) {
  int count = executor->tree->micro_batch_count;
  for (int p = 0; p < count; p++) {
    dt_micro_batch micro = micro_batch_of(executor, p);
    if (!has_streams(executor)) DT_TRY(await_batch(executor, source, context, &micro.batch));
    DT_TRY(run_micro_batch(executor, &micro, p + 1 == count));
  }
  if (count > 0) return DT_OK;
  /* A rank without shards brings zeros, and its flags cannot ride: it has no micro-batch and no root. */
  static const dt_micro_batch nothing = {.index = -1};
  dt_run *run = &executor->run;
  size_t bytes = (size_t)run->program->grad_elements * element_bytes(executor);
  DT_TRY(run->device->ops->clear(run->device, run->blocks.grad, bytes));
  return run_micro_batch(executor, &nothing, true);
}

static dt_status run_step_section(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  static const dt_micro_batch whole = {.partial = 0}; /* partial sum 0 holds the sum over all shards */
  const bool partial = executor->step.partial;
  const int end = partial ? program->update_begin : program->count;
  for (int i = program->micro_batch_end; i < end; i++) {
    if (!partial && i >= program->partial_begin && i < program->update_begin) continue;
    DT_TRY(in_order(executor, i, &whole));
  }
  return has_streams(executor) ? wait_for(executor, DT_STREAM_COMPUTE, executor->order->join) : DT_OK;
}

/* Widens in place, from the end on. */
static dt_status read_outcome(dt_executor *executor) {
  dt_device *device = executor->run.device;
  const int64_t count = executor->run.program->statistics_count;
  const void *from = gradient_at(executor, 0, executor->run.program->statistics);
  DT_TRY(device->ops->download(device, executor->statistics, from, (size_t)count * element_bytes(executor)));
  const float *narrow = (const float *)executor->statistics;
  for (int64_t i = count - 1; i >= 0 && device->ops->dtype == DT_F32; i--) executor->statistics[i] = (double)narrow[i];
  executor->outcome.grad_norm = executor->step.grad_norm;
  executor->outcome.penalty = executor->step.penalty;
  return DT_OK;
}

/* From the step statistics: what everything that counts has come to. */
static void read_sums(dt_executor *executor, dt_step_result *out) {
  const dt_program *program = executor->run.program;
  double *sum = executor->statistics + program->statistics_count, *nonfinite = sum + program->sum_count;
  memcpy(out->statistic, executor->statistics, sizeof out->statistic);
  for (int i = 0; i < program->sum_count; i++) {
    const dt_sum *s = &program->sum[i];
    sum[i] = s->column >= 0 ? executor->statistics[s->element] : 0;
    nonfinite[i] = s->column >= 0 && s->decl->kind == DT_SUM_REAL ? executor->statistics[s->element + 1] : 0;
  }
}

static dt_status run_at_once(dt_executor *executor, dt_batch_source *source, void *context) {
  executor->outcome.data_wait = 0;
  DT_TRY(run_micro_batches(executor, source, context));
  DT_TRY(run_step_section(executor));
  return read_outcome(executor);
}

static dt_status run_on_streams(dt_executor *executor, dt_batch_source *source, void *context) {
  const dt_stream_ops *streams = executor->run.device->ops->streams;
  bool replayed = false;
  DT_TRY(streams->ask(&executor->run));
  for (int p = 0; p < executor->tree->micro_batch_count; p++) {
    dt_micro_batch micro = micro_batch_of(executor, p);
    DT_TRY(source(context, &micro.batch));
    DT_TRY(streams->stage(&executor->run, &micro));
  }
  DT_TRY(streams->begin(&executor->run, &replayed));
  if (!replayed) {
    DT_TRY(run_micro_batches(executor, NULL, NULL));
    DT_TRY(run_step_section(executor));
  }
  return streams->end(&executor->run);
}

dt_status dt_executor_step(dt_executor *executor, dt_batch_source *source, void *context, const double *flags) {
  unsigned long allocations = dt_alloc_count();
  memcpy(executor->step.flags, flags, sizeof executor->step.flags);
  dt_status status = (has_streams(executor) ? run_on_streams : run_at_once)(executor, source, context);
  DT_ASSERT(status != DT_OK || dt_alloc_count() == allocations); /* a step that fails may allocate to say so */
  return status;
}

dt_status dt_executor_result(dt_executor *executor, dt_step_result *out) {
  double waited = executor->reducer->wait_seconds;
  *out = executor->outcome;
  if (has_streams(executor)) DT_TRY(executor->run.device->ops->streams->outcome(&executor->run, executor->statistics, out));
  read_sums(executor, out);
  /* Where the host itself waits for sums, it does so while it issues a step: of one that is still on its way too. */
  out->reduce_wait += waited - executor->reduce_wait;
  executor->reduce_wait = waited;
  return DT_OK;
}

int dt_executor_depth(const dt_executor *executor) {
  return has_streams(executor) ? 1 : 0;
}

/* --- evaluation --- */

static dt_status run_all(dt_executor *executor, const dt_micro_batch *micro) {
  for (int i = 0; i < executor->run.program->count; i++) DT_TRY(in_order(executor, i, micro));
  return DT_OK;
}

dt_status dt_executor_run_micro_batch(dt_executor *executor, int micro_batch_index, const dt_batch *batch) {
  const dt_stream_ops *streams = executor->run.device->ops->streams;
  DT_ASSERT(executor->run.program->mode != DT_PROGRAM_TRAIN);
  dt_micro_batch micro = micro_batch_of(executor, micro_batch_index);
  bool replayed = false;
  micro.index = 0;
  micro.batch = batch;
  if (executor->score != NULL) executor->score[0] += batch->samples;
  if (streams == NULL) return run_all(executor, &micro);
  DT_TRY(streams->stage(&executor->run, &micro));
  DT_TRY(streams->begin(&executor->run, &replayed));
  if (!replayed) DT_TRY(run_all(executor, &micro));
  return streams->end(&executor->run);
}

dt_status dt_executor_score(dt_executor *executor, int64_t *out) {
  const size_t bytes = (size_t)executor->run.program->score_words * sizeof *out;
  if (has_streams(executor)) DT_TRY(executor->run.device->ops->streams->take_score(&executor->run, executor->score));
  memcpy(out, executor->score, bytes);
  memset(executor->score, 0, bytes);
  return DT_OK;
}

dt_status dt_executor_set_normalisation(dt_executor *executor, const float *scale, const float *shift) {
  dt_run *run = &executor->run;
  run->blocks.scale = scale;
  run->blocks.shift = shift;
  const dt_stream_ops *streams = run->device->ops->streams;
  return streams != NULL ? streams->refresh(run) : DT_OK;
}
