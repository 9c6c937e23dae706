/* What layers see of lowering: values, gradients, new buffers, new instructions. */
#include <stdlib.h>
#include <string.h>

#include "core/layers/layers.h"
#include "core/program/lowering.h"

dt_instr dt_instr_make(dt_op op, int node) {
  dt_instr instr;
  /* Padding bytes too, so that equal instructions are equal bytes. */
  memset(&instr, 0, sizeof instr);
  instr.op = op;
  instr.node = node;
  for (int a = 0; a < DT_ARG_COUNT; a++) instr.arg[a] = -1;
  return instr;
}

dt_status dt_instr_list_append(dt_instr_list *list, const dt_instr *instr) {
  if (list->count == list->capacity) {
    int capacity = list->capacity > 0 ? 2 * list->capacity : 64;
    dt_instr *item = realloc(list->item, (size_t)capacity * sizeof *item);
    DT_REQUIRE(item != NULL, DT_MEMORY, "could not allocate %d instructions", capacity);
    list->item = item;
    list->capacity = capacity;
  }
  list->item[list->count++] = *instr;
  return DT_OK;
}

static dt_status buffers_reserve(dt_builder *b) {
  if (b->program->buffer_count < b->buffer_capacity) return DT_OK;
  int capacity = b->buffer_capacity > 0 ? 2 * b->buffer_capacity : 64;
  dt_buffer *buffer = realloc(b->program->buffer, (size_t)capacity * sizeof *buffer);
  DT_REQUIRE(buffer != NULL, DT_MEMORY, "could not allocate %d buffers", capacity);
  b->program->buffer = buffer;
  b->buffer_capacity = capacity;
  return DT_OK;
}

static void fail(dt_builder *b, dt_status status) {
  if (b->status == DT_OK) b->status = status;
}

int dt_builder_add_buffer(dt_builder *b, const dt_buffer *buffer) {
  dt_status status = buffers_reserve(b);
  if (status != DT_OK) {
    fail(b, status);
    return 0;
  }
  b->program->buffer[b->program->buffer_count] = *buffer;
  return b->program->buffer_count++;
}

static int new_buffer(dt_builder *b, dt_buffer_kind kind, const char *prefix, const dt_node *node, const char *suffix,
                      const dt_shape *shape) {
  dt_buffer buffer = {.kind = kind, .shape = *shape, .alias_of = -1};
  fail(b, dt_region_format(b->region, &buffer.name, "%s%s%s%s", prefix, node->name, suffix[0] != '\0' ? "." : "", suffix));
  return dt_builder_add_buffer(b, &buffer);
}

int dt_builder_new_tensor_rows(dt_builder *b, const char *name, int64_t columns) {
  dt_buffer buffer = {.kind = DT_BUF_TENSOR, .name = name, .shape = {.ndim = 1, .dim = {columns}}, .alias_of = -1};
  return dt_builder_add_buffer(b, &buffer);
}

int dt_builder_new_value(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape) {
  return new_buffer(b, DT_BUF_VALUE, "", node, suffix, shape);
}

int dt_builder_new_gradient(dt_builder *b, const dt_node *node, int i) {
  const dt_node *input = &b->graph->node[node->input[i]];
  return new_buffer(b, DT_BUF_VALUE, "d ", input, "y", &input->shape);
}

int dt_builder_new_index(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape) {
  return new_buffer(b, DT_BUF_INDEX, "", node, suffix, shape);
}

int dt_builder_new_shard(dt_builder *b, const dt_node *node, const char *suffix, const dt_shape *shape) {
  return new_buffer(b, DT_BUF_SHARD, "", node, suffix, shape);
}

int dt_builder_new_bits(dt_builder *b, int of) {
  dt_buffer buffer = {.kind = DT_BUF_BITS, .shape = b->program->buffer[of].shape, .alias_of = -1};
  fail(b, dt_region_format(b->region, &buffer.name, "bits of %s", b->program->buffer[of].name));
  return dt_builder_add_buffer(b, &buffer);
}

int dt_builder_new_alias(dt_builder *b, const dt_node *node, int of, const dt_shape *shape) {
  int root = dt_buffer_root(b->program, of);
  dt_buffer buffer = b->program->buffer[root];
  buffer.shape = *shape;
  buffer.alias_of = root;
  fail(b, dt_region_format(b->region, &buffer.name, "%s as %s", b->program->buffer[root].name, node->name));
  return dt_builder_add_buffer(b, &buffer);
}

static dt_instr *emit_into(dt_builder *b, dt_instr_list *list, dt_op op, int node) {
  dt_instr instr = dt_instr_make(op, node);
  dt_status status = dt_instr_list_append(list, &instr);
  if (status == DT_OK) return &list->item[list->count - 1];
  fail(b, status);
  b->spare = instr;
  return &b->spare;
}

dt_instr *dt_builder_emit(dt_builder *b, const dt_node *node, dt_op op) {
  return emit_into(b, dt_op_infos[op].section == DT_SECTION_STEP ? &b->step : &b->micro, op, node->index);
}

dt_instr *dt_builder_emit_step(dt_builder *b, dt_op op) {
  return emit_into(b, &b->optimizer, op, -1);
}

void dt_node_add_sum(dt_node *node, const char *name, dt_sum_kind kind, int64_t per_sample) {
  DT_ASSERT(node->sum_count < DT_NODE_SUMS);
  node->sum[node->sum_count++] = (dt_sum_decl){.name = name, .kind = kind, .per_sample = per_sample};
}

/* The first of a node's sums that this program takes; -1: it takes none. */
static int first_column(const dt_builder *b, const dt_node *node) {
  const dt_program *program = b->program;
  for (int i = 0; i < program->sum_count; i++) {
    if (program->sum[i].node == node->index && program->sum[i].column >= 0) return program->sum[i].column;
  }
  return -1;
}

bool dt_builder_takes_sums(const dt_builder *b, const dt_node *node) {
  return first_column(b, node) >= 0;
}

bool dt_builder_is_main_loss(const dt_builder *b, const dt_node *node) {
  return b->graph->goals.loss[0].node == node->index;
}

/* Bytes that an input reads as well count as they do there, so that a network can be trained to give back what it reads. */
static double target_scale(const dt_builder *b, const dt_node *node) {
  if (node->field < 0) return 1; /* a loss without a target */
  const bool bytes = b->graph->field[node->field].dtype == DT_U8;
  return bytes && node->field < dt_graph_input_fields(b->graph) ? 1.0 / 255 : 1;
}

dt_instr *dt_builder_emit_terms(dt_builder *b, const dt_node *node, dt_op op) {
  dt_instr *instr = dt_builder_emit(b, node, op);
  instr->arg[DT_ARG_TERMS] = b->terms;
  instr->loss.column = first_column(b, node);
  instr->loss.weight = 1;
  instr->loss.target_scale = target_scale(b, node);
  return instr;
}

bool dt_builder_is_ordered(const dt_builder *b, const dt_shape *shape) {
  return !b->device->ops->channels_last || dt_shape_channels(shape) == 1 || dt_shape_inner(shape) == 1;
}

dt_program_mode dt_builder_mode(const dt_builder *b) {
  return b->mode;
}

void dt_builder_set_output(dt_builder *b, int buffer) {
  b->program->logits = buffer;
}

int dt_builder_input(const dt_builder *b, const dt_node *node, int i) {
  return b->node[node->input[i]].value;
}

const dt_shape *dt_builder_input_shape(const dt_builder *b, const dt_node *node, int i) {
  return &b->graph->node[node->input[i]].shape;
}

int dt_builder_field(dt_builder *b, int field) {
  const dt_field *f = &b->graph->field[field];
  DT_ASSERT(field < b->graph->field_count);
  for (int i = 0; i < b->program->buffer_count; i++) {
    if (b->program->buffer[i].kind == DT_BUF_FIELD && b->program->buffer[i].offset == field) return i;
  }
  dt_buffer buffer = {.kind = DT_BUF_FIELD, .name = f->name, .shape = f->shape, .alias_of = -1, .offset = field};
  return dt_builder_add_buffer(b, &buffer);
}

int dt_builder_value(const dt_builder *b, const dt_node *node) {
  return b->node[node->index].value;
}

void dt_builder_set_value(dt_builder *b, const dt_node *node, int buffer) {
  b->node[node->index].value = buffer;
}

int dt_builder_param(const dt_builder *b, const dt_node *node, int i) {
  return b->param[node->param_index[i]].value;
}

int dt_builder_param_gradient(const dt_builder *b, const dt_node *node, int i) {
  int contribution = b->node[node->index].contribution[i];
  return contribution >= 0 ? contribution : b->param[node->param_index[i]].gradient;
}

bool dt_builder_is_trained(const dt_builder *b, const dt_node *node) {
  return node->param_count > 0 && !node->frozen;
}

int dt_builder_state(const dt_builder *b, const dt_node *node) {
  return b->node[node->index].state;
}

int dt_builder_stat(const dt_builder *b, const dt_node *node) {
  return b->node[node->index].stat;
}

void dt_builder_keep(dt_builder *b, const dt_node *node, int buffer) {
  b->node[node->index].kept = buffer;
}

int dt_builder_kept(const dt_builder *b, const dt_node *node) {
  return b->node[node->index].kept;
}

bool dt_builder_needs_gradient(const dt_builder *b, const dt_node *node, int i) {
  return b->mode == DT_PROGRAM_TRAIN && b->node[node->input[i]].trainable;
}

void dt_builder_add_gradient(dt_builder *b, const dt_node *node, int i, int buffer) {
  dt_node_state *input = &b->node[node->input[i]];
  if (input->gradient < 0) {
    input->gradient = buffer;
    return;
  }
  int sum = dt_builder_new_gradient(b, node, i);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_ADD);
  instr->arg[DT_ARG_X] = input->gradient;
  instr->arg[DT_ARG_ADDEND] = buffer;
  instr->arg[DT_ARG_Y] = sum;
  input->gradient = sum;
}

int dt_builder_layer_index(const dt_builder *b, const dt_node *node) {
  int index = 0;
  for (int n = 0; n < node->index; n++) index += b->graph->node[n].layer == node->layer;
  return index;
}
