/* Values of a micro-batch as doubles on the host, and back: dt_device_ops.read_value and .write_value. */
#ifndef DT_GPU_VALUE_H
#define DT_GPU_VALUE_H

#include "gpu/gpu.h"

dt_status dt_gpu_read_value(dt_run *run, int buffer, const dt_micro_batch *micro, double *out);
dt_status dt_gpu_write_value(dt_run *run, int buffer, const dt_micro_batch *micro, const double *in);

#endif
