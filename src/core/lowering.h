/* Inside lowering: what the steps from graph to program share (builder.c, layout.c, fuse.c, buckets.c, plan.c, program.c). */
#ifndef DT_CORE_LOWERING_H
#define DT_CORE_LOWERING_H

#include "core/device.h"
#include "core/layer.h"
#include "core/region.h"

enum { DT_ALIGN_ELEMENTS = 16, DT_ALIGN_BYTES = 64 };

typedef struct dt_instr_list {
  dt_instr *item;
  int count, capacity;
} dt_instr_list;

/* What lowering knows of a node. Buffer ids; -1 = none yet. */
typedef struct dt_node_state {
  int value, gradient, kept, state, stat;
  int param[DT_NODE_PARAMS], param_gradient[DT_NODE_PARAMS];
  bool trainable; /* a gradient must reach its output */
} dt_node_state;

struct dt_builder {
  const dt_graph *graph;
  const dt_device *device;
  dt_program *program; /* buffers are appended to it; instructions when they are final */
  dt_region *region;
  dt_program_mode mode;
  dt_status status; /* the first failure: layers go on after it, and the caller looks here */
  int buffer_capacity;
  dt_instr_list pass, step;
  dt_node_state *node;
  dt_instr spare; /* what emit hands out when there is no memory */
};

static inline int64_t dt_round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/* An instruction with every arg absent. */
dt_instr dt_instr_make(dt_op op, int node);
dt_status dt_instr_list_append(dt_instr_list *list, const dt_instr *instr);

/* Appends a buffer; the id, or 0 with b->status set. */
int dt_builder_add_buffer(dt_builder *b, const dt_buffer *buffer);

/* Places parameters, states, statistics and the tail in their flat blocks and makes their buffers. The layout depends on the
 * graph alone, never on mode or fusion, so that programs of one graph can share blocks. */
dt_status dt_layout_blocks(dt_builder *b);

/* The memory a buffer is a view of. */
static inline int dt_buffer_root(const dt_program *program, int buffer) {
  while (program->buffer[buffer].alias_of >= 0) buffer = program->buffer[buffer].alias_of;
  return buffer;
}

/* Rewrites the pass section by what the device fuses (the table in fuse.c), then drops what is no longer used. */
dt_status dt_fuse(dt_builder *b);

/* Cuts the gradient block into buckets, and makes the program's final list: the pass section with COMBINE and REDUCE_BEGIN
 * where each bucket is complete, then the step section. norm_first: the norm is needed before the first update (clipping, loss
 * scaling). */
dt_status dt_schedule_buckets(dt_builder *b, int64_t bucket_bytes, bool norm_first);

/* Sizes from the device, lifetimes, and places in the arena. */
dt_status dt_plan_memory(dt_builder *b);

#endif
