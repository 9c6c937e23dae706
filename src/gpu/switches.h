/* What the gpu device does to be fast and can do without, each with a name by which DTRAIN_GPU_WITHOUT turns it off, so that it
 * can be measured. No switch changes a bit of a result. */
#ifndef DT_GPU_SWITCHES_H
#define DT_GPU_SWITCHES_H

#include "core/status.h"

/* Name, what it is. */
#define DT_GPU_SWITCH_LIST(X)                                    \
  X(side_stream, "weight gradients beside the rest of backward") \
  X(mask_bits, "a bit an element where a batch normalisation's relu masks a gradient")

typedef enum dt_gpu_switch {
#define X(name, what) DT_GPU_DOES_##name,
  DT_GPU_SWITCH_LIST(X)
#undef X
      DT_GPU_SWITCH_COUNT
} dt_gpu_switch;

/* Whether it is on. */
bool dt_gpu_does(dt_gpu_switch what);
dt_status dt_gpu_switches_check(void); /* DT_ENVIRONMENT where the variable names what there is not */

#endif
