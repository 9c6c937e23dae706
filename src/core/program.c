/* Lowering, step by step: forward instructions, automatic differentiation by the layers, fusion, buckets, memory. */
#include "core/program.h"

#include <stdlib.h>

#include "core/lowering.h"

const dt_op_info dt_op_infos[DT_OP_COUNT] = {
#define X(op, text, reads_mask, writes_mask) [DT_OP_##op] = {.name = text, .reads = reads_mask, .writes = writes_mask},
    DT_OP_LIST(X)
#undef X
};

typedef struct owned_program {
  dt_program program; /* first, so that a dt_program is its owner */
  dt_region region;
} owned_program;

static dt_status node_states_create(dt_builder *b) {
  int count = b->graph->count;
  bool *trainable;
  DT_TRY(dt_alloc((size_t)count, sizeof *b->node, &b->node));
  DT_TRY(dt_alloc((size_t)count, sizeof *trainable, &trainable));
  dt_graph_find_trainable(b->graph, trainable);
  for (int n = 0; n < count; n++) {
    b->node[n] = (dt_node_state){.value = -1, .gradient = -1, .kept = -1, .state = -1, .stat = -1, .trainable = trainable[n]};
    for (int i = 0; i < DT_NODE_PARAMS; i++) b->node[n].param[i] = b->node[n].param_gradient[i] = -1;
  }
  free(trainable);
  return DT_OK;
}

static dt_status emit_load(dt_builder *b) {
  const dt_node *input = &b->graph->node[0];
  int y = dt_builder_new_value(b, input, "", &input->shape);
  dt_builder_emit(b, input, DT_OP_LOAD)->arg[DT_ARG_Y] = y;
  dt_builder_set_value(b, input, y);
  return b->status;
}

static dt_status emit_forward(dt_builder *b) {
  DT_TRY(emit_load(b));
  for (int n = 1; n < b->graph->count; n++) {
    const dt_node *node = &b->graph->node[n];
    DT_TRY(node->layer->forward(b, node));
    DT_TRY(b->status);
  }
  return DT_OK;
}

/* Reverse mode: nodes are walked from the loss back, so that every reader of a value has handed over its part of the value's
 * gradient before the node that made the value is reached. */
static dt_status emit_backward(dt_builder *b) {
  for (int n = b->graph->count - 2; n > 0; n--) {
    const dt_node *node = &b->graph->node[n];
    if (!b->node[n].trainable) continue;
    DT_ASSERT(b->node[n].gradient >= 0);
    DT_TRY(node->layer->backward(b, node, b->node[n].gradient));
    DT_TRY(b->status);
  }
  return DT_OK;
}

static dt_status lower(dt_builder *b, const dt_spec *spec) {
  DT_TRY(node_states_create(b));
  DT_TRY(dt_layout_blocks(b));
  DT_TRY(emit_forward(b));
  if (b->mode == DT_PROGRAM_TRAIN) DT_TRY(emit_backward(b));
  DT_TRY(dt_fuse(b));
  DT_TRY(dt_schedule_buckets(b, spec->comm.bucket_bytes, spec->train.clip_norm > 0 || spec->precision == DT_FP16));
  return dt_plan_memory(b);
}

static void builder_free(dt_builder *b) {
  free(b->node);
  free(b->pass.item);
  free(b->step.item);
}

dt_status dt_program_create(const dt_graph *graph, const dt_spec *spec, const dt_device *device, dt_program_mode mode,
                            int pass_shards, dt_program **out) {
  owned_program *owned;
  int64_t batch = spec->train.global_batch, shards = spec->train.shards;
  DT_TRY(dt_alloc(1, sizeof *owned, &owned));
  owned->program = (dt_program){
      .graph = graph,
      .mode = mode,
      .global_batch = batch,
      .shards = (int)shards,
      .pass_shards = pass_shards,
      .shard_slots = (batch + shards - 1) / shards,
      .logits = -1,
  };
  dt_builder b = {.graph = graph, .device = device, .program = &owned->program, .region = &owned->region, .mode = mode};
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
  dt_region_free(&owned->region);
  free(owned);
  *program = NULL;
}
