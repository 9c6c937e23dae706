/* Fully connected layers by OpenBLAS, for `math: blas`.
 *
 * A shard's samples are first laid side by side, [feature][sample position]; then threads multiply fixed pieces, one shard at a
 * time, so that neither threads nor ranks change a bit. */
#ifndef DT_CPU_SIMD_LINEAR_BLAS_H
#define DT_CPU_SIMD_LINEAR_BLAS_H

#include "cpu/simd/product.h"

/* y = act(w x + b + addend) when forward, else dx = (w^T dy + addend) * act'(mask): p as in product.h, with w [outputs][inputs]. */
void DT_SIMD(dt_cpu_blas_product)(const dt_run *run, const product *p, const float *w, int64_t rows, bool forward, int shards,
                                  float *work);
size_t DT_SIMD(dt_cpu_blas_product_bytes)(const dt_device *device, const dt_program *program, int64_t depth);

typedef struct blas_wgrad {
  const float *x, *dy; /* [blocks][inputs][16], [blocks][outputs][16] */
  float *dw;           /* [outputs][inputs] */
  int64_t inputs, outputs;
  int shards;
  float *work;
} blas_wgrad;
void DT_SIMD(dt_cpu_blas_wgrad)(const dt_run *run, const blas_wgrad *g);
size_t DT_SIMD(dt_cpu_blas_wgrad_bytes)(const dt_device *device, const dt_program *program, int64_t inputs, int64_t outputs);

#endif
