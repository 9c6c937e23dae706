#include "core/layers/window.h"

#include <inttypes.h>

static dt_status pair_check(const char *name, const dt_ints *value) {
  DT_REQUIRE(value->count <= 2, DT_USAGE, "%s has %d numbers, expected one, or two as [height, width]", name, value->count);
  return DT_OK;
}

dt_status dt_window_check(const dt_window_attr *attr) {
  DT_TRY(pair_check("kernel", &attr->kernel));
  DT_TRY(pair_check("stride", &attr->stride));
  DT_TRY(pair_check("pad", &attr->pad));
  return pair_check("dilation", &attr->dilation);
}

static int pair_get(const dt_ints *value, int axis, int fallback) {
  if (value->count == 0) return fallback;
  return (int)value->value[value->count == 2 ? axis : 0];
}

dt_window dt_window_make(const dt_window_attr *attr, int stride_fallback) {
  dt_window window;
  for (int axis = 0; axis < 2; axis++) {
    window.kernel[axis] = pair_get(&attr->kernel, axis, 1);
    window.stride[axis] = pair_get(&attr->stride, axis, stride_fallback > 0 ? stride_fallback : window.kernel[axis]);
    window.pad[axis] = pair_get(&attr->pad, axis, 0);
    window.dilation[axis] = pair_get(&attr->dilation, axis, 1);
  }
  return window;
}

dt_status dt_window_output(const char *kind, const dt_window *window, const dt_shape *in, int64_t channels, dt_shape *out) {
  static const char *const axis_name[] = {"high", "wide"};
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in->ndim == 3, DT_USAGE, "the input has the shape %s, %s expects an image [channels, height, width]",
             dt_shape_text(in, text), kind);
  *out = (dt_shape){.ndim = 3, .dim = {channels}};
  for (int axis = 0; axis < 2; axis++) {
    int64_t size = in->dim[1 + axis] + 2 * (int64_t)window->pad[axis];
    int64_t reach = (int64_t)window->dilation[axis] * (window->kernel[axis] - 1) + 1;
    DT_REQUIRE(reach <= size, DT_USAGE,
               "the window is %" PRId64 " %s, the input only %" PRId64 " (%" PRId64
               " with padding): take a smaller kernel, more pad, or fewer layers that shrink the image",
               reach, axis_name[axis], in->dim[1 + axis], size);
    out->dim[1 + axis] = (size - reach) / window->stride[axis] + 1;
  }
  return DT_OK;
}
