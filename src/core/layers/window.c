#include "core/layers/window.h"

#include <inttypes.h>

static dt_status count_check(const char *name, const dt_ints *value) {
  DT_REQUIRE(value->count <= DT_WINDOW_DIMS, DT_USAGE, "%s has %d numbers, expected one, or one for each direction: at most %d",
             name, value->count, DT_WINDOW_DIMS);
  return DT_OK;
}

dt_status dt_window_check(const dt_window_attr *attr) {
  DT_TRY(count_check("kernel", &attr->kernel));
  DT_TRY(count_check("stride", &attr->stride));
  DT_TRY(count_check("pad", &attr->pad));
  return count_check("dilation", &attr->dilation);
}

static dt_status fit_check(const char *name, const dt_ints *value, int ndim) {
  DT_REQUIRE(value->count <= 1 || value->count == ndim, DT_USAGE,
             "%s has %d numbers, expected one, or one for each of the input's %d directions", name, value->count, ndim);
  return DT_OK;
}

static int axis_get(const dt_ints *value, int axis, int standard) {
  if (value->count == 0) return standard;
  return (int)value->value[value->count == 1 ? 0 : axis];
}

dt_status dt_window_make(const dt_window_attr *attr, int ndim, int stride_default, dt_window *out) {
  DT_ASSERT(ndim >= 1 && ndim <= DT_WINDOW_DIMS);
  DT_TRY(fit_check("kernel", &attr->kernel, ndim));
  DT_TRY(fit_check("stride", &attr->stride, ndim));
  DT_TRY(fit_check("pad", &attr->pad, ndim));
  DT_TRY(fit_check("dilation", &attr->dilation, ndim));
  *out = (dt_window){.ndim = ndim};
  for (int axis = 0; axis < ndim; axis++) {
    out->kernel[axis] = axis_get(&attr->kernel, axis, 1);
    out->stride[axis] = axis_get(&attr->stride, axis, stride_default > 0 ? stride_default : out->kernel[axis]);
    out->pad[axis] = axis_get(&attr->pad, axis, 0);
    out->dilation[axis] = axis_get(&attr->dilation, axis, 1);
  }
  return DT_OK;
}

dt_status dt_window_of(const char *kind, const dt_window_attr *attr, const dt_shape *in, int stride_default, dt_window *out) {
  char text[DT_SHAPE_TEXT];
  DT_REQUIRE(in->ndim == 3, DT_USAGE, "the input has the shape %s, %s expects an image [channels, height, width]",
             dt_shape_text(in, text), kind);
  return dt_window_make(attr, in->ndim - 1, stride_default, out);
}

dt_status dt_window_output(const dt_window *window, const dt_shape *in, int64_t channels, dt_shape *out) {
  static const char *const axis_name[] = {"high", "wide"};
  int64_t places = (int64_t)window->kernel[0] * window->kernel[1];
  DT_REQUIRE(places <= INT32_MAX, DT_USAGE, "the window is %d x %d, %" PRId64 " places, expected at most %d", window->kernel[0],
             window->kernel[1], places, INT32_MAX);
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
