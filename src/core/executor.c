/* The training step.
 *
 * Invariants
 * 1. A pass writes one gradient node; after it the merges that the tree has due are made, bucket by bucket, as soon as a bucket
 *    is complete, so that in the last pass its reduction can begin while backward goes on.
 * 2. Between REDUCE_BEGIN and REDUCE_END of a bucket nobody touches its elements.
 * 3. Every rank begins and ends the same buckets in the same order, whether it has shards or not.
 * 4. A step allocates nothing. */
#include "core/executor.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/executor_internal.h"

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
    DT_TRY(alloc_block(executor, program->param_elements, &blocks->slot[s]));
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
  size_t bytes = (size_t)executor->tree->nodes_max * (size_t)run->program->grad_elements * element_bytes(executor);
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

/* Passes whose batches a step has on its way: evaluation goes pass by pass. */
static int passes_of(const dt_executor *executor) {
  return executor->run.program->mode == DT_PROGRAM_TRAIN ? executor->tree->pass_count : 1;
}

static dt_status acquire(dt_executor *executor, dt_executor *share) {
  dt_run *run = &executor->run;
  executor->owns_blocks = share == NULL;
  if (share == NULL) {
    DT_TRY(alloc_replica_blocks(executor));
  } else {
    borrow_blocks(executor, share);
  }
  DT_TRY(acquire_arena(executor, share));
  if (executor->reducer != NULL) {
    run->blocks.grad = executor->reducer->gradient;
    DT_TRY(clear_gradients(executor));
  }
  if (run->device->ops->bind == NULL) return DT_OK;
  bool begins_alone = executor->reducer != NULL && executor->reducer->records;
  DT_TRY(dt_order_create(run->program, begins_alone, &executor->order));
  return run->device->ops->bind(run, executor->reducer, share != NULL ? &share->run : NULL, passes_of(executor));
}

dt_status dt_executor_create(dt_device *device, const dt_program *program, const dt_tree *tree, dt_reducer *reducer,
                             const dt_spec *spec, dt_executor *share, dt_executor **out) {
  dt_executor *executor;
  DT_ASSERT((program->mode == DT_PROGRAM_TRAIN) == (reducer != NULL));
  DT_TRY(dt_alloc(1, sizeof *executor, &executor));
  executor->tree = tree;
  executor->reducer = reducer;
  executor->graph = program->graph;
  executor->run =
      (dt_run){.device = device, .program = program, .step = &executor->step, .seed = spec->seed, .score = &executor->score};
  if (program->mode == DT_PROGRAM_TRAIN) {
    executor->run.optimizer = spec->optimizer.kind->impl;
    executor->run.optimizer_attr = spec->optimizer.attr;
  }
  *out = executor;
  dt_status status = acquire(executor, share);
  if (status != DT_OK) dt_executor_destroy(out);
  return status;
}

void dt_executor_destroy(dt_executor **pointer) {
  dt_executor *executor = *pointer;
  if (executor == NULL) return;
  dt_device *device = executor->run.device;
  dt_blocks *blocks = &executor->run.blocks;
  *pointer = NULL;
  if (device->hung) return;
  if (device->ops->unbind != NULL) device->ops->unbind(&executor->run);
  dt_order_destroy(&executor->order);
  if (executor->owns_arena) device->ops->free(device, blocks->arena);
  if (executor->owns_blocks) {
    for (int s = 3; s >= 0; s--) device->ops->free(device, blocks->slot[s]);
    device->ops->free(device, blocks->state);
    device->ops->free(device, blocks->param);
    dt_replica_destroy(executor);
  }
  free(executor);
}

dt_run *dt_executor_run_state(dt_executor *executor) {
  return &executor->run;
}

/* --- one instruction --- */

static dt_status run_kernel(dt_executor *executor, const dt_instr *instr, const dt_pass *pass) {
  dt_kernel *kernel = executor->run.device->kernel[instr->op];
  DT_REQUIRE(kernel != NULL, DT_ENVIRONMENT, "the %s device has no kernel for %s, which %s needs",
             executor->run.device->ops->name, dt_op_infos[instr->op].name,
             instr->node >= 0 ? executor->graph->node[instr->node].name : "the step");
  return kernel(&executor->run, instr, pass);
}

static dt_status combine(dt_executor *executor, const dt_pass_plan *plan, const dt_bucket *bucket) {
  dt_device *device = executor->run.device;
  for (int m = 0; m < plan->merge_count; m++) {
    const dt_merge *merge = &executor->tree->merges[plan->merge_first + m];
    void *into = gradient_at(executor, merge->into, bucket->first);
    DT_TRY(device->add(device, into, gradient_at(executor, merge->from, bucket->first), bucket->count));
  }
  return DT_OK;
}

/* --- a step --- */

static bool has_streams(const dt_executor *executor) {
  return executor->order != NULL;
}

static dt_status wait_for(dt_executor *executor, dt_stream stream, const int *events) {
  for (int s = 0; s < DT_STREAMS; s++) {
    if (events[s] >= 0) DT_TRY(executor->run.device->ops->wait(&executor->run, stream, events[s]));
  }
  return DT_OK;
}

/* Runs one instruction between the events that order it among the streams. */
static dt_status in_order(dt_executor *executor, int i, const dt_pass *pass) {
  const dt_instr *instr = &executor->run.program->instr[i];
  if (has_streams(executor)) DT_TRY(wait_for(executor, instr->stream, executor->order->wait[i]));
  if (instr->op == DT_OP_REDUCE_BEGIN) {
    DT_TRY(executor->reducer->ops->begin(executor->reducer, instr->bucket));
  } else if (instr->op == DT_OP_REDUCE_END) {
    DT_TRY(executor->reducer->ops->end(executor->reducer, instr->bucket));
  } else if (instr->op == DT_OP_COMBINE) {
    if (pass->index >= 0) {
      DT_TRY(combine(executor, &executor->tree->passes[pass->index], &executor->run.program->bucket[instr->bucket]));
    }
  } else if (pass->index >= 0) {
    DT_TRY(run_kernel(executor, instr, pass));
  }
  if (!has_streams(executor) || executor->order->record[i] < 0) return DT_OK;
  return executor->run.device->ops->record(&executor->run, instr->stream, executor->order->record[i]);
}

static dt_pass pass_of(const dt_executor *executor, int index) {
  const dt_pass_plan *plan = &executor->tree->passes[index];
  return (dt_pass){.index = index, .first_shard = plan->first_shard, .shard_count = plan->shard_count, .node = plan->node};
}

static dt_status run_pass(dt_executor *executor, const dt_pass *pass, bool last) {
  const dt_program *program = executor->run.program;
  for (int i = 0; i < program->pass_end; i++) {
    if (program->instr[i].op == DT_OP_REDUCE_BEGIN && !last) continue;
    DT_TRY(in_order(executor, i, pass));
  }
  return DT_OK;
}

/* A device that computes at once stands still meanwhile. */
static dt_status await_batch(dt_executor *executor, dt_batch_source *source, void *context, const dt_batch **out) {
  double start = dt_clock_seconds();
  dt_status status = source(context, out);
  executor->outcome.data_wait += dt_clock_seconds() - start;
  return status;
}

/* Devices with streams have taken over the batches before; the others get each as its turn comes. */
static dt_status run_passes(dt_executor *executor, dt_batch_source *source, void *context) {
  int count = executor->tree->pass_count;
  for (int p = 0; p < count; p++) {
    dt_pass pass = pass_of(executor, p);
    if (!has_streams(executor)) DT_TRY(await_batch(executor, source, context, &pass.batch));
    DT_TRY(run_pass(executor, &pass, p + 1 == count));
  }
  if (count > 0) return DT_OK;
  /* A rank without shards brings zeros, and its flags cannot ride: it has no pass and no root. */
  static const dt_pass nothing = {.index = -1};
  dt_run *run = &executor->run;
  size_t bytes = (size_t)run->program->grad_elements * element_bytes(executor);
  DT_TRY(run->device->ops->clear(run->device, run->blocks.grad, bytes));
  return run_pass(executor, &nothing, true);
}

static dt_status run_step_section(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  static const dt_pass whole = {.node = 0}; /* node 0 holds the sum over all shards */
  for (int i = program->pass_end; i < program->count; i++) DT_TRY(in_order(executor, i, &whole));
  return has_streams(executor) ? wait_for(executor, DT_STREAM_COMPUTE, executor->order->join) : DT_OK;
}

static dt_status read_outcome(dt_executor *executor) {
  dt_device *device = executor->run.device;
  double wide[DT_TAIL_COUNT];
  float narrow[DT_TAIL_COUNT];
  bool is_wide = device->ops->dtype == DT_F64;
  void *host = is_wide ? (void *)wide : (void *)narrow;
  const void *from = gradient_at(executor, 0, executor->run.program->tail);
  DT_TRY(device->ops->download(device, host, from, DT_TAIL_COUNT * element_bytes(executor)));
  for (int i = 0; i < DT_TAIL_COUNT; i++) executor->outcome.tail[i] = is_wide ? wide[i] : (double)narrow[i];
  executor->outcome.grad_norm = executor->step.grad_norm;
  return DT_OK;
}

static dt_status run_at_once(dt_executor *executor, dt_batch_source *source, void *context) {
  executor->outcome.data_wait = 0;
  DT_TRY(run_passes(executor, source, context));
  DT_TRY(run_step_section(executor));
  return read_outcome(executor);
}

static dt_status run_on_streams(dt_executor *executor, dt_batch_source *source, void *context) {
  const dt_device_ops *ops = executor->run.device->ops;
  bool replayed = false;
  DT_TRY(ops->ask(&executor->run));
  for (int p = 0; p < executor->tree->pass_count; p++) {
    dt_pass pass = pass_of(executor, p);
    DT_TRY(source(context, &pass.batch));
    DT_TRY(ops->stage(&executor->run, &pass));
  }
  DT_TRY(ops->begin(&executor->run, &replayed));
  if (!replayed) {
    DT_TRY(run_passes(executor, NULL, NULL));
    DT_TRY(run_step_section(executor));
  }
  return ops->end(&executor->run);
}

dt_status dt_executor_step(dt_executor *executor, dt_batch_source *source, void *context, const double *flags) {
  unsigned long allocations = dt_alloc_count();
  memcpy(executor->step.flags, flags, sizeof executor->step.flags);
  dt_status status = (has_streams(executor) ? run_on_streams : run_at_once)(executor, source, context);
  DT_ASSERT(status != DT_OK || dt_alloc_count() == allocations); /* a step that fails may allocate to say so */
  return status;
}

dt_status dt_executor_outcome(dt_executor *executor, dt_outcome *out) {
  double waited = executor->reducer->wait_seconds;
  *out = executor->outcome;
  if (has_streams(executor)) DT_TRY(executor->run.device->ops->outcome(&executor->run, out));
  /* Where the host itself waits for sums, it does so while it issues a step: of one that is still on its way too. */
  out->reduce_wait += waited - executor->reduce_wait;
  executor->reduce_wait = waited;
  return DT_OK;
}

int dt_executor_lag(const dt_executor *executor) {
  return has_streams(executor) ? 1 : 0;
}

/* --- evaluation --- */

static dt_status run_all(dt_executor *executor, const dt_pass *pass) {
  for (int i = 0; i < executor->run.program->count; i++) DT_TRY(in_order(executor, i, pass));
  return DT_OK;
}

dt_status dt_executor_pass(dt_executor *executor, int pass_index, const dt_batch *batch) {
  const dt_device_ops *ops = executor->run.device->ops;
  DT_ASSERT(executor->run.program->mode != DT_PROGRAM_TRAIN);
  dt_pass pass = pass_of(executor, pass_index);
  bool replayed = false;
  pass.index = 0;
  pass.batch = batch;
  if (!has_streams(executor)) return run_all(executor, &pass);
  DT_TRY(ops->stage(&executor->run, &pass));
  DT_TRY(ops->begin(&executor->run, &replayed));
  if (!replayed) DT_TRY(run_all(executor, &pass));
  return ops->end(&executor->run);
}

dt_status dt_executor_score(dt_executor *executor, dt_score *out) {
  if (has_streams(executor)) return executor->run.device->ops->take_score(&executor->run, out);
  *out = executor->score;
  executor->score = (dt_score){0};
  return DT_OK;
}

dt_status dt_executor_set_normalisation(dt_executor *executor, const float *scale, const float *shift) {
  dt_run *run = &executor->run;
  run->blocks.scale = scale;
  run->blocks.shift = shift;
  return run->device->ops->refresh != NULL ? run->device->ops->refresh(run) : DT_OK;
}
