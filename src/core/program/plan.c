/* The memory plan: one arena in which buffers that are never alive together share memory.
 *
 * A buffer lives from the instruction that writes it to the last that reads it, both included, and a little longer where that
 * is on the side stream (side.c); views live as one with their root. Largest first, each is put at the lowest place where it
 * overlaps no buffer that lives at the same time (greedy by size; Pisarchyk and Lee, "Efficient memory management for deep
 * neural net inference", 2020). */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "core/program/lowering.h"

static const int64_t arena_elements_max = INT64_C(1) << 48; /* of one buffer: keeps the products below from overflowing */

static bool in_arena(const dt_buffer *buffer) {
  return buffer->kind == DT_BUF_VALUE || buffer->kind == DT_BUF_INDEX || buffer->kind == DT_BUF_BITS ||
         buffer->kind == DT_BUF_TERMS || buffer->kind == DT_BUF_SHARD || buffer->kind == DT_BUF_TENSOR ||
         buffer->kind == DT_BUF_WORK;
}

static dt_status size_values(dt_builder *b) {
  dt_program *program = b->program;
  int64_t slots = dt_count_multiply(program->shard_capacity, program->micro_batch_shards);
  for (int i = 0; i < program->buffer_count; i++) {
    dt_buffer *buffer = &program->buffer[i];
    if (!in_arena(buffer) || buffer->alias_of >= 0) continue;
    if (buffer->kind == DT_BUF_TENSOR) {
      size_t bytes = (size_t)(program->trained_count * dt_shape_count(&buffer->shape)) * sizeof(double);
      buffer->bytes = (size_t)dt_round_up((int64_t)bytes, DT_ALIGN_BYTES);
      continue;
    }
    int64_t elements = dt_count_multiply(dt_shape_count(&buffer->shape), slots);
    DT_REQUIRE(elements <= arena_elements_max, DT_MEMORY,
               "%s of %" PRId64 " samples needs %" PRId64 " elements, more than any machine has", buffer->name, slots,
               elements);
    buffer->bytes = b->device->ops->buffer_bytes(b->device, buffer->kind, &buffer->shape, program->shard_capacity,
                                                 program->micro_batch_shards);
  }
  return DT_OK;
}

static const char *instr_name(const dt_builder *b, const dt_instr *instr) {
  return instr->node >= 0 ? b->graph->node[instr->node].name : "step";
}

static dt_status add_work(dt_builder *b) {
  dt_program *program = b->program;
  for (int i = 0; i < program->count; i++) {
    dt_instr *instr = &program->instr[i];
    size_t bytes = 0;
    DT_TRY(b->device->ops->work_bytes(b->device, program, instr, &bytes));
    if (bytes == 0) continue;
    dt_buffer buffer = {.kind = DT_BUF_WORK, .alias_of = -1, .bytes = (size_t)dt_round_up((int64_t)bytes, DT_ALIGN_BYTES)};
    buffer.shape = (dt_shape){.ndim = 1, .dim = {(int64_t)bytes}};
    DT_TRY(dt_region_format(b->region, &buffer.name, "work of %s %s", instr_name(b, instr), dt_op_infos[instr->op].name));
    instr->arg[DT_ARG_WORK] = dt_builder_add_buffer(b, &buffer);
    DT_TRY(b->status);
  }
  return DT_OK;
}

static void touch(dt_buffer *buffer, int i) {
  if (i < buffer->first) buffer->first = i;
  if (i > buffer->last) buffer->last = i;
}

static void find_lifetimes(dt_program *program) {
  for (int i = 0; i < program->buffer_count; i++) {
    program->buffer[i].first = INT_MAX;
    program->buffer[i].last = -1;
  }
  for (int i = 0; i < program->count; i++) {
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      int id = program->instr[i].arg[a];
      if (id >= 0) touch(&program->buffer[dt_buffer_root(program, id)], i);
    }
  }
  /* The output is read when the micro-batch is over. */
  touch(&program->buffer[dt_buffer_root(program, program->logits)], program->micro_batch_end - 1);
}

/* ahead: the compute stream is to go ahead of the side stream. Returns whether there is one. */
static bool find_ends(dt_program *program, bool ahead) {
  bool side = false;
  for (int i = 0; i < program->buffer_count; i++) program->buffer[i].until = program->buffer[i].last;
  for (int i = 0; i < program->micro_batch_end; i++) {
    side |= program->instr[i].stream == DT_STREAM_SIDE;
    const int until = ahead ? dt_side_until(program, i) : i;
    for (int a = 0; a < DT_ARG_COUNT; a++) {
      int id = program->instr[i].arg[a];
      dt_buffer *buffer = id >= 0 ? &program->buffer[dt_buffer_root(program, id)] : NULL;
      if (buffer != NULL && buffer->until < until) buffer->until = until;
    }
  }
  return side;
}

static bool live_together(const dt_buffer *a, const dt_buffer *b) {
  return a->first <= b->until && b->first <= a->until;
}

typedef struct placement {
  dt_buffer *buffer;
  int id;
} placement;

static int by_size(const void *left, const void *right) {
  const placement *a = left, *b = right;
  if (a->buffer->bytes != b->buffer->bytes) return a->buffer->bytes > b->buffer->bytes ? -1 : 1;
  return (a->id > b->id) - (a->id < b->id);
}

/* The lowest offset at which buffer fits between those placed that live with it; placed is sorted by offset. */
static int64_t find_place(dt_buffer *const *placed, int count, const dt_buffer *buffer) {
  int64_t offset = 0;
  for (int i = 0; i < count; i++) {
    if (!live_together(placed[i], buffer)) continue;
    if (placed[i]->offset >= offset + (int64_t)buffer->bytes) break;
    int64_t end = placed[i]->offset + (int64_t)placed[i]->bytes;
    if (end > offset) offset = end;
  }
  return offset;
}

static void insert_sorted(dt_buffer **placed, int count, dt_buffer *buffer) {
  int i = count;
  for (; i > 0 && placed[i - 1]->offset > buffer->offset; i--) placed[i] = placed[i - 1];
  placed[i] = buffer;
}

static void place_all(dt_program *program, placement *order, int count, dt_buffer **placed) {
  for (int i = 0; i < count; i++) {
    dt_buffer *buffer = order[i].buffer;
    buffer->offset = find_place(placed, i, buffer);
    insert_sorted(placed, i, buffer);
    size_t end = (size_t)buffer->offset + buffer->bytes;
    if (end > program->arena_bytes) program->arena_bytes = end;
    program->arena_naive_bytes += buffer->bytes;
  }
}

static dt_status place_buffers(dt_program *program) {
  placement *order;
  dt_buffer **placed;
  int count = 0;
  program->arena_bytes = program->arena_naive_bytes = 0;
  DT_TRY(dt_alloc((size_t)program->buffer_count, sizeof *order, &order));
  dt_status status = dt_alloc((size_t)program->buffer_count, sizeof *placed, &placed);
  if (status == DT_OK) {
    for (int i = 0; i < program->buffer_count; i++) {
      dt_buffer *buffer = &program->buffer[i];
      if (in_arena(buffer) && buffer->alias_of < 0 && buffer->last >= 0) order[count++] = (placement){buffer, i};
    }
    qsort(order, (size_t)count, sizeof *order, by_size);
    place_all(program, order, count, placed);
    free(placed);
  }
  free(order);
  return status;
}

static void place_views(dt_program *program) {
  for (int i = 0; i < program->buffer_count; i++) {
    dt_buffer *view = &program->buffer[i];
    if (view->alias_of < 0) continue;
    const dt_buffer *root = &program->buffer[dt_buffer_root(program, i)];
    view->offset = root->offset;
    view->bytes = root->bytes;
    view->first = root->first;
    view->last = root->last;
    view->until = root->until;
  }
}

dt_status dt_plan_memory(dt_builder *b) {
  DT_TRY(size_values(b));
  DT_TRY(add_work(b));
  size_t without_side = 0;
  find_lifetimes(b->program);
  if (find_ends(b->program, false)) {
    DT_TRY(place_buffers(b->program));
    without_side = b->program->arena_bytes;
    find_ends(b->program, true);
  }
  DT_TRY(place_buffers(b->program));
  place_views(b->program);
  if (without_side > 0 && b->program->arena_bytes > without_side) {
    b->program->arena_side_bytes = b->program->arena_bytes - without_side;
  }
  return DT_OK;
}
