/* The kernels of the step section, which know no instruction set. */
#ifndef DT_CPU_UPDATE_H
#define DT_CPU_UPDATE_H

#include "cpu/cpu.h"

dt_kernel dt_cpu_grad_norm, dt_cpu_update, dt_cpu_bn_update;

#endif
