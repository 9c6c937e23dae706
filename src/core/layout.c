/* The flat blocks. Parameters lie in the order in which backward finishes them, last node first, so that a bucket is a slice
 * that closes early; each starts at a multiple of 16 elements, so that vectors never straddle two of them. The gradient block
 * continues with the statistics and ends with the tail. */
#include <stdlib.h>

#include "core/lowering.h"

static dt_buffer slice(dt_buffer_kind kind, const char *name, const dt_shape *shape, int64_t offset) {
  return (dt_buffer){.kind = kind, .name = name, .shape = *shape, .alias_of = -1, .offset = offset};
}

static int64_t place(int64_t *end, int64_t count) {
  int64_t offset = *end;
  *end = dt_round_up(offset + count, DT_ALIGN_ELEMENTS);
  return offset;
}

static dt_status count_slices(dt_builder *b) {
  int params = 0, states = 0;
  for (int n = 0; n < b->graph->count; n++) {
    params += b->graph->node[n].param_count;
    states += b->graph->node[n].state_count;
  }
  DT_TRY(dt_alloc((size_t)params, sizeof *b->program->param, &b->program->param));
  return dt_alloc((size_t)states, sizeof *b->program->state, &b->program->state);
}

static dt_status describe_slice(dt_builder *b, const dt_node *node, int role, const dt_param_decl *decl, int64_t offset,
                                dt_param *out) {
  *out = (dt_param){
      .node = node->index, .role = role, .shape = decl->shape, .offset = offset, .count = dt_shape_count(&decl->shape)};
  return dt_region_format(b->region, &out->name, "%s.%s", node->name, decl->role);
}

static dt_status place_params(dt_builder *b, const dt_node *node) {
  dt_program *program = b->program;
  for (int i = 0; i < node->param_count; i++) {
    const dt_param_decl *decl = &node->param[i];
    int64_t offset = place(&program->param_elements, dt_shape_count(&decl->shape));
    dt_param *param = &program->param[program->param_count++];
    DT_TRY(describe_slice(b, node, i, decl, offset, param));
    dt_buffer buffer = slice(DT_BUF_PARAM, param->name, &decl->shape, offset);
    b->node[node->index].param[i] = dt_builder_add_buffer(b, &buffer);
    DT_TRY(dt_region_format(b->region, &buffer.name, "d %s", param->name));
    buffer.kind = DT_BUF_GRAD;
    b->node[node->index].param_gradient[i] = dt_builder_add_buffer(b, &buffer);
  }
  return b->status;
}

/* The states of a node are one slice: running mean and running variance are read and written together. */
static dt_status place_states(dt_builder *b, const dt_node *node) {
  dt_program *program = b->program;
  if (node->state_count == 0) return DT_OK;
  dt_shape shape = {.ndim = 1, .dim = {0}};
  for (int i = 0; i < node->state_count; i++) shape.dim[0] += dt_shape_count(&node->state[i].shape);
  int64_t offset = place(&program->state_elements, shape.dim[0]), inner = offset;
  for (int i = 0; i < node->state_count; i++) {
    dt_param *state = &program->state[program->state_count++];
    DT_TRY(describe_slice(b, node, i, &node->state[i], inner, state));
    inner += state->count;
  }
  dt_buffer buffer = slice(DT_BUF_STATE, NULL, &shape, offset);
  DT_TRY(dt_region_format(b->region, &buffer.name, "%s.state", node->name));
  b->node[node->index].state = dt_builder_add_buffer(b, &buffer);
  buffer = slice(DT_BUF_GRAD, NULL, &shape, place(&program->grad_elements, shape.dim[0]));
  DT_TRY(dt_region_format(b->region, &buffer.name, "%s.stat", node->name));
  b->node[node->index].stat = dt_builder_add_buffer(b, &buffer);
  return b->status;
}

dt_status dt_layout_blocks(dt_builder *b) {
  dt_program *program = b->program;
  DT_TRY(count_slices(b));
  for (int n = b->graph->count - 1; n >= 0; n--) DT_TRY(place_params(b, &b->graph->node[n]));
  program->grad_elements = program->param_elements;
  for (int n = 0; n < b->graph->count; n++) DT_TRY(place_states(b, &b->graph->node[n]));
  program->tail = place(&program->grad_elements, DT_TAIL_COUNT);
  dt_shape shape = {.ndim = 1, .dim = {DT_TAIL_COUNT}};
  dt_buffer tail = slice(DT_BUF_GRAD, "tail", &shape, program->tail);
  b->node[b->graph->count - 1].stat = dt_builder_add_buffer(b, &tail);
  return b->status;
}
