/* dw = sum over samples and places of dy * x, db = sum of dy.
 *
 * A block's gradient of one weight is the sum over the places of dy in scan order whose x lies inside the input, lane by lane
 * by fma from zero, in the runs of sums.h (whole rows of dy), then v16_sum; db the same with additions. Blocks, then shards, are
 * added by the tree (core/tree.h). One task is a block and a tile of output channels; it holds up to 24 weights (AVX2: 12) in
 * registers while it scans the block, and leaves the block's sums in WORK: [block][dw, then db]. */
#include "cpu/simd/conv_job.h"
#include "cpu/simd/kernels.h"
#include "cpu/simd/sums.h"

/* AVX2 has half the registers of AVX-512, each half as wide: it scans a block twice, for lanes 0 to 7 and for lanes 8 to 15. */
#if defined(CONV_LARGE_TILES)
enum { WEIGHT_CO = 4, WEIGHT_TAPS = 6 };
#else
enum { WEIGHT_CO = 4, WEIGHT_TAPS = 3 };
#endif
#if defined(DT_ISA_avx2)
enum { WEIGHT_LANES = 8 };
typedef __m256 lanes;
VEC lanes lanes_zero(void) { return _mm256_setzero_ps(); }
VEC lanes lanes_load(const float *p) { return _mm256_loadu_ps(p); }
VEC void lanes_store(float *p, lanes a) { _mm256_storeu_ps(p, a); }
VEC void lanes_put(v16 *to, int lane, lanes a) { *(lane == 0 ? &to->lo : &to->hi) = a; }
VEC lanes lanes_fma(lanes a, lanes b, lanes c) { return _mm256_fmadd_ps(a, b, c); }
#else
enum { WEIGHT_LANES = 16 };
typedef v16 lanes;
VEC lanes lanes_zero(void) { return v16_zero(); }
VEC lanes lanes_load(const float *p) { return v16_load(p); }
VEC void lanes_store(float *p, lanes a) { v16_store(p, a); }
VEC void lanes_put(v16 *to, int lane, lanes a) { *to = a; }
VEC lanes lanes_fma(lanes a, lanes b, lanes c) { return v16_fma(a, b, c); }
#endif
enum { WEIGHT_SUMS = (WEIGHT_CO * WEIGHT_TAPS + 7) / 8 * 8, FOLD_CHUNK = 1024 };

/* Weights of CO output channels, CI input channels, one kernel row, KX neighbouring kernel columns. */
typedef struct weight_tile {
  const float *dy; /* first output channel, first row whose x is inside */
  const float *x;  /* first input channel, the same row, the place that the first column meets at output column 0 */
  ptrdiff_t dy_channel, dy_row, x_channel, x_row, x_tap, x_px;
  int rows, columns;         /* of dy */
  int run_rows;              /* of a run */
  int inner_first, inner_end; /* columns of dy at which every kernel column is inside */
  int x_first, x_tap_places, x_px_places, x_width; /* the same places as numbers, for the columns at the border */
  float *dw;                  /* the sum of the first weight */
  ptrdiff_t dw_out, dw_in;    /* from one output and input channel to the next */
} weight_tile;

typedef void weight_tile_fn(const weight_tile *t);

/* A column of dy at which every kernel column is inside. */
VEC void weight_inner_column(const weight_tile *t, const float *dy, const float *x, lanes *acc, const int CO, const int CI,
                             const int KX) {
  lanes g[WEIGHT_CO];
#pragma GCC unroll 8
  for (int c = 0; c < CO; c++) g[c] = lanes_load(dy + c * t->dy_channel);
#pragma GCC unroll 8
  for (int i = 0; i < CI; i++) {
#pragma GCC unroll 8
    for (int k = 0; k < KX; k++) {
      lanes v = lanes_load(x + i * t->x_channel + k * t->x_tap);
#pragma GCC unroll 8
      for (int c = 0; c < CO; c++) acc[(c * CI + i) * KX + k] = lanes_fma(g[c], v, acc[(c * CI + i) * KX + k]);
    }
  }
}

/* A column of dy, at the border, of which some kernel columns are outside. */
VEC void weight_border_column(const weight_tile *t, const float *dy, const float *x, int column, lanes *acc, const int CO,
                              const int CI, const int KX) {
#pragma GCC unroll 8
  for (int k = 0; k < KX; k++) {
    int place = t->x_first + column * t->x_px_places + k * t->x_tap_places;
    if (place < 0 || place >= t->x_width) continue;
#pragma GCC unroll 8
    for (int i = 0; i < CI; i++) {
      lanes v = lanes_load(x + i * t->x_channel + k * t->x_tap);
#pragma GCC unroll 8
      for (int c = 0; c < CO; c++) {
        acc[(c * CI + i) * KX + k] = lanes_fma(lanes_load(dy + c * t->dy_channel), v, acc[(c * CI + i) * KX + k]);
      }
    }
  }
}

/* Ends a run of a scan; the last run leaves the whole sums. */
VEC void weight_leave_run(run_sums *runs, lanes *acc, const int count, bool first, bool last) {
  float run[WEIGHT_CO * WEIGHT_TAPS * WEIGHT_LANES];
  if (first) memset(runs, 0, sizeof *runs);
#pragma GCC unroll 32
  for (int i = 0; i < count; i++) lanes_store(run + i * WEIGHT_LANES, acc[i]);
  runs_add(runs, run, count * WEIGHT_LANES);
  if (!last) return;
  runs_end(runs, run, count * WEIGHT_LANES);
#pragma GCC unroll 32
  for (int i = 0; i < count; i++) acc[i] = lanes_load(run + i * WEIGHT_LANES);
}

/* Scans the block for lanes [lane, lane + WEIGHT_LANES) of the sums. */
VEC void weight_scan(const weight_tile *t, const int lane, v16 *scanned, const int CO, const int CI, const int KX) {
  lanes acc[WEIGHT_CO * WEIGHT_TAPS];
  run_sums runs;
  const float *dy_row = t->dy + lane, *x_row = t->x + lane;
  int row = 0;
  do {
    int first = row, end = t->rows - row > t->run_rows ? row + t->run_rows : t->rows;
#pragma GCC unroll 32
    for (int i = 0; i < CO * CI * KX; i++) acc[i] = lanes_zero();
    for (; row < end; row++, dy_row += t->dy_row, x_row += t->x_row) {
      const float *dy = dy_row, *x = x_row;
      int column = 0;
      for (; column < t->inner_first; column++, dy += 16, x += t->x_px) weight_border_column(t, dy, x, column, acc, CO, CI, KX);
      for (; column < t->inner_end; column++, dy += 16, x += t->x_px) weight_inner_column(t, dy, x, acc, CO, CI, KX);
      for (; column < t->columns; column++, dy += 16, x += t->x_px) weight_border_column(t, dy, x, column, acc, CO, CI, KX);
    }
    if (t->rows > t->run_rows) weight_leave_run(&runs, acc, CO * CI * KX, first == 0, end == t->rows);
  } while (row < t->rows);
#pragma GCC unroll 32
  for (int i = 0; i < CO * CI * KX; i++) lanes_put(&scanned[i], lane, acc[i]);
}

VEC void weight_tile_sum(const weight_tile *t, const int CO, const int CI, const int KX) {
  v16 scanned[WEIGHT_SUMS];
  float sums[WEIGHT_SUMS];
#pragma GCC unroll 2
  for (int lane = 0; lane < 16; lane += WEIGHT_LANES) weight_scan(t, lane, scanned, CO, CI, KX);
#pragma GCC unroll 8
  for (int i = CO * CI * KX; i < WEIGHT_SUMS; i++) scanned[i] = v16_zero();
#pragma GCC unroll 3
  for (int i = 0; i < CO * CI * KX; i += 8) v16_sum8(scanned + i, sums + i);
#pragma GCC unroll 8
  for (int c = 0; c < CO; c++) {
#pragma GCC unroll 8
    for (int i = 0; i < CI; i++) {
#pragma GCC unroll 8
      for (int k = 0; k < KX; k++) t->dw[c * t->dw_out + i * t->dw_in + k] = sums[(c * CI + i) * KX + k];
    }
  }
}

#define WEIGHT_TILE(CO, CI, KX)                                                            \
  static void weight_tile_##CO##_##CI##_##KX(const weight_tile *t) {                       \
    weight_tile_sum(t, CO, CI, KX);                                                        \
  }
#if defined(CONV_LARGE_TILES)
#define WEIGHT_TILES(CO)                                                                                                   \
  WEIGHT_TILE(CO, 1, 1) WEIGHT_TILE(CO, 2, 1) WEIGHT_TILE(CO, 3, 1) WEIGHT_TILE(CO, 4, 1) WEIGHT_TILE(CO, 5, 1)            \
  WEIGHT_TILE(CO, 6, 1) WEIGHT_TILE(CO, 1, 2) WEIGHT_TILE(CO, 2, 2) WEIGHT_TILE(CO, 3, 2) WEIGHT_TILE(CO, 1, 3)            \
  WEIGHT_TILE(CO, 2, 3) WEIGHT_TILE(CO, 1, 4) WEIGHT_TILE(CO, 1, 5) WEIGHT_TILE(CO, 1, 6)
#define WEIGHT_ROW(CO)                                                                                                     \
  {                                                                                                                        \
    {weight_tile_##CO##_1_1, weight_tile_##CO##_1_2, weight_tile_##CO##_1_3, weight_tile_##CO##_1_4,                       \
     weight_tile_##CO##_1_5, weight_tile_##CO##_1_6},                                                                      \
    {weight_tile_##CO##_2_1, weight_tile_##CO##_2_2, weight_tile_##CO##_2_3},                                              \
    {weight_tile_##CO##_3_1, weight_tile_##CO##_3_2},                                                                      \
    {weight_tile_##CO##_4_1}, {weight_tile_##CO##_5_1}, {weight_tile_##CO##_6_1},                                          \
  }
#else
#define WEIGHT_TILES(CO)                                                                                                   \
  WEIGHT_TILE(CO, 1, 1) WEIGHT_TILE(CO, 2, 1) WEIGHT_TILE(CO, 3, 1) WEIGHT_TILE(CO, 1, 2) WEIGHT_TILE(CO, 1, 3)
#define WEIGHT_ROW(CO)                                                                                                     \
  {                                                                                                                        \
    {weight_tile_##CO##_1_1, weight_tile_##CO##_1_2, weight_tile_##CO##_1_3}, {weight_tile_##CO##_2_1},                    \
    {weight_tile_##CO##_3_1},                                                                                              \
  }
#endif
WEIGHT_TILES(1) WEIGHT_TILES(2) WEIGHT_TILES(3) WEIGHT_TILES(4)
/* [CO - 1][CI - 1][KX - 1], where CI * KX <= WEIGHT_TAPS */
static weight_tile_fn *const weight_tile_table[WEIGHT_CO][WEIGHT_TAPS][WEIGHT_TAPS] = {WEIGHT_ROW(1), WEIGHT_ROW(2), WEIGHT_ROW(3),
                                                                                       WEIGHT_ROW(4)};

typedef struct weight_job {
  conv_shape shape;
  const float *x, *dy;
  float *partial;      /* [block][stride]: dw, then db */
  size_t stride;
  float *dw, *db;      /* db NULL where absent */
  int shards, shard_blocks;
  int group_tiles;     /* tiles of output channels in a group */
} weight_job;

/* The outputs along an axis at which kernel tap k is inside the input: [*first, *end). */
static void weight_outputs_inside(const conv_shape *s, int a, int k, int *first, int *end) {
  const dt_window *w = &s->op.window;
  int place = k * w->dilation[a] - w->pad[a], last = s->in[1 + a] - 1 - place;
  *first = place >= 0 ? 0 : (-place + w->stride[a] - 1) / w->stride[a];
  *end = last < 0 ? 0 : last / w->stride[a] + 1;
  if (*end > s->out[1 + a]) *end = s->out[1 + a];
  if (*first > *end) *first = *end;
}

/* Where a task stands: a block, its partial sums, output channels [first, first + count) of a group. */
typedef struct weight_place {
  const weight_job *job;
  const float *x, *dy; /* of the group's first channel, of the tile's first channel */
  float *dw;           /* partial sums of the tile's first channel */
  int count;
} weight_place;

/* The part of a tile that depends on its kernel columns only. */
static weight_tile weight_tile_start(const weight_place *at, int column, int column_count) {
  const conv_shape *s = &at->job->shape;
  const dt_window *w = &s->op.window;
  int first, end, last_first, last_end;
  weight_outputs_inside(s, 1, column, &first, &end);
  weight_outputs_inside(s, 1, column + column_count - 1, &last_first, &last_end);
  weight_tile t = {.dy_channel = s->out_plane,
                   .dy_row = (ptrdiff_t)s->out[2] * 16,
                   .x_channel = s->in_plane,
                   .x_row = (ptrdiff_t)w->stride[0] * s->in[2] * 16,
                   .x_tap = (ptrdiff_t)w->dilation[1] * 16,
                   .x_px = (ptrdiff_t)w->stride[1] * 16,
                   .columns = s->out[2],
                   .run_rows = s->out[2] < SUM_RUN ? SUM_RUN / s->out[2] : 1,
                   .inner_first = first > last_first ? first : last_first,
                   .inner_end = end < last_end ? end : last_end,
                   .x_first = column * w->dilation[1] - w->pad[1],
                   .x_tap_places = w->dilation[1],
                   .x_px_places = w->stride[1],
                   .x_width = s->in[2],
                   .dw_in = (ptrdiff_t)w->kernel[0] * w->kernel[1]};
  if (t.inner_end < t.inner_first) t.inner_end = t.inner_first;
  t.dw_out = s->in_channels * t.dw_in;
  return t;
}

/* All weights of the task with the kernel columns from `column` on. Input channels are outermost, so that those of one tile
 * stay in the cache for all kernel rows. */
static void weight_run_columns(const weight_place *at, int column, int column_count) {
  const conv_shape *s = &at->job->shape;
  const dt_window *w = &s->op.window;
  weight_tile t = weight_tile_start(at, column, column_count);
  int pieces = conv_pieces(s->in_channels, WEIGHT_TAPS / column_count);
  for (int piece = 0; piece < pieces; piece++) {
    int in = conv_piece_first(s->in_channels, pieces, piece);
    int in_count = conv_piece_first(s->in_channels, pieces, piece + 1) - in;
    for (int row = 0; row < w->kernel[0]; row++) {
      int row_first, row_end;
      weight_outputs_inside(s, 0, row, &row_first, &row_end);
      ptrdiff_t x_row = (ptrdiff_t)row_first * w->stride[0] + row * w->dilation[0] - w->pad[0];
      t.rows = row_end - row_first;
      t.dy = at->dy + row_first * t.dy_row;
      t.x = at->x + in * s->in_plane + (x_row * s->in[2] + t.x_first) * 16;
      t.dw = at->dw + in * t.dw_in + row * w->kernel[1] + column;
      weight_tile_table[at->count - 1][in_count - 1][column_count - 1](&t);
    }
  }
}

/* Four chains of additions side by side; a tile with fewer channels repeats its last. */
static void weight_bias(const weight_place *at, float *db) {
  const conv_shape *s = &at->job->shape;
  const float *dy[WEIGHT_CO];
  v16 acc[WEIGHT_CO];
  run_sums runs;
  for (int c = 0; c < WEIGHT_CO; c++) dy[c] = at->dy + (c < at->count ? c : at->count - 1) * s->out_plane;
  for (ptrdiff_t first = 0, end; first < s->out_plane; first = end) {
    end = s->out_plane - first > SUM_RUN * 16 ? first + SUM_RUN * 16 : s->out_plane;
    for (int c = 0; c < WEIGHT_CO; c++) acc[c] = v16_zero();
    for (ptrdiff_t i = first; i < end; i += 16) {
#pragma GCC unroll 8
      for (int c = 0; c < WEIGHT_CO; c++) acc[c] = v16_add(acc[c], v16_load(dy[c] + i));
    }
    if (s->out_plane > SUM_RUN * 16) runs_leave(&runs, acc, 1, WEIGHT_CO, 0, first == 0, end == s->out_plane);
  }
  for (int c = 0; c < at->count; c++) db[c] = v16_sum(acc[c]);
}

static void weight_task(void *context, int index, int thread) {
  const weight_job *job = context;
  const conv_shape *s = &job->shape;
  int tiles = s->op.groups * job->group_tiles, block = index / tiles, tile = index % tiles;
  int group = tile / job->group_tiles, piece = tile % job->group_tiles;
  int in_group = conv_piece_first(s->out_channels, job->group_tiles, piece);
  int channel = group * s->out_channels + in_group;
  float *partial = job->partial + (size_t)block * job->stride;
  weight_place at = {.job = job,
                     .x = job->x + ((ptrdiff_t)block * s->in[0] + group * s->in_channels) * s->in_plane,
                     .dy = job->dy + ((ptrdiff_t)block * s->out[0] + channel) * s->out_plane,
                     .dw = partial + (size_t)channel * (s->weights / (size_t)s->out[0]),
                     .count = conv_piece_first(s->out_channels, job->group_tiles, piece + 1) - in_group};
  if (job->db != NULL) weight_bias(&at, partial + s->weights + channel);
  int columns = s->op.window.kernel[1], pieces = conv_pieces(columns, WEIGHT_TAPS);
  for (int i = 0; i < pieces; i++) {
    int column = conv_piece_first(columns, pieces, i);
    weight_run_columns(&at, column, conv_piece_first(columns, pieces, i + 1) - column);
  }
}

/* Adds `count` rows, `stride` apart, into the first by the tree of core/tree.h: the largest complete subtree smaller than the
 * whole is the older part. */
static void fold_rows(float *first, size_t stride, int count, int elements) {
  if (count == 1) return;
  int older = 1;
  while (2 * older < count) older *= 2;
  float *rest = first + (size_t)older * stride;
  fold_rows(first, stride, older, elements);
  fold_rows(rest, stride, count - older, elements);
  for (int i = 0; i < elements; i += 16) v16_store(first + i, v16_add(v16_load(first + i), v16_load(rest + i)));
}

/* Sums one chunk of elements over all blocks and hands it to dw and db. */
static void fold_task(void *context, int index, int thread) {
  const weight_job *job = context;
  size_t first = (size_t)index * FOLD_CHUNK, end = first + FOLD_CHUNK, weights = job->shape.weights;
  if (end > job->stride) end = job->stride;
  float *row = job->partial + first;
  size_t shard = job->stride * (size_t)job->shard_blocks;
  for (int s = 0; s < job->shards; s++) fold_rows(row + (size_t)s * shard, job->stride, job->shard_blocks, (int)(end - first));
  fold_rows(row, shard, job->shards, (int)(end - first));
  size_t dw_end = end < weights ? end : weights;
  if (first < dw_end) memcpy(job->dw + first, row, (dw_end - first) * sizeof(float));
  if (job->db == NULL || end <= weights) return;
  size_t db_first = first > weights ? first - weights : 0, db_end = end - weights;
  if (db_end > (size_t)job->shape.out[0]) db_end = (size_t)job->shape.out[0];
  if (db_first < db_end) memcpy(job->db + db_first, row + (weights + db_first - first), (db_end - db_first) * sizeof(float));
}

/* Floats of one block's sums: dw, db, up to a whole vector. */
static size_t weight_stride(size_t weights, size_t out_channels) {
  return (weights + out_channels + 15) / 16 * 16;
}

size_t DT_SIMD(dt_cpu_conv_wgrad_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  const dt_shape *dw = &program->buffer[instr->arg[DT_ARG_DW]].shape;
  size_t stride = weight_stride((size_t)dt_shape_count(dw), (size_t)dw->dim[0]);
  return stride * (size_t)program->micro_batch_shards * (size_t)dt_cpu_shard_blocks(program) * sizeof(float);
}

dt_status DT_SIMD(dt_cpu_conv_wgrad)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_program *program = run->program;
  dt_threads *threads = ((dt_cpu *)run->device)->threads;
  int out_channels = (int)program->buffer[instr->arg[DT_ARG_DY]].shape.dim[0];
  weight_job job = {.shape = conv_shape_make(&instr->conv, &program->buffer[instr->arg[DT_ARG_X]].shape, out_channels),
                    .x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                    .dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
                    .partial = dt_cpu_arg(run, instr, micro, DT_ARG_WORK),
                    .dw = dt_cpu_arg(run, instr, micro, DT_ARG_DW),
                    .db = dt_cpu_arg(run, instr, micro, DT_ARG_DB),
                    .shards = micro->shard_count,
                    .shard_blocks = dt_cpu_shard_blocks(program)};
  job.stride = weight_stride(job.shape.weights, (size_t)job.shape.out[0]);
  job.group_tiles = conv_pieces(job.shape.out_channels, WEIGHT_CO);
  int blocks = job.shards * job.shard_blocks;
  dt_threads_run(threads, blocks * job.shape.op.groups * job.group_tiles, weight_task, &job);
  dt_threads_run(threads, (int)((job.stride + FOLD_CHUNK - 1) / FOLD_CHUNK), fold_task, &job);
  return DT_OK;
}
