/* The tile of a matrix product with samples in the lanes: R rows by Q blocks of 16 samples in registers.
 *
 * Forward: rows are outputs, depth runs over inputs. Input gradient: rows are inputs, depth runs over outputs. Either way one
 * element is a sum over depth by fma, in the runs of sums.h; bias, addend and activation follow. */
#ifndef DT_CPU_SIMD_PRODUCT_H
#define DT_CPU_SIMD_PRODUCT_H

#include "cpu/simd/common.h"

/* Tiles that keep their sums in registers: 8 rows by 3 vectors in AVX-512's 32, 4 by 1 double vectors in 16. */
#if defined(DT_ISA_avx512)
enum { TILE_ROWS = 8, TILE_VECTORS = 3 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 1 };
#endif

/* Rows of the next tile when `left` remain: the tile's height, then halves of it. */
VEC int tile_rows(int64_t left) {
  int rows = TILE_ROWS;
  while (rows > left) rows /= 2;
  return rows;
}

/* Vectors of the next tile when `left` remain: 4 are two and two rather than three and one. */
VEC int tile_vectors(int64_t left) {
  if (left == 4 && TILE_VECTORS == 3) return 2;
  return left < TILE_VECTORS ? (int)left : TILE_VECTORS;
}

typedef struct product {
  const float *a; /* factor of row r at depth k: a[r * a_row + k * a_step] */
  int64_t a_row, a_step;
  const float *x; /* block q at depth k: x + q * x_block + k * 16 */
  int64_t x_block;
  int64_t depth;
  float *y; /* row r of block q: y + q * y_block + r * 16; addend and mask alike */
  int64_t y_block;
  const float *bias;          /* [rows] or NULL */
  const float *addend, *mask; /* NULL = none */
  dt_act act;
} product;

/* Runs the product over `rows` rows and `blocks` blocks, tile by tile. */
void DT_SIMD(dt_cpu_product)(const product *p, int64_t rows, int64_t blocks);

#endif
