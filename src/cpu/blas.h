/* OpenBLAS, loaded when it is asked for: products of large layers under `math: blas`, and the yardstick of benchmarks.
 *
 * Every call runs on the calling thread alone (our pool is the only one), so bits depend on the library's version and core type
 * but not on the number of threads; both are named for the record. */
#ifndef DT_CPU_BLAS_H
#define DT_CPU_BLAS_H

#include "core/status.h"

typedef struct dt_blas dt_blas;

/* Loads libopenblas.so.0 with the kernels that fit this machine: some versions mistake a processor for one of twenty years ago
 * and lose four fifths of its speed, so the core type is told to them first (OPENBLAS_CORETYPE in the environment wins).
 * DT_ENVIRONMENT when the library is missing or keeps a core type that does not fit. Returns new. */
dt_status dt_blas_open(dt_blas **out);
void dt_blas_close(dt_blas **blas);

/* "OpenBLAS 0.3.21, core SkylakeX, 1 thread per call" */
const char *dt_blas_describe(const dt_blas *blas);

/* Row-major c[rows][columns] = op(a) op(b) with an inner dimension `depth`; transposed operands are stored the other way round.
 */
typedef struct dt_blas_product {
  int rows, columns, depth;
  const float *a, *b;
  float *c;
  int a_stride, b_stride, c_stride; /* elements between stored rows */
  bool a_transposed, b_transposed;
} dt_blas_product;
void dt_blas_multiply(const dt_blas *blas, const dt_blas_product *product);

/* Speed of 1024 x 1024 x 1024 products on so many threads at once, one product each, in GFLOP/s: the best of a few rounds. */
dt_status dt_blas_sgemm_gflops(int threads, double *out);

#endif
