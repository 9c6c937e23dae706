/* The side stream: where a device computes on two streams at a time, weight gradients run beside the rest of backward, which
 * nobody but the gradient block waits for. With them go the merges of partial sums, so that the compute stream does not stand
 * still where a bucket is complete.
 *
 * What orders the two streams is read off the program as for all others (order.c): an instruction that writes into memory waits
 * for whoever was there on the other stream. So any memory plan gives right results; a good one makes no waits that would
 * undo what the stream is for. Memory that the side stream uses, its scratch among it, is therefore kept until the stream has
 * had time to get there: until the side stream's next instruction but one is issued. Keeping it to the end of backward would
 * keep every gradient of an activation. */
#include "core/program/lowering.h"

enum { SIDE_AHEAD = 2 }; /* instructions of the side stream that the compute stream may be ahead of it by without waiting */

/* An instruction that leaves nothing but slices of the gradient block. */
static bool is_weight_gradient(const dt_instr *instr) {
  const unsigned writes = dt_op_infos[instr->op].writes, slices = DT_BIT(DW) | DT_BIT(DB);
  return writes != 0 && (writes & ~slices) == 0;
}

void dt_assign_streams(dt_builder *b) {
  dt_program *program = b->program;
  if (program->mode != DT_PROGRAM_TRAIN || !b->device->side_stream) return;
  for (int i = 0; i < program->micro_batch_end; i++) {
    dt_instr *instr = &program->instr[i];
    if (is_weight_gradient(instr) || instr->op == DT_OP_COMBINE) instr->stream = DT_STREAM_SIDE;
  }
}

int dt_side_until(const dt_program *program, int i) {
  int ahead = 0;
  if (program->instr[i].stream != DT_STREAM_SIDE) return i;
  for (int next = i + 1; next < program->micro_batch_end; next++) {
    const dt_instr *instr = &program->instr[next];
    if (instr->stream == DT_STREAM_SIDE && instr->op != DT_OP_COMBINE && ++ahead == SIDE_AHEAD) return next;
  }
  return program->micro_batch_end - 1;
}
