#include "core/layers/pool.h"
#include "core/config/rows.h"

const dt_option dt_pool_options[] = {
    DT_ROW_INTS("window", offsetof(dt_window_attr, kernel), NULL, 1, 65536,
                "Size of the window: one number, or [height, width].", .unit = "pixels"),
    DT_ROW_INTS("stride", offsetof(dt_window_attr, stride), "", 1, 65536,
                "Step of the window; the window itself where it is left out.", .unit = "pixels"),
    DT_ROW_INTS("pad", offsetof(dt_window_attr, pad), "0", 0, 65536, "Border put around the image, at most half of the window.",
                .unit = "pixels"),
    {0},
};

dt_status dt_pool_check(const void *attr) {
  const dt_window_attr *given = attr;
  dt_window window;
  DT_TRY(dt_window_check(given));
  int ndim = given->kernel.count > given->pad.count ? given->kernel.count : given->pad.count;
  DT_TRY(dt_window_make(given, ndim > 1 ? ndim : 1, 0, &window));
  for (int axis = 0; axis < window.ndim; axis++) {
    DT_REQUIRE(2 * window.pad[axis] <= window.kernel[axis], DT_USAGE, "pad is %d, expected at most half of the window, %d",
               window.pad[axis], window.kernel[axis] / 2);
  }
  return DT_OK;
}

dt_status dt_pool_make(const char *kind, const dt_window_attr *attr, const dt_shape *in, bool average, dt_pool_op *out) {
  *out = (dt_pool_op){.average = average};
  return dt_window_of(kind, attr, in, 0, &out->window);
}

int dt_pool_emit_forward(dt_builder *b, const dt_node *node, dt_pool_op pool, const dt_shape *shape) {
  int y = dt_builder_new_value(b, node, "y", shape);
  int argmax = -1;
  if (!pool.average && dt_builder_mode(b) == DT_PROGRAM_TRAIN && dt_builder_needs_gradient(b, node, 0)) {
    argmax = dt_builder_new_index(b, node, "argmax", shape);
    dt_builder_keep(b, node, argmax);
  }
  dt_instr *instr = dt_builder_emit(b, node, DT_OP_POOL_FWD);
  instr->pool = pool;
  instr->arg[DT_ARG_X] = dt_builder_input(b, node, 0);
  instr->arg[DT_ARG_Y] = y;
  instr->arg[DT_ARG_AUX] = argmax;
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
