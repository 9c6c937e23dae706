/* The table of vector kernels: one row per operation, one table per instruction set.
 *
 * A kernel is a file in this folder, compiled once for every instruction set, that defines dt_cpu_<name> under the name
 * DT_SIMD(dt_cpu_<name>). It joins by a row in DT_CPU_KERNELS here and, when it needs scratch, a row in DT_CPU_WORKS; what it
 * can fuse stands in cpu/device.c. */
#ifndef DT_CPU_SIMD_KERNELS_H
#define DT_CPU_SIMD_KERNELS_H

#include "cpu/cpu.h"

/* op, name of the kernel */
#define DT_CPU_KERNELS(X)           \
  X(LOAD, load)                     \
  X(LINEAR_FWD, linear_fwd)         \
  X(LINEAR_DGRAD, linear_dgrad)     \
  X(LINEAR_WGRAD, linear_wgrad)     \
  X(CONV_FWD, conv_fwd)             \
  X(CONV_DGRAD, conv_dgrad)         \
  X(CONV_WGRAD, conv_wgrad)         \
  X(ACT_FWD, act_fwd)               \
  X(ACT_BWD, act_bwd)               \
  X(POOL_FWD, pool_fwd)             \
  X(POOL_BWD, pool_bwd)             \
  X(BN_FWD, bn_fwd)                 \
  X(BN_EVAL, bn_eval)               \
  X(BN_BWD, bn_bwd)                 \
  X(DROPOUT_FWD, dropout_fwd)       \
  X(DROPOUT_BWD, dropout_bwd)       \
  X(ADD, add)                       \
  X(CONCAT, concat)                 \
  X(SLICE, slice)                   \
  X(SOFTMAX, softmax)               \
  X(LOSS, loss)                     \
  X(SCORE, score)

/* op, name of the function that says how many bytes of WORK the kernel needs */
#define DT_CPU_WORKS(X)              \
  X(CONV_FWD, conv_fwd_work)         \
  X(CONV_DGRAD, conv_dgrad_work)     \
  X(CONV_WGRAD, conv_wgrad_work)     \
  X(LINEAR_FWD, linear_fwd_work)     \
  X(LINEAR_DGRAD, linear_dgrad_work) \
  X(LINEAR_WGRAD, linear_wgrad_work) \
  X(BN_FWD, bn_fwd_work)             \
  X(BN_BWD, bn_bwd_work)             \
  X(LOSS, loss_work)

typedef size_t dt_cpu_work(const dt_device *device, const dt_program *program, const dt_instr *instr);

struct dt_cpu_kernels {
  const char *isa;
  dt_kernel *kernel[DT_OP_COUNT];
  dt_cpu_work *work[DT_OP_COUNT]; /* NULL: needs none */
  /* Elementwise, count a multiple of 16: the functions of cpu/simd/math.h, for tests and tables. */
  void (*exp)(const float *x, float *y, int64_t count);
  void (*log)(const float *x, float *y, int64_t count);
  void (*tanh)(const float *x, float *y, int64_t count);
  void (*sigmoid)(const float *x, float *y, int64_t count);
  /* Sum of squares in double: sixteen partial sums, element i to sum i % 16, added in order at the end. */
  double (*squares)(const float *x, int64_t count);
  /* into[i] += from[i] */
  void (*add)(float *into, const float *from, int64_t count);
};

extern const dt_cpu_kernels dt_cpu_kernels_avx512, dt_cpu_kernels_avx2, dt_cpu_kernels_plain;

#ifdef DT_ISA
#include "cpu/simd/vec.h"
#define X(op, name) dt_kernel DT_SIMD(dt_cpu_##name);
DT_CPU_KERNELS(X)
#undef X
#define X(op, name) dt_cpu_work DT_SIMD(dt_cpu_##name);
DT_CPU_WORKS(X)
#undef X
#endif

#endif
