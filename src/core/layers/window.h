/* Sliding windows, which convolution and pooling share: options, bounds and output sizes. */
#ifndef DT_CORE_LAYERS_WINDOW_H
#define DT_CORE_LAYERS_WINDOW_H

#include "core/options.h"
#include "core/program.h"

/* As options give it: one integer for both directions, or [height, width]. */
typedef struct dt_window_attr {
  dt_ints kernel, stride, pad, dilation; /* count 0: the default of the kind */
} dt_window_attr;

/* Raises DT_USAGE where an option has neither one nor two numbers. */
dt_status dt_window_check(const dt_window_attr *attr);
/* Stride falls back to `stride_fallback` (0 = the kernel), pad to 0, dilation to 1. */
dt_window dt_window_make(const dt_window_attr *attr, int stride_fallback);
/* [C, H, W] -> [channels, H', W'] with H' = floor((H + 2 pad - dilation (kernel - 1) - 1) / stride) + 1. `kind` names the layer
 * in the message of a window that does not fit. DT_USAGE. */
dt_status dt_window_output(const char *kind, const dt_window *window, const dt_shape *in, int64_t channels, dt_shape *out);

#endif
