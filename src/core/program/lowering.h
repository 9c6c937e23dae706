/* Inside lowering: what the steps from graph to program share (builder.c, layout.c, fuse.c, buckets.c, side.c, plan.c,
 * program.c). */
#ifndef DT_CORE_PROGRAM_LOWERING_H
#define DT_CORE_PROGRAM_LOWERING_H

#include "core/device.h"
#include "core/layers/layer.h"
#include "core/region.h"

enum { DT_ALIGN_ELEMENTS = 16, DT_ALIGN_BYTES = 64 };

typedef struct dt_instr_list {
  dt_instr *item;
  int count, capacity;
} dt_instr_list;

/* What lowering knows of a node. Buffer ids; -1 = none yet. */
typedef struct dt_node_state {
  int value, gradient, kept, state, stat;
  int contribution[DT_NODE_PARAMS]; /* gradient slices of parameters that are another node's */
  bool trainable;                   /* a gradient must reach its output */
} dt_node_state;

/* What it knows of a parameter. */
typedef struct dt_param_state {
  int value, gradient; /* buffer ids; a frozen one has no gradient, -1 */
} dt_param_state;

struct dt_builder {
  const dt_graph *graph;
  const dt_device *device;
  dt_program *program; /* buffers are appended to it; instructions when they are final */
  dt_region *region;
  dt_program_mode mode;
  dt_status status; /* the first failure: layers go on after it, and the caller looks here */
  int buffer_capacity;
  dt_instr_list micro, step;
  dt_instr_list additions; /* GRAD_ADD, between the reductions and the updates */
  dt_instr_list optimizer; /* its own instructions, before the updates */
  dt_node_state *node;
  dt_param_state *param; /* by the graph's list */
  int terms, statistics; /* buffers; terms -1 where the mode has none */
  dt_instr spare;        /* what emit hands out when there is no memory */
};

static inline int64_t dt_round_up(int64_t count, int64_t multiple) {
  return (count + multiple - 1) / multiple * multiple;
}

/* An instruction with every arg absent. */
dt_instr dt_instr_make(dt_op op, int node);
dt_status dt_instr_list_append(dt_instr_list *list, const dt_instr *instr);

/* Appends a buffer; the id, or 0 with b->status set. */
int dt_builder_add_buffer(dt_builder *b, const dt_buffer *buffer);

/* A BITS buffer for values of buffer `of`; likewise. */
int dt_builder_new_bits(dt_builder *b, int of);

/* Places parameters, states and statistics in their flat blocks and makes their buffers. The layout depends on the
 * graph alone, never on mode or fusion, so that programs of one graph can share blocks. */
dt_status dt_layout_blocks(dt_builder *b);

/* Makes the segments of the parameter block. */
dt_status dt_make_segments(dt_builder *b, const dt_spec *spec);

/* The memory a buffer is a view of. */
static inline int dt_buffer_root(const dt_program *program, int buffer) {
  while (program->buffer[buffer].alias_of >= 0) buffer = program->buffer[buffer].alias_of;
  return buffer;
}

/* Rewrites the micro-batch section by what the device fuses (the table in fuse.c), then drops what is no longer used. */
dt_status dt_fuse(dt_builder *b);

/* What the step section is like. */
typedef struct dt_step_form {
  bool norm_first;                                   /* the norm is needed before the first update (clipping, loss scaling) */
  bool penalises;                                    /* PENALTY stands before GRAD_NORM */
  bool clips_units;                                  /* CLIP_UNITS stands before the optimizer */
  bool bounds;                                       /* MAX_NORM stands behind the updates */
  bool accumulates;                                  /* a step may be several batches */
  bool ascends;                                      /* a step is two passes over a batch */
  dt_status (*emit)(dt_builder *b, int *out_buffer); /* dt_optimizer.emit */
} dt_step_form;

/* Cuts the gradient block into buckets, and makes the program's final list: the micro-batch section with COMBINE and
 * REDUCE_BEGIN where each bucket is complete, then the step section. */
dt_status dt_schedule_buckets(dt_builder *b, dt_step_form form);

/* Puts instructions of the final list on the side stream, where the device has one. */
void dt_assign_streams(dt_builder *b);
/* The instruction of the micro-batch section until which what instruction i uses keeps its memory: i itself, but for one on the
 * side stream. */
int dt_side_until(const dt_program *program, int i);

/* Sizes from the device, lifetimes, and places in the arena. */
dt_status dt_plan_memory(dt_builder *b);

#endif
