/* The program that loaded the plug-in. */
#ifndef DT_GPU_HOST_H
#define DT_GPU_HOST_H

#include "core/plugin.h"

/* Errors and allocations go there from now on. Must come before all else. */
void dt_gpu_host_set(const dt_host *host);

#endif
