/* The flat blocks. Parameters lie in the order in which backward finishes them, last node first, so that a bucket is a slice
 * that closes early; each starts at a multiple of 16 elements, so that vectors never straddle two of them. Frozen ones come
 * last: nothing but the parameter block has room for them. The gradient block continues with what further nodes contribute to
 * parameters that they share, then the statistics of states, and ends with those of the step. */
#include <stdlib.h>
#include <string.h>

#include "core/program/lowering.h"
#include "core/program/sums.h"

static dt_buffer slice(dt_buffer_kind kind, const char *name, const dt_shape *shape, int64_t offset) {
  return (dt_buffer){.kind = kind, .name = name, .shape = *shape, .alias_of = -1, .offset = offset};
}

static int64_t place(int64_t *end, int64_t count) {
  int64_t offset = *end;
  *end = dt_round_up(offset + count, DT_ALIGN_ELEMENTS);
  return offset;
}

static dt_status count_slices(dt_builder *b) {
  int states = 0;
  for (int n = 0; n < b->graph->count; n++) states += b->graph->node[n].state_count;
  DT_TRY(dt_alloc((size_t)b->graph->param_count, sizeof *b->program->param, &b->program->param));
  return dt_alloc((size_t)states, sizeof *b->program->state, &b->program->state);
}

static dt_param describe_slice(int node, int index, const dt_param_decl *decl, int64_t offset) {
  return (dt_param){.node = node,
                    .index = index,
                    .decl = decl,
                    .shape = decl->shape,
                    .offset = offset,
                    .count = dt_shape_count(&decl->shape)};
}

static dt_status place_param(dt_builder *b, int index) {
  dt_program *program = b->program;
  const dt_graph_param *of = &b->graph->param[index];
  int64_t offset = place(&program->param_elements, dt_shape_count(&of->decl.shape));
  dt_param *param = &program->param[program->param_count++];
  *param = describe_slice(of->node, index, &of->decl, offset);
  param->name = of->name;
  param->lr_scale = of->lr_scale;
  param->decay = of->decay;
  param->frozen = of->frozen;
  dt_buffer buffer = slice(DT_BUF_PARAM, of->name, &of->decl.shape, offset);
  b->param[index].value = dt_builder_add_buffer(b, &buffer);
  b->param[index].gradient = -1;
  if (of->frozen) return b->status;
  DT_TRY(dt_region_format(b->region, &buffer.name, "d %s", of->name));
  buffer.kind = DT_BUF_GRAD;
  b->param[index].gradient = dt_builder_add_buffer(b, &buffer);
  return b->status;
}

/* A parameter is finished with the first node that uses it, which is the last that backward comes to. */
static dt_status place_params(dt_builder *b, bool frozen) {
  for (int n = b->graph->count - 1; n >= 0; n--) {
    const dt_node *node = &b->graph->node[n];
    for (int i = 0; i < node->param_count; i++) {
      const dt_graph_param *param = &b->graph->param[node->param_index[i]];
      if (param->node == n && param->frozen == frozen) DT_TRY(place_param(b, node->param_index[i]));
    }
  }
  return DT_OK;
}

/* A slice for what a node contributes to the gradient of a parameter that is not its own. Of a frozen one nobody asks for it,
 * but the instruction that computes another of the node's parameters computes it as well. */
static dt_status place_contribution(dt_builder *b, const dt_node *node, int i) {
  const dt_graph_param *param = &b->graph->param[node->param_index[i]];
  int64_t offset = place(&b->program->grad_elements, dt_shape_count(&param->decl.shape));
  dt_buffer buffer = slice(DT_BUF_GRAD, NULL, &param->decl.shape, offset);
  DT_TRY(dt_region_format(b->region, &buffer.name, "d %s of %s", param->name, node->name));
  int id = dt_builder_add_buffer(b, &buffer);
  b->node[node->index].contribution[i] = id;
  if (param->frozen || b->mode != DT_PROGRAM_TRAIN) return b->status;
  dt_instr sum = dt_instr_make(DT_OP_GRAD_ADD, node->index);
  sum.arg[DT_ARG_X] = id;
  sum.arg[DT_ARG_DW] = b->param[node->param_index[i]].gradient;
  DT_TRY(dt_instr_list_append(&b->additions, &sum));
  return b->status;
}

static dt_status place_contributions(dt_builder *b, const dt_node *node) {
  for (int i = 0; i < node->param_count && !node->frozen; i++) {
    const dt_graph_param *param = &b->graph->param[node->param_index[i]];
    if (param->node != node->index || param->frozen) DT_TRY(place_contribution(b, node, i));
  }
  return DT_OK;
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
    *state = describe_slice(node->index, i, &node->state[i], inner);
    DT_TRY(dt_region_format(b->region, &state->name, "%s.%s", node->name, node->state[i].role));
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

int dt_sum_find(const dt_program *program, const char *name) {
  int i = 0;
  while (i < program->sum_count && strcmp(program->sum[i].decl->name, name) != 0) i++;
  DT_ASSERT(i < program->sum_count);
  return i;
}

/* Which sums a program takes: none where nothing is summed, no histogram in training. */
static bool takes(const dt_builder *b, const dt_sum_decl *decl) {
  if (b->mode == DT_PROGRAM_TRAIN) return decl->kind != DT_SUM_HISTOGRAM;
  return b->mode == DT_PROGRAM_EVAL;
}

static void place_sum(dt_builder *b, const dt_node *node, const dt_sum_decl *decl) {
  dt_program *program = b->program;
  dt_sum *sum = &program->sum[program->sum_count++];
  *sum = (dt_sum){
      .decl = decl, .node = node->index, .column = -1, .element = program->statistics_count, .word = program->score_words};
  program->statistics_count += dt_sum_elements(decl);
  program->score_words += dt_sum_words(decl);
  if (takes(b, decl)) sum->column = program->columns++;
}

static dt_status place_sums(dt_builder *b) {
  dt_program *program = b->program;
  int count = 0;
  for (int n = 0; n < b->graph->count; n++) count += b->graph->node[n].sum_count;
  DT_ASSERT(count <= DT_SUMS_MAX);
  DT_TRY(dt_alloc((size_t)count, sizeof *program->sum, &program->sum));
  program->statistics_count = DT_STATISTIC_COUNT;
  program->score_words = 1;
  for (int n = 0; n < b->graph->count; n++) {
    const dt_node *node = &b->graph->node[n];
    for (int i = 0; i < node->sum_count; i++) place_sum(b, node, &node->sum[i]);
  }
  program->statistics = place(&program->grad_elements, program->statistics_count);
  dt_shape shape = {.ndim = 1, .dim = {program->statistics_count}};
  dt_buffer statistics = slice(DT_BUF_GRAD, "statistics", &shape, program->statistics);
  b->statistics = dt_builder_add_buffer(b, &statistics);
  if (program->columns == 0) return b->status;
  shape.dim[0] = program->columns;
  dt_buffer terms = {.kind = DT_BUF_TERMS, .name = "terms", .shape = shape, .alias_of = -1};
  b->terms = dt_builder_add_buffer(b, &terms);
  return b->status;
}

dt_status dt_layout_blocks(dt_builder *b) {
  dt_program *program = b->program;
  DT_TRY(count_slices(b));
  DT_TRY(place_params(b, false));
  program->trained_count = program->param_count;
  program->trained_elements = program->grad_elements = program->param_elements;
  DT_TRY(place_params(b, true));
  for (int n = 0; n < b->graph->count; n++) DT_TRY(place_contributions(b, &b->graph->node[n]));
  for (int n = 0; n < b->graph->count; n++) DT_TRY(place_states(b, &b->graph->node[n]));
  return place_sums(b);
}
