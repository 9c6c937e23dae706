/* Layer normalisation over the D numbers of each sample; see cpu/reference_layernorm.c for the formulas.
 *
 * A lane is a sample, so that moments are sums down the lanes, in doubles. A task of the first kind is one block of samples: it
 * takes moments and writes y or dx, and leaves the moments for the second kind, which sums a piece of dw and db over a shard's
 * samples, lanes by the tree and blocks in order, in doubles. What they come to is rounded once, and added over shards by the
 * tree. */
#include "cpu/simd/common.h"

enum { RUN = 8, PIECE = 64 /* elements of a task that sums gradients */ };

typedef struct layernorm {
  const float *x, *dy, *weight, *bias;
  float *y, *dx;
  float *moments; /* [blocks][mean 16, 1/std 16], of LN_BWD */
  float *sums;    /* [shards][dw [D], db [D]] */
  const int32_t *valid;
  int64_t count; /* D */
  int shard_blocks, pieces;
  double eps;
} layernorm;

static m16 lanes_of(const layernorm *n, int index) {
  return lanes_filled(block_filled(n->valid[index / n->shard_blocks], index % n->shard_blocks));
}

/* Mean and 1/sqrt(var + eps) of a block's samples. Distances are from the rounded mean, which is as far from the mean in each of
 * them. */
static void take_moments(const layernorm *n, const float *x, v16 *out_mean, v16 *out_inverse) {
  const double share = 1 / (double)n->count;
  w16 sum = w16_zero(), off = w16_zero(), squares = w16_zero();
  for (int64_t i = 0; i < n->count; i++) sum = w16_add_load(sum, x + i * 16);
  v16 mean = w16_scale(sum, share);
  for (int64_t i = 0, end; i < n->count; i = end) {
    v16 off_run = v16_zero(), squares_run = v16_zero();
    end = n->count - i > RUN ? i + RUN : n->count;
    for (int64_t j = i; j < end; j++) {
      v16 d = v16_sub(v16_load(x + j * 16), mean);
      off_run = v16_add(off_run, d);
      squares_run = v16_fma(d, d, squares_run);
    }
    off = w16_add(off, off_run);
    squares = w16_add(squares, squares_run);
  }
  v16 shift = w16_scale(off, share);
  v16 variance = v16_max(v16_zero(), v16_fma(v16_sub(v16_zero(), shift), shift, w16_scale(squares, share))); /* a NaN stays */
  *out_mean = mean;
  *out_inverse = v16_div(v16_set1(1.0f), v16_sqrt(v16_add(variance, v16_set1((float)n->eps))));
}

static void forward_block(void *context, int index, int thread) {
  const layernorm *n = context;
  const int64_t first = index * n->count * 16;
  const m16 valid = lanes_of(n, index);
  v16 mean, inverse;
  take_moments(n, n->x + first, &mean, &inverse);
  for (int64_t i = 0; i < n->count; i++) {
    v16 xh = v16_mul(v16_sub(v16_load(n->x + first + i * 16), mean), inverse);
    v16 y = v16_fma(xh, v16_set1(n->weight[i]), v16_set1(n->bias[i]));
    v16_store(n->y + first + i * 16, v16_select(valid, y, v16_zero()));
  }
}

/* dx, and the moments for the sums that follow. */
static void backward_block(void *context, int index, int thread) {
  const layernorm *n = context;
  const int64_t first = index * n->count * 16;
  const double share = 1 / (double)n->count;
  const m16 valid = lanes_of(n, index);
  v16 mean, inverse;
  w16 sum = w16_zero(), along = w16_zero();
  take_moments(n, n->x + first, &mean, &inverse);
  v16_store(n->moments + index * 32, mean);
  v16_store(n->moments + index * 32 + 16, inverse);
  for (int64_t i = 0; i < n->count; i++) {
    v16 g = v16_mul(v16_load(n->dy + first + i * 16), v16_set1(n->weight[i]));
    v16 xh = v16_mul(v16_sub(v16_load(n->x + first + i * 16), mean), inverse);
    sum = w16_add(sum, g);
    along = w16_add(along, v16_mul(g, xh));
  }
  v16 mean_g = w16_scale(sum, share), minus_slope = v16_sub(v16_zero(), w16_scale(along, share));
  for (int64_t i = 0; i < n->count; i++) {
    v16 g = v16_mul(v16_load(n->dy + first + i * 16), v16_set1(n->weight[i]));
    v16 xh = v16_mul(v16_sub(v16_load(n->x + first + i * 16), mean), inverse);
    v16 dx = v16_mul(inverse, v16_fma(xh, minus_slope, v16_sub(g, mean_g)));
    v16_store(n->dx + first + i * 16, v16_select(valid, dx, v16_zero()));
  }
}

static void gradient_piece(void *context, int index, int thread) {
  const layernorm *n = context;
  const int shard = index / n->pieces, first_block = shard * n->shard_blocks;
  const int64_t first = (int64_t)(index % n->pieces) * PIECE, end = first + PIECE < n->count ? first + PIECE : n->count;
  for (int64_t i = first; i < end; i++) {
    double dw = 0, db = 0;
    for (int b = 0; b < n->shard_blocks; b++) {
      const int64_t at = ((first_block + b) * n->count + i) * 16;
      const float *moments = n->moments + (first_block + b) * 32;
      const m16 valid = lanes_of(n, first_block + b);
      v16 dy = v16_load(n->dy + at);
      v16 xh = v16_mul(v16_sub(v16_load(n->x + at), v16_load(moments)), v16_load(moments + 16));
      dw += w16_sum(w16_keep(valid, w16_add(w16_zero(), v16_mul(dy, xh))));
      db += w16_sum(w16_keep(valid, w16_add(w16_zero(), dy)));
    }
    n->sums[shard * 2 * n->count + i] = (float)dw;
    n->sums[(shard * 2 + 1) * n->count + i] = (float)db;
  }
}

static layernorm layernorm_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = arg_count(run, instr, DT_ARG_X);
  return (layernorm){.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                     .dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY),
                     .weight = dt_cpu_arg(run, instr, micro, DT_ARG_W),
                     .bias = dt_cpu_arg(run, instr, micro, DT_ARG_B),
                     .y = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
                     .dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
                     .valid = micro->batch->valid,
                     .count = count,
                     .shard_blocks = dt_cpu_shard_blocks(run->program),
                     .pieces = (int)((count + PIECE - 1) / PIECE),
                     .eps = instr->norm.eps};
}

dt_status DT_SIMD(dt_cpu_ln_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  layernorm n = layernorm_of(run, instr, micro);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), forward_block, &n);
  return DT_OK;
}

static size_t moments_count(const dt_program *program) {
  return (size_t)program->micro_batch_shards * (size_t)dt_cpu_shard_blocks(program) * 32;
}

size_t DT_SIMD(dt_cpu_ln_bwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  const size_t count = (size_t)dt_shape_count(&program->buffer[instr->arg[DT_ARG_X]].shape);
  return (moments_count(program) + (size_t)program->micro_batch_shards * 2 * count) * sizeof(float);
}

dt_status DT_SIMD(dt_cpu_ln_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  layernorm n = layernorm_of(run, instr, micro);
  n.moments = dt_cpu_arg(run, instr, micro, DT_ARG_WORK);
  n.sums = n.moments + moments_count(run->program);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), backward_block, &n);
  if (instr->arg[DT_ARG_DW] < 0) return DT_OK; /* a frozen layer */
  dt_threads_run(run_threads(run), micro->shard_count * n.pieces, gradient_piece, &n);
  tree_over_shards(dt_cpu_arg(run, instr, micro, DT_ARG_DW), n.sums, micro->shard_count, 2 * n.count, n.count);
  tree_over_shards(dt_cpu_arg(run, instr, micro, DT_ARG_DB), n.sums + n.count, micro->shard_count, 2 * n.count, n.count);
  return DT_OK;
}
