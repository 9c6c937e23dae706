/* The weight gradient of a fully connected layer.
 *
 * Here inputs stand in the lanes: X is first transposed into WORK, [input / 16][sample position][16]. A tile of dw stays in
 * registers while a thread walks a shard's samples, and the tree's open subtrees stand in L1 while it walks the shards, so
 * the gradient is written once. */
#include "cpu/simd/linear_blas.h"
#include "cpu/simd/sums.h"
#include "cpu/simd/transpose.h"

enum {
  GROUP_ROWS = 48, /* outputs of a task */
  RUN_BLOCKS = SUM_RUN / 16,
};

typedef struct wgrad {
  const float *x;       /* [blocks][inputs][16] */
  const float *dy;      /* [blocks][outputs][16] */
  float *packed;        /* [vectors][blocks * 16][16] */
  float *dw, *db;       /* [outputs][inputs], [outputs]; either may be NULL */
  const int32_t *valid; /* [shards] */
  int64_t inputs, outputs, vectors;
  int shards, shard_blocks, row_groups, vector_groups;
} wgrad;

static void pack_task(void *context, int index, int thread) {
  const wgrad *g = context;
  int64_t blocks = (int64_t)g->shards * g->shard_blocks;
  for (int64_t j = 0; j < g->vectors; j++) {
    int64_t left = g->inputs - j * 16;
    transpose_16x16(g->packed + (j * blocks + index) * 256, g->x + (index * g->inputs + j * 16) * 16, left < 16 ? (int)left : 16);
  }
}

/* One shard's sums: rows outputs by vectors of inputs, over its samples in the runs of sums.h. */
VEC void shard_tile(const int rows, const int vectors, const wgrad *g, int shard, const float *packed, int64_t row, v16 sum[8][3]) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
    for (int q = 0; q < vectors; q++) sum[r][q] = v16_zero();
  }
  int64_t blocks = (int64_t)g->shards * g->shard_blocks, stride = blocks * 256;
  run_sums runs;
  for (int b = 0; b < g->shard_blocks; b++) {
    if (b > 0 && b % RUN_BLOCKS == 0) {
      runs_leave(&runs, &sum[0][0], rows, vectors, 3, b == RUN_BLOCKS, false);
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
        for (int q = 0; q < vectors; q++) sum[r][q] = v16_zero();
      }
    }
    int64_t block = (int64_t)shard * g->shard_blocks + b;
    const float *x = packed + block * 256, *dy = g->dy + (block * g->outputs + row) * 16;
    int count = block_filled(g->valid[shard], b);
    for (int k = 0; k < count; k++, x += 16, dy++) {
      v16 in[3];
#pragma GCC unroll 3
      for (int q = 0; q < vectors; q++) in[q] = v16_load(x + q * stride);
#pragma GCC unroll 8
      for (int r = 0; r < rows; r++) {
        v16 factor = v16_set1(dy[r * 16]);
#pragma GCC unroll 3
        for (int q = 0; q < vectors; q++) sum[r][q] = v16_fma(factor, in[q], sum[r][q]);
      }
    }
  }
  if (g->shard_blocks > RUN_BLOCKS) runs_leave(&runs, &sum[0][0], rows, vectors, 3, false, true);
}

/* sum = the youngest open subtree + sum */
VEC void merge_tile(const int rows, const int vectors, const float *older, v16 sum[8][3]) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
    for (int q = 0; q < vectors; q++) sum[r][q] = v16_add(v16_load(older + (r * vectors + q) * 16), sum[r][q]);
  }
}

VEC void push_tile(const int rows, const int vectors, float *place, v16 sum[8][3]) {
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
    for (int q = 0; q < vectors; q++) v16_store(place + (r * vectors + q) * 16, sum[r][q]);
  }
}

static void store_vector(const wgrad *g, int64_t row, int64_t vector, v16 sum) {
  float *to = g->dw + row * g->inputs + vector * 16, lanes[16];
  int64_t left = g->inputs - vector * 16;
  if (left >= 16) {
    v16_store(to, sum);
  } else {
    v16_store(lanes, sum);
    memcpy(to, lanes, (size_t)left * sizeof *to);
  }
}

VEC void tile(const int rows, const int vectors, const wgrad *g, int64_t row, int64_t vector) {
  float open[TREE_DEPTH][8 * 3 * 16];
  const float *packed = g->packed + vector * g->shards * g->shard_blocks * 256;
  int depth = 0;
  v16 sum[8][3];
  shard_tile(rows, vectors, g, 0, packed, row, sum);
  for (int s = 1; s < g->shards; s++) {
    push_tile(rows, vectors, open[depth++], sum);
    shard_tile(rows, vectors, g, s, packed, row, sum);
    for (int merges = tree_merges(s); merges > 0; merges--) merge_tile(rows, vectors, open[--depth], sum);
  }
  while (depth > 0) merge_tile(rows, vectors, open[--depth], sum);
#pragma GCC unroll 8
  for (int r = 0; r < rows; r++) {
#pragma GCC unroll 3
    for (int q = 0; q < vectors; q++) store_vector(g, row + r, vector + q, sum[r][q]);
  }
}

#define TILE(R, Q)                                                                     \
  static void tile_##R##x##Q(const wgrad *g, int64_t row, int64_t vector) { \
    tile(R, Q, g, row, vector);                                                        \
  }
typedef void tile_function(const wgrad *g, int64_t row, int64_t vector);

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

/* db of one output: each block's lanes, blocks by the tree, shards by the tree. */
static float bias_sum(const wgrad *g, int64_t row) {
  tree over_shards = {.depth = 0};
  for (int s = 0; s < g->shards; s++) {
    tree over_blocks = {.depth = 0};
    for (int b = 0; b < g->shard_blocks; b++) {
      int64_t block = (int64_t)s * g->shard_blocks + b;
      tree_push(&over_blocks, v16_sum(v16_load(g->dy + (block * g->outputs + row) * 16)));
    }
    tree_push(&over_shards, tree_root(&over_blocks));
  }
  return tree_root(&over_shards);
}

static void tile_task(void *context, int index, int thread) {
  const wgrad *g = context;
  int64_t first = index / g->vector_groups * GROUP_ROWS, vector = index % g->vector_groups * TILE_VECTORS;
  int64_t end = first + GROUP_ROWS < g->outputs ? first + GROUP_ROWS : g->outputs;
  int vectors = g->vectors - vector < TILE_VECTORS ? (int)(g->vectors - vector) : TILE_VECTORS;
  for (int64_t row = first, height; row < end; row += height) {
    height = tile_rows(end - row);
    tiles[height][vectors](g, row, vector);
  }
  if (vector > 0 || g->db == NULL) return;
  for (int64_t row = first; row < end; row++) g->db[row] = bias_sum(g, row);
}

static void multiply_by_blas(const dt_run *run, const wgrad *g) {
  blas_wgrad b = {.x = g->x, .dy = g->dy, .dw = g->dw, .inputs = g->inputs, .outputs = g->outputs, .shards = g->shards};
  b.work = g->packed;
  DT_SIMD(dt_cpu_blas_wgrad)(run, &b);
  for (int64_t row = 0; g->db != NULL && row < g->outputs; row++) g->db[row] = bias_sum(g, row);
}

size_t DT_SIMD(dt_cpu_linear_wgrad_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  int64_t inputs = dt_shape_count(&program->buffer[instr->arg[DT_ARG_X]].shape), vectors = (inputs + 15) / 16;
  int64_t outputs = dt_shape_count(&program->buffer[instr->arg[DT_ARG_DY]].shape);
  if (((const dt_cpu *)device)->blas != NULL) return DT_SIMD(dt_cpu_blas_wgrad_bytes)(device, program, inputs, outputs);
  return (size_t)(vectors * program->micro_batch_shards * dt_cpu_shard_blocks(program)) * 256 * sizeof(float);
}

dt_status DT_SIMD(dt_cpu_linear_wgrad)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  wgrad g = {.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
             .dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
             .packed = dt_cpu_arg(run, instr, micro, DT_ARG_WORK),
             .dw = dt_cpu_arg(run, instr, micro, DT_ARG_DW),
             .db = dt_cpu_arg(run, instr, micro, DT_ARG_DB),
             .valid = micro->batch->valid,
             .inputs = arg_count(run, instr, DT_ARG_X),
             .outputs = arg_count(run, instr, DT_ARG_DY),
             .shards = micro->shard_count,
             .shard_blocks = dt_cpu_shard_blocks(run->program)};
  g.vectors = (g.inputs + 15) / 16;
  g.row_groups = (int)((g.outputs + GROUP_ROWS - 1) / GROUP_ROWS);
  g.vector_groups = (int)((g.vectors + TILE_VECTORS - 1) / TILE_VECTORS);
  if (((const dt_cpu *)run->device)->blas != NULL) {
    multiply_by_blas(run, &g);
    return DT_OK;
  }
  dt_threads_run(run_threads(run), g.shards * g.shard_blocks, pack_task, &g);
  dt_threads_run(run_threads(run), g.row_groups * g.vector_groups, tile_task, &g);
  return DT_OK;
}

static void bias_task(void *context, int index, int thread) {
  const wgrad *g = context;
  g->db[index] = bias_sum(g, index);
}

dt_status DT_SIMD(dt_cpu_bias_wgrad)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  wgrad g = {.dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
             .db = dt_cpu_arg(run, instr, micro, DT_ARG_DB),
             .outputs = arg_count(run, instr, DT_ARG_DY),
             .shards = micro->shard_count,
             .shard_blocks = dt_cpu_shard_blocks(run->program)};
  dt_threads_run(run_threads(run), (int)g.outputs, bias_task, &g);
  return DT_OK;
}
