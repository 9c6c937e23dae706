/* The kernels of the STEP section, which know no instruction set: dt_cpu_<name>, for the ops of core/program/ops.def that are 1
 * for the cpu device. */
#ifndef DT_CPU_UPDATE_H
#define DT_CPU_UPDATE_H

#include "cpu/cpu.h"

/* What is said of these ops: DT_ONCE_##section(...). */
#define DT_ONCE_PASS(...)
#define DT_ONCE_STEP(...) __VA_ARGS__

#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) \
  DT_WHERE_##cpu(DT_ONCE_##section(dt_kernel dt_cpu_##name;))
#include "core/program/ops.def"
#undef DT_OP

/* The sum of squares of a tensor, or a row of one, in pieces that depend on its length alone. */
double dt_cpu_squares(const dt_cpu_kernels *kernels, const float *x, int64_t count);
/* Bytes of WORK that ORTHOGONALISE needs. */
size_t dt_cpu_orthogonalise_work(const dt_program *program);

#endif
