#include "cpu/simd/product.h"

#include "cpu/simd/sums.h"

VEC void finish(const product *p, v16 sum, int row, int block) {
  int64_t place = block * p->y_block + row * 16;
  if (p->bias != NULL) sum = v16_add(sum, v16_set1(p->bias[row]));
  if (p->addend != NULL) sum = v16_add(sum, v16_load(p->addend + place));
  if (p->act.kind == DT_ACT_RELU) {
    sum = p->mask != NULL ? act_relu_gradient(sum, v16_load(p->mask + place)) : act_relu(sum);
  }
  v16_store(p->y + place, sum);
}

/* A tile's sums take a long activation from memory, in place. */
static void finish_long(const product *p, int64_t rows, int64_t blocks) {
  for (int64_t q = 0; q < blocks; q++) {
    for (int64_t r = 0; r < rows; r++) {
      float *y = p->y + q * p->y_block + r * 16;
      v16 sum = v16_load(y);
      sum = p->mask != NULL ? act_gradient(&p->act, sum, v16_load(p->mask + q * p->y_block + r * 16)) : act_value(&p->act, sum);
      v16_store(y, sum);
    }
  }
}

VEC void tile(const int rows, const int blocks, const product *p) {
  v16 sum[8][3];
  const float *x = p->x, *a = p->a;
  run_sums runs;
  int64_t k = 0;
  do {
    int64_t first = k, end = p->depth - k > SUM_RUN ? k + SUM_RUN : p->depth;
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
      for (int q = 0; q < blocks; q++) sum[r][q] = v16_zero();
    }
    for (; k < end; k++, x += 16, a += p->a_step) {
      v16 in[3];
#pragma GCC unroll 3
      for (int q = 0; q < blocks; q++) in[q] = v16_load(x + q * p->x_block);
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) {
        v16 factor = v16_set1(a[r * p->a_row]);
#pragma GCC unroll 3
        for (int q = 0; q < blocks; q++) sum[r][q] = v16_fma(factor, in[q], sum[r][q]);
      }
    }
    if (p->depth > SUM_RUN) runs_leave(&runs, &sum[0][0], rows, blocks, 3, first == 0, end == p->depth);
  } while (k < p->depth);
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
    for (int q = 0; q < blocks; q++) finish(p, sum[r][q], r, q);
  }
}

#define TILE(R, Q)                                \
  static void tile_##R##x##Q(const product *p) { \
    tile(R, Q, p);                                \
  }
typedef void tile_function(const product *p);

#if defined(DT_ISA_avx512)
TILE(8, 1) TILE(8, 2) TILE(8, 3) TILE(4, 1) TILE(4, 2) TILE(4, 3) TILE(2, 1) TILE(2, 2) TILE(2, 3) TILE(1, 1) TILE(1, 2) TILE(1, 3)
static tile_function *const tiles[9][4] = {
    [8] = {[1] = tile_8x1, [2] = tile_8x2, [3] = tile_8x3},
    [4] = {[1] = tile_4x1, [2] = tile_4x2, [3] = tile_4x3},
    [2] = {[1] = tile_2x1, [2] = tile_2x2, [3] = tile_2x3},
    [1] = {[1] = tile_1x1, [2] = tile_1x2, [3] = tile_1x3},
};
#else
TILE(4, 1) TILE(2, 1) TILE(1, 1)
static tile_function *const tiles[5][2] = {[4] = {[1] = tile_4x1}, [2] = {[1] = tile_2x1}, [1] = {[1] = tile_1x1}};
#endif

/* The part of p that starts at a row and a block. */
static product part_of(const product *p, int64_t row, int64_t block) {
  product part = *p;
  int64_t place = block * p->y_block + row * 16;
  part.a += row * p->a_row;
  part.x += block * p->x_block;
  part.y += place;
  part.bias = at(p->bias, row);
  part.addend = at(p->addend, place);
  part.mask = at(p->mask, place);
  return part;
}

void DT_SIMD(dt_cpu_product)(const product *p, int64_t rows, int64_t blocks) {
  for (int64_t block = 0, vectors; block < blocks; block += vectors) {
    vectors = tile_vectors(blocks - block);
    for (int64_t row = 0, height; row < rows; row += height) {
      height = tile_rows(rows - row);
      product part = part_of(p, row, block);
      tiles[height][vectors](&part);
      if (act_is_long(&part.act)) finish_long(&part, height, vectors);
    }
  }
}
