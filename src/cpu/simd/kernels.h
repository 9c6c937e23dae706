/* The table of vector kernels: one row per operation, one table per instruction set.
 *
 * A kernel is a file in this folder, compiled once for every instruction set, that defines dt_cpu_<name> under the name
 * DT_SIMD(dt_cpu_<name>). Declarations and table are made of core/program/ops.def: of the ops of the PASS section that are 1
 * for the cpu device. Those of STEP know no instruction set (cpu/update.h). A kernel that needs scratch has a row in
 * DT_CPU_WORKS; what it can fuse stands in cpu/device.c. */
#ifndef DT_CPU_SIMD_KERNELS_H
#define DT_CPU_SIMD_KERNELS_H

#include "cpu/cpu.h"

/* What is said of the ops that have vector kernels: DT_VECTOR_##section(...). */
#define DT_VECTOR_PASS(...) __VA_ARGS__
#define DT_VECTOR_STEP(...)

/* Op and name where dt_cpu_<name>_work says how many bytes of WORK the kernel needs. */
#define DT_CPU_WORKS(X)         \
  X(CONV_FWD, conv_fwd)         \
  X(CONV_DGRAD, conv_dgrad)     \
  X(CONV_WGRAD, conv_wgrad)     \
  X(LINEAR_FWD, linear_fwd)     \
  X(LINEAR_DGRAD, linear_dgrad) \
  X(LINEAR_WGRAD, linear_wgrad) \
  X(BN_FWD, bn_fwd)             \
  X(BN_BWD, bn_bwd)             \
  X(LN_BWD, ln_bwd)

typedef size_t dt_cpu_work(const dt_device *device, const dt_program *program, const dt_instr *instr);

struct dt_cpu_kernels {
  const char *isa;
  dt_kernel *kernel[DT_OP_COUNT];
  dt_cpu_work *work[DT_OP_COUNT]; /* NULL: needs none */
  /* Elementwise, count a multiple of 16: the functions of cpu/simd/math.h, for tests and tables. */
  void (*exp)(const float *x, float *y, int64_t count);
  void (*log)(const float *x, float *y, int64_t count);
  void (*log1p)(const float *x, float *y, int64_t count);
  void (*tanh)(const float *x, float *y, int64_t count);
  void (*sigmoid)(const float *x, float *y, int64_t count);
  void (*erf)(const float *x, float *y, int64_t count);
  /* Sum of squares in double: sixteen partial sums, element i to sum i % 16, added in order at the end. */
  double (*squares)(const float *x, int64_t count);
  /* y = a x of a [rows][depth] and panels (cpu/simd/product.h): x [blocks][depth][16], y [blocks][rows][16]. */
  void (*multiply)(const float *a, int64_t rows, int64_t depth, const float *x, int64_t blocks, float *y);
  /* into[i] += from[i] */
  void (*add)(float *into, const float *from, int64_t count);
};

extern const dt_cpu_kernels dt_cpu_kernels_avx512, dt_cpu_kernels_avx2, dt_cpu_kernels_plain;

#ifdef DT_ISA
#include "cpu/simd/vec.h"
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) \
  DT_WHERE_##cpu(DT_VECTOR_##section(dt_kernel DT_SIMD(dt_cpu_##name);))
#include "core/program/ops.def"
#undef DT_OP
#define X(OP, name) dt_cpu_work DT_SIMD(dt_cpu_##name##_work);
DT_CPU_WORKS(X)
#undef X
#endif

#endif
