#include "cpu/simd/linear_blas.h"

#include "cpu/blas.h"

enum { PIECE = 64 }; /* rows of a task's result */

static int64_t smaller(int64_t a, int64_t b) {
  return a < b ? a : b;
}

static int pieces_of(int64_t rows) {
  return (int)((rows + PIECE - 1) / PIECE);
}

/* [shard][block][feature][16] -> [shard][feature][block][16] */
typedef struct packing {
  const float *from;
  float *to;
  int64_t features;
  int shard_blocks;
} packing;

static void pack_block(void *context, int index, int thread) {
  const packing *p = context;
  int shard = index / p->shard_blocks, block = index % p->shard_blocks;
  const float *from = p->from + index * p->features * 16;
  float *to = p->to + (shard * p->features * p->shard_blocks + block) * 16;
  for (int64_t f = 0; f < p->features; f++) v16_store(to + f * p->shard_blocks * 16, v16_load(from + f * 16));
}

static void pack(const dt_run *run, const float *from, int64_t features, int shards, float *to) {
  packing p = {.from = from, .to = to, .features = features, .shard_blocks = dt_cpu_shard_blocks(run->program)};
  dt_threads_run(run_threads(run), shards * p.shard_blocks, pack_block, &p);
}

typedef struct blas_product {
  const dt_blas *blas;
  const product *p;
  const float *w, *packed; /* packed: [shards][depth][places] */
  float *result;           /* [threads][PIECE][places] */
  int64_t rows, places;
  int shard_blocks, pieces;
  bool forward;
} blas_product;

/* Bias, addend, activation or mask over one piece's result, into y. */
static void finish_piece(const blas_product *b, const float *result, int shard, int64_t first, int64_t rows) {
  const product *p = b->p;
  for (int64_t r = 0; r < rows; r++) {
    for (int block = 0; block < b->shard_blocks; block++) {
      int64_t place = ((int64_t)shard * b->shard_blocks + block) * p->y_block + (first + r) * 16;
      v16 a = v16_load(result + r * b->places + block * 16);
      if (p->bias != NULL) a = v16_add(a, v16_set1(p->bias[first + r]));
      if (p->mask != NULL) {
        a = gradient_finish(&p->act, a, at(p->addend, place), p->mask + place);
      } else {
        a = forward_finish(&p->act, a, at(p->addend, place));
      }
      v16_store(p->y + place, a);
    }
  }
}

static void product_task(void *context, int index, int thread) {
  const blas_product *b = context;
  int shard = index / b->pieces;
  int64_t first = (int64_t)(index % b->pieces) * PIECE, rows = smaller(PIECE, b->rows - first);
  float *result = b->result + thread * PIECE * b->places;
  dt_blas_product m = {.rows = (int)rows,
                       .columns = (int)b->places,
                       .depth = (int)b->p->depth,
                       .a = b->forward ? b->w + first * b->p->depth : b->w + first,
                       .a_stride = (int)(b->forward ? b->p->depth : b->rows),
                       .a_transposed = !b->forward,
                       .b = b->packed + shard * b->p->depth * b->places,
                       .b_stride = (int)b->places,
                       .c = result,
                       .c_stride = (int)b->places};
  dt_blas_multiply(b->blas, &m);
  finish_piece(b, result, shard, first, rows);
}

void DT_SIMD(dt_cpu_blas_product)(const dt_run *run, const product *p, const float *w, int64_t rows, bool forward, int shards,
                                  float *work) {
  blas_product b = {.blas = ((const dt_cpu *)run->device)->blas, .p = p, .w = w, .rows = rows, .forward = forward};
  b.shard_blocks = dt_cpu_shard_blocks(run->program);
  b.places = b.shard_blocks * 16;
  b.pieces = pieces_of(rows);
  b.packed = work;
  b.result = work + shards * p->depth * b.places;
  pack(run, p->x, p->depth, shards, work);
  dt_threads_run(run_threads(run), shards * b.pieces, product_task, &b);
}

size_t DT_SIMD(dt_cpu_blas_product_bytes)(const dt_device *device, const dt_program *program, int64_t depth) {
  int64_t places = dt_cpu_shard_blocks(program) * 16;
  return (size_t)((program->micro_batch_shards * depth + device->threads * PIECE) * places) * sizeof(float);
}

/* Weight gradient: a task owns a piece of dw's rows and keeps the tree's open subtrees of it. */
typedef struct wgrad_pieces {
  const blas_wgrad *g;
  const dt_blas *blas;
  const float *x, *dy; /* packed */
  float *open;         /* [threads][levels][PIECE][inputs] */
  int64_t places;
  int levels;
} wgrad_pieces;

/* Open subtrees beside the one that is being made: one for each bit of the number of shards. */
static int tree_levels(int shards) {
  int levels = 0;
  for (; shards > 0; shards /= 2) levels++;
  return levels;
}

static void add_older(float *sum, const float *older, int64_t count) {
  int64_t i = 0;
  for (; i + 16 <= count; i += 16) v16_store(sum + i, v16_add(v16_load(older + i), v16_load(sum + i)));
  for (; i < count; i++) sum[i] = older[i] + sum[i];
}

static void wgrad_task(void *context, int index, int thread) {
  const wgrad_pieces *w = context;
  const blas_wgrad *g = w->g;
  int64_t first = (int64_t)index * PIECE, rows = smaller(PIECE, g->outputs - first), count = rows * g->inputs;
  float *open = w->open + (int64_t)thread * w->levels * PIECE * g->inputs, *sum = g->dw + first * g->inputs;
  int depth = 0;
  for (int s = 0; s < g->shards; s++) {
    if (s > 0) memcpy(open + depth++ * PIECE * g->inputs, sum, (size_t)count * sizeof *sum);
    dt_blas_product m = {.rows = (int)rows,
                         .columns = (int)g->inputs,
                         .depth = (int)w->places,
                         .a = w->dy + (s * g->outputs + first) * w->places,
                         .a_stride = (int)w->places,
                         .b = w->x + s * g->inputs * w->places,
                         .b_stride = (int)w->places,
                         .b_transposed = true,
                         .c = sum,
                         .c_stride = (int)g->inputs};
    dt_blas_multiply(w->blas, &m);
    for (int merges = tree_merges(s); merges > 0; merges--) add_older(sum, open + --depth * PIECE * g->inputs, count);
  }
  while (depth > 0) add_older(sum, open + --depth * PIECE * g->inputs, count);
}

void DT_SIMD(dt_cpu_blas_wgrad)(const dt_run *run, const blas_wgrad *g) {
  wgrad_pieces w = {.g = g, .blas = ((const dt_cpu *)run->device)->blas, .levels = tree_levels(g->shards)};
  w.places = dt_cpu_shard_blocks(run->program) * 16;
  float *x = g->work, *dy = x + g->shards * g->inputs * w.places;
  w.x = x;
  w.dy = dy;
  w.open = dy + g->shards * g->outputs * w.places;
  pack(run, g->x, g->inputs, g->shards, x);
  pack(run, g->dy, g->outputs, g->shards, dy);
  dt_threads_run(run_threads(run), pieces_of(g->outputs), wgrad_task, &w);
}

size_t DT_SIMD(dt_cpu_blas_wgrad_bytes)(const dt_device *device, const dt_program *program, int64_t inputs, int64_t outputs) {
  int64_t packed = (inputs + outputs) * program->micro_batch_shards * dt_cpu_shard_blocks(program) * 16;
  int64_t open = (int64_t)device->threads * tree_levels(program->micro_batch_shards) * PIECE * inputs;
  return (size_t)(packed + open) * sizeof(float);
}
