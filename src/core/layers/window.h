/* Sliding windows, which convolution and pooling share: options, bounds and output sizes. */
#ifndef DT_CORE_LAYERS_WINDOW_H
#define DT_CORE_LAYERS_WINDOW_H

#include "core/config/options.h"
#include "core/program/program.h"

/* As options give it: one integer for all directions, or one for each: [height, width]. */
typedef struct dt_window_attr {
  dt_ints kernel, stride, pad, dilation; /* count 0: the default of the kind */
} dt_window_attr;

/* Raises DT_USAGE where an option has more numbers than any window has directions. */
dt_status dt_window_check(const dt_window_attr *attr);
/* The window over inputs of ndim directions. Stride falls back to `stride_default` (0 = the kernel), pad to 0, dilation to 1.
 * DT_USAGE where an option's numbers are neither one nor ndim. */
dt_status dt_window_make(const dt_window_attr *attr, int ndim, int stride_default, dt_window *out);
/* The same over inputs of the shape `in`, [channels, height, width]: windows have one to three directions, and the kernels of
 * all devices two. `kind` names the layer in the message. DT_USAGE. */
dt_status dt_window_of(const char *kind, const dt_window_attr *attr, const dt_shape *in, int stride_default, dt_window *out);
/* [C, H, W] -> [channels, H', W'] with H' = floor((H + 2 pad - dilation (kernel - 1) - 1) / stride) + 1. A window has 2^31 - 1
 * places at most, which kernels count in ints. DT_USAGE. */
dt_status dt_window_output(const dt_window *window, const dt_shape *in, int64_t channels, dt_shape *out);

#endif
