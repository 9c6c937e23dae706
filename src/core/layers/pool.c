#include "core/layers/pool.h"

const dt_option dt_pool_options[] = {
    {.name = "window",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .min = 1,
     .max = 65536,
     .offset = offsetof(dt_window_attr, kernel),
     .doc = "Size of the window: one number, or [height, width]."},
    {.name = "stride",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .fallback = "",
     .min = 1,
     .max = 65536,
     .offset = offsetof(dt_window_attr, stride),
     .doc = "Step of the window; the window itself where it is left out."},
    {.name = "pad",
     .type = DT_OPT_INTS,
     .unit = "pixels",
     .fallback = "0",
     .min = 0,
     .max = 65536,
     .offset = offsetof(dt_window_attr, pad),
     .doc = "Border put around the image, at most half of the window."},
    {0},
};

dt_status dt_pool_check(const void *attr) {
  DT_TRY(dt_window_check(attr));
  dt_window window = dt_window_make(attr, 0);
  for (int axis = 0; axis < 2; axis++) {
    DT_REQUIRE(2 * window.pad[axis] <= window.kernel[axis], DT_USAGE, "pad is %d, expected at most half of the window, %d",
               window.pad[axis], window.kernel[axis] / 2);
  }
  return DT_OK;
}

dt_pool_op dt_pool_make(const dt_window_attr *attr, bool average) {
  return (dt_pool_op){.window = dt_window_make(attr, 0), .average = average};
}

int dt_pool_emit_forward(dt_builder *b, const dt_node *node, dt_pool_op pool, const dt_shape *shape) {
  int y = dt_builder_new_value(b, node, "y", shape);
  int winners = -1;
  if (!pool.average && dt_builder_mode(b) == DT_PROGRAM_TRAIN && dt_builder_needs_gradient(b, node, 0)) {
    winners = dt_builder_new_index(b, node, "winners", shape);
    dt_builder_keep(b, node, winners);
  }
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_POOL_FWD);
  instr->pool = pool;
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  instr->arg[DT_ARG_AUX] = winners;
  return y;
}

void dt_pool_emit_backward(dt_builder *b, const dt_node *node, dt_pool_op pool, int dy) {
  if (!dt_builder_needs_gradient(b, node, 0)) return;
  int dx = dt_builder_new_gradient(b, node, 0);
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_POOL_BWD);
  instr->pool = pool;
  instr->arg[DT_ARG_DY] = dy;
  if (!pool.average) instr->arg[DT_ARG_AUX] = dt_builder_kept(b, node);
  instr->arg[DT_ARG_DX] = dx;
  dt_builder_add_gradient(b, node, 0, dx);
}
