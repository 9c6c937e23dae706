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

#include "core/executor_internal.h"

static size_t element_bytes(const dt_executor *executor) {
  return dt_dtype_bytes(executor->run.device->ops->dtype);
}

static void *gradient_at(const dt_executor *executor, int node, int64_t element) {
  int64_t index = node * executor->run.program->grad_elements + element;
  return (char *)executor->run.blocks.grad + (size_t)index * element_bytes(executor);
}

/* --- set-up --- */

static dt_status alloc_block(dt_executor *executor, int64_t elements, void **out) {
  dt_device *device = executor->run.device;
  size_t bytes = (size_t)elements * element_bytes(executor);
  return device->ops->alloc(device, bytes > 0 ? bytes : 1, out);
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

static dt_status clear_node(dt_executor *executor, int node) {
  size_t bytes = (size_t)executor->run.program->grad_elements * element_bytes(executor);
  memset(executor->host, 0, bytes);
  return executor->run.device->ops->upload(executor->run.device, gradient_at(executor, node, 0), executor->host, bytes);
}

/* The gaps between slices are never written and take part in sums and norms: they must hold zeros from the start. */
static dt_status clear_gradients(dt_executor *executor) {
  executor->run.blocks.grad = executor->reducer->gradient;
  for (int node = 0; node < executor->tree->nodes_max; node++) DT_TRY(clear_node(executor, node));
  return executor->run.device->ops->sync(executor->run.device);
}

static dt_status acquire(dt_executor *executor, dt_executor *share) {
  dt_run *run = &executor->run;
  executor->owns_blocks = share == NULL;
  if (share == NULL) {
    DT_TRY(alloc_replica_blocks(executor));
  } else {
    borrow_blocks(executor, share);
  }
  size_t arena_bytes = run->program->arena_bytes;
  DT_TRY(run->device->ops->alloc(run->device, arena_bytes > 0 ? arena_bytes : 1, &run->blocks.arena));
  DT_TRY(dt_alloc((size_t)run->program->grad_elements, element_bytes(executor), &executor->host));
  return executor->reducer != NULL ? clear_gradients(executor) : DT_OK;
}

dt_status dt_executor_create(dt_device *device, const dt_program *program, const dt_tree *tree, dt_reducer *reducer,
                             const dt_spec *spec, dt_executor *share, dt_executor **out) {
  dt_executor *executor;
  DT_ASSERT((program->mode == DT_PROGRAM_TRAIN) == (reducer != NULL));
  DT_TRY(dt_alloc(1, sizeof *executor, &executor));
  executor->tree = tree;
  executor->reducer = reducer;
  executor->graph = program->graph;
  executor->run = (dt_run){.device = device, .program = program, .step = &executor->step, .seed = spec->seed};
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
  free(executor->host);
  device->ops->free(device, blocks->arena);
  if (executor->owns_blocks) {
    for (int s = 3; s >= 0; s--) device->ops->free(device, blocks->slot[s]);
    device->ops->free(device, blocks->state);
    device->ops->free(device, blocks->param);
    dt_replica_destroy(executor);
  }
  free(executor);
  *pointer = NULL;
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

static void set_host(const dt_executor *executor, void *host, int i, double value) {
  if (executor->run.device->ops->dtype == DT_F64) {
    ((double *)host)[i] = value;
  } else {
    ((float *)host)[i] = (float)value;
  }
}

static double get_host(const dt_executor *executor, const void *host, int i) {
  return executor->run.device->ops->dtype == DT_F64 ? ((const double *)host)[i] : (double)((const float *)host)[i];
}

/* Flags ride on the first root of this rank; the others carry zeros, since what lies there is left from earlier steps. */
static dt_status write_flags(dt_executor *executor, const double *flags) {
  enum { COUNT = DT_TAIL_FAIL - DT_TAIL_STOP + 1 };
  dt_device *device = executor->run.device;
  const dt_tree *tree = executor->tree;
  double host[COUNT];
  for (int r = 0; r < tree->root_count; r++) {
    for (int i = 0; i < COUNT; i++) set_host(executor, host, i, r == 0 ? flags[DT_TAIL_STOP + i] : 0);
    void *to = gradient_at(executor, tree->roots[tree->root_first + r].node, executor->run.program->tail + DT_TAIL_STOP);
    DT_TRY(device->ops->upload(device, to, host, COUNT * element_bytes(executor)));
  }
  return DT_OK;
}

static dt_status reduce_begin(dt_executor *executor, int bucket, const double *flags) {
  dt_device *device = executor->run.device;
  if (bucket == executor->run.program->bucket_count - 1) DT_TRY(write_flags(executor, flags));
  DT_TRY(device->ops->sync(device));
  return executor->reducer->ops->begin(executor->reducer, bucket);
}

/* --- a step --- */

static dt_status run_pass(dt_executor *executor, int index, const dt_pass *pass, const double *flags) {
  const dt_program *program = executor->run.program;
  const dt_pass_plan *plan = &executor->tree->passes[index];
  bool last = index + 1 == executor->tree->pass_count;
  for (int i = 0; i < program->pass_end; i++) {
    const dt_instr *instr = &program->instr[i];
    if (instr->op == DT_OP_COMBINE) {
      DT_TRY(combine(executor, plan, &program->bucket[instr->bucket]));
    } else if (instr->op == DT_OP_REDUCE_BEGIN) {
      if (last) DT_TRY(reduce_begin(executor, instr->bucket, flags));
    } else {
      DT_TRY(run_kernel(executor, instr, pass));
    }
  }
  return DT_OK;
}

static dt_status run_passes(dt_executor *executor, dt_batch_source *source, void *context, const double *flags) {
  for (int p = 0; p < executor->tree->pass_count; p++) {
    const dt_pass_plan *plan = &executor->tree->passes[p];
    dt_pass pass = {.first_shard = plan->first_shard, .shard_count = plan->shard_count, .node = plan->node};
    DT_TRY(source(context, &pass.batch));
    DT_TRY(run_pass(executor, p, &pass, flags));
  }
  return DT_OK;
}

/* A rank without shards brings zeros, and its flags cannot ride: it has no root. */
static dt_status join_without_shards(dt_executor *executor, const double *flags) {
  DT_TRY(clear_node(executor, 0));
  for (int b = 0; b < executor->run.program->bucket_count; b++) DT_TRY(reduce_begin(executor, b, flags));
  return DT_OK;
}

static dt_status run_step_section(dt_executor *executor) {
  const dt_program *program = executor->run.program;
  static const dt_pass whole = {.node = 0}; /* node 0 holds the sum over all shards */
  for (int i = program->pass_end; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    if (instr->op == DT_OP_REDUCE_END) {
      DT_TRY(executor->reducer->ops->end(executor->reducer, instr->bucket));
    } else {
      DT_TRY(run_kernel(executor, instr, &whole));
    }
  }
  return DT_OK;
}

static dt_status read_tail(dt_executor *executor, double *tail) {
  dt_device *device = executor->run.device;
  const void *from = gradient_at(executor, 0, executor->run.program->tail);
  DT_TRY(device->ops->download(device, executor->host, from, DT_TAIL_COUNT * element_bytes(executor)));
  DT_TRY(device->ops->sync(device));
  for (int i = 0; i < DT_TAIL_COUNT; i++) tail[i] = get_host(executor, executor->host, i);
  return DT_OK;
}

static dt_status run_step(dt_executor *executor, dt_batch_source *source, void *context, const double *flags, double *tail) {
  if (executor->tree->pass_count > 0) {
    DT_TRY(run_passes(executor, source, context, flags));
  } else {
    DT_TRY(join_without_shards(executor, flags));
  }
  DT_TRY(run_step_section(executor));
  return read_tail(executor, tail);
}

dt_status dt_executor_step(dt_executor *executor, dt_batch_source *source, void *context, const double *flags, double *tail) {
  unsigned long allocations = dt_alloc_count();
  dt_status status = run_step(executor, source, context, flags, tail);
  DT_ASSERT(dt_alloc_count() == allocations);
  return status;
}

dt_status dt_executor_pass(dt_executor *executor, int pass_index, const dt_batch *batch, dt_score *score) {
  const dt_program *program = executor->run.program;
  const dt_pass_plan *plan = &executor->tree->passes[pass_index];
  DT_ASSERT(program->mode != DT_PROGRAM_TRAIN);
  dt_pass pass = {.first_shard = plan->first_shard, .shard_count = plan->shard_count, .batch = batch, .score = score};
  for (int i = 0; i < program->count; i++) DT_TRY(run_kernel(executor, &program->instr[i], &pass));
  return executor->run.device->ops->sync(executor->run.device);
}
