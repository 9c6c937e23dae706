/* Lowering, step by step: forward instructions, automatic differentiation by the layers, fusion, buckets, memory. */
#include "core/program/program.h"

#include <stdlib.h>

#include "core/optim/optimizer.h"
#include "core/program/lowering.h"
#include "core/solver.h"

const dt_op_info dt_op_infos[DT_OP_COUNT] = {
#define DT_OP(OP, op, section_name, attr_name, reference, cpu, gpu, reads_mask, writes_mask) \
  [DT_OP_##OP] = {.name = #op,                                                               \
                  .section = DT_SECTION_##section_name,                                      \
                  .attr = DT_ATTR_##attr_name,                                               \
                  .reads = reads_mask,                                                       \
                  .writes = writes_mask},
#include "core/program/ops.def"
#undef DT_OP
};

typedef struct owned_program {
  dt_program program; /* first, so that a dt_program is its owner */
  dt_region region;
} owned_program;

static dt_status node_states_create(dt_builder *b) {
  int count = b->graph->count;
  bool *trainable;
  DT_TRY(dt_alloc((size_t)count, sizeof *b->node, &b->node));
  DT_TRY(dt_alloc((size_t)b->graph->param_count, sizeof *b->param, &b->param));
  DT_TRY(dt_alloc((size_t)count, sizeof *trainable, &trainable));
  dt_graph_find_trainable(b->graph, trainable);
  for (int n = 0; n < count; n++) {
    b->node[n] = (dt_node_state){.value = -1, .gradient = -1, .kept = -1, .state = -1, .stat = -1, .trainable = trainable[n]};
    for (int i = 0; i < DT_NODE_PARAMS; i++) b->node[n].contribution[i] = -1;
  }
  free(trainable);
  return DT_OK;
}

static dt_status emit_load(dt_builder *b, const dt_node *input) {
  int y = dt_builder_new_value(b, input, "", &input->shape);
  int field = dt_builder_field(b, input->field);
  dt_instr *instr = dt_builder_emit(b, input, DT_OP_LOAD);
  instr->arg[DT_ARG_X] = field;
  instr->arg[DT_ARG_Y] = y;
  instr->channel = b->program->input_channels;
  b->program->input_channels += (int)dt_shape_channels(&input->shape);
  dt_builder_set_value(b, input, y);
  return b->status;
}

/* What predictions do not depend on is not computed for them. */
static void mark_needed(const dt_builder *b, bool *needed) {
  const int output = b->graph->goals.loss[0].node;
  for (int n = b->graph->count - 1; n >= 0; n--) {
    const dt_node *node = &b->graph->node[n];
    needed[n] = needed[n] || b->mode != DT_PROGRAM_PREDICT || n == output;
    for (int i = 0; i < node->input_count && needed[n]; i++) needed[node->input[i]] = true;
  }
}

static dt_status emit_forward(dt_builder *b, const bool *needed) {
  for (int n = 0; n < b->graph->input_count; n++) {
    if (needed[n]) DT_TRY(emit_load(b, &b->graph->node[n]));
  }
  for (int n = b->graph->input_count; n < b->graph->count; n++) {
    const dt_node *node = &b->graph->node[n];
    if (!needed[n]) continue;
    DT_TRY(node->layer->forward(b, node));
    DT_TRY(b->status);
  }
  return DT_OK;
}

/* One instruction sums what all losses and metrics have given of the samples. */
static dt_status emit_sums(dt_builder *b) {
  if (b->mode == DT_PROGRAM_PREDICT) return DT_OK;
  dt_instr sums = dt_instr_make(b->mode == DT_PROGRAM_TRAIN ? DT_OP_TALLY : DT_OP_SCORE, -1);
  sums.arg[DT_ARG_TERMS] = b->terms;
  if (b->mode == DT_PROGRAM_TRAIN) sums.arg[DT_ARG_STAT] = b->statistics;
  return dt_instr_list_append(&b->micro, &sums);
}

/* Reverse mode: nodes are walked from the loss back, so that every reader of a value has handed over its part of the value's
 * gradient before the node that made the value is reached. */
static dt_status emit_backward(dt_builder *b) {
  for (int n = b->graph->count - 1; n >= b->graph->input_count; n--) {
    const dt_node *node = &b->graph->node[n];
    if (!b->node[n].trainable || node->layer->backward == NULL) continue; /* losses have given their gradients in forward */
    DT_ASSERT(b->node[n].gradient >= 0);
    DT_TRY(node->layer->backward(b, node, b->node[n].gradient));
    DT_TRY(b->status);
  }
  return DT_OK;
}

static void find_field_uses(dt_program *program) {
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      const dt_buffer *buffer = instr->arg[a] >= 0 ? &program->buffer[instr->arg[a]] : NULL;
      if (buffer == NULL || buffer->kind != DT_BUF_FIELD) continue;
      dt_field_use *use = &program->field_use[buffer->offset];
      if (instr->op == DT_OP_LOAD) program->field_loaded[buffer->offset] = true;
      if (*use != DT_FIELD_READ) *use = instr->op == DT_OP_LOAD ? DT_FIELD_LOADED : DT_FIELD_READ;
    }
  }
}

/* The executor and the reducer carry these out; all else is a kernel of the device. */
static bool needs_kernel(dt_op op) {
  return op != DT_OP_COMBINE && op != DT_OP_ACCUMULATE && op != DT_OP_REDUCE_BEGIN && op != DT_OP_REDUCE_END &&
         op != DT_OP_GRAD_ADD;
}

/* What a device lacks is refused here, before anything has started. */
static dt_status check_kernels(const dt_builder *b) {
  const dt_program *program = b->program;
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    const char *op = dt_op_infos[instr->op].name, *device = b->device->ops->name;
    if (!needs_kernel(instr->op) || b->device->kernel[instr->op] != NULL) continue;
    DT_REQUIRE(instr->node >= 0, DT_USAGE, "the %s device has no kernel for %s, which every step needs: choose another device",
               device, op);
    const dt_node *node = &b->graph->node[instr->node];
    return dt_config_error_at(b->graph->config, node->origin,
                              "%s needs %s, for which the %s device has no kernel: choose another layer or device", node->name,
                              op, device);
  }
  return DT_OK;
}

static dt_status check_optimizer(const dt_builder *b, const dt_spec *spec) {
  const dt_device_ops *device = b->device->ops;
  const dt_optimizer *optimizer = spec->optimizer.kind->impl;
  DT_REQUIRE(b->mode != DT_PROGRAM_TRAIN || device->updates(b->device, optimizer), DT_USAGE,
             "optimizer: found %s, which the %s device has no kernel for; choose another, or --device cpu", optimizer->name,
             device->name);
  return DT_OK;
}

static dt_status lower(dt_builder *b, const dt_spec *spec) {
  DT_TRY(check_optimizer(b, spec));
  DT_TRY(node_states_create(b));
  DT_TRY(dt_layout_blocks(b));
  if (b->mode == DT_PROGRAM_TRAIN) DT_TRY(dt_make_segments(b, spec));
  bool *needed;
  DT_TRY(dt_alloc((size_t)b->graph->count, sizeof *needed, &needed));
  mark_needed(b, needed);
  dt_status status = emit_forward(b, needed);
  free(needed);
  DT_TRY(status);
  DT_TRY(emit_sums(b));
  if (b->mode == DT_PROGRAM_TRAIN) DT_TRY(emit_backward(b));
  DT_TRY(dt_fuse(b));
  const dt_solver *solver = spec->solver.kind->impl;
  const dt_step_form form = {.norm_first = spec->train.clip_norm > 0 || spec->precision == DT_FP16,
                             .penalises = spec->train.l1 > 0 || spec->train.l2 > 0,
                             .clips_units = spec->train.clip_units > 0,
                             .bounds = spec->train.max_norm > 0,
                             .accumulates = solver->whole,
                             .ascends = solver->passes > 1,
                             .emit = ((const dt_optimizer *)spec->optimizer.kind->impl)->emit};
  b->program->bucket_bytes = spec->comm.bucket_bytes > 0 ? spec->comm.bucket_bytes : b->device->ops->bucket_bytes;
  DT_TRY(dt_schedule_buckets(b, form));
  dt_assign_streams(b);
  DT_TRY(check_kernels(b));
  find_field_uses(b->program);
  return dt_plan_memory(b);
}

static void builder_free(dt_builder *b) {
  free(b->node);
  free(b->param);
  free(b->micro.item);
  free(b->step.item);
  free(b->additions.item);
  free(b->optimizer.item);
}

dt_status dt_program_create(const dt_graph *graph, const dt_spec *spec, const dt_device *device, dt_program_mode mode,
                            int micro_batch_shards, dt_program **out) {
  owned_program *owned;
  int64_t batch = spec->train.global_batch, shards = spec->train.shards;
  DT_TRY(dt_alloc(1, sizeof *owned, &owned));
  owned->program = (dt_program){
      .graph = graph,
      .field = graph->field,
      .field_count = graph->field_count,
      .mode = mode,
      .global_batch = batch,
      .shards = (int)shards,
      .micro_batch_shards = micro_batch_shards,
      .shard_capacity = (batch + shards - 1) / shards,
      .logits = -1,
  };
  dt_builder b = {
      .graph = graph, .device = device, .program = &owned->program, .region = &owned->region, .mode = mode, .terms = -1};
  dt_status status = lower(&b, spec);
  builder_free(&b);
  *out = &owned->program;
  if (status != DT_OK) dt_program_destroy(out);
  return status;
}

void dt_program_destroy(dt_program **program) {
  if (*program == NULL) return;
  owned_program *owned = (owned_program *)*program;
  free(owned->program.buffer);
  free(owned->program.instr);
  free(owned->program.bucket);
  free(owned->program.param);
  free(owned->program.state);
  free(owned->program.sum);
  free(owned->program.segment);
  dt_region_free(&owned->region);
  free(owned);
  *program = NULL;
}
