/* Softmax and cross-entropy over the classes, sixteen samples at a time; see core/program.h for the formulas. The largest
 * logit is taken out first; sums over classes are serial. */
#include <math.h>

#include "cpu/simd/common.h"

typedef struct classes {
  const float *x; /* [blocks][classes][16] */
  float *out;     /* probabilities, or the gradient */
  float *tails;   /* [blocks][TAIL_SUMS] */
  const dt_batch *batch;
  int64_t count, shard_slots;
  int shard_blocks;
} classes;

/* What a block of samples gives besides its gradient. */
typedef struct block_loss {
  _Alignas(64) float loss[16];
  _Alignas(64) float best[16]; /* the first largest logit's class */
  const int32_t *label;        /* [filled] */
  int shard, filled;
} block_loss;

enum { TAIL_SUMS = DT_TAIL_COUNT };

VEC v16 find_largest(const float *x, int64_t count, v16 *best) {
  v16 peak = v16_load(x);
  *best = v16_zero();
  for (int64_t k = 1; k < count; k++) {
    v16 logit = v16_load(x + k * 16);
    m16 larger = v16_gt(logit, peak);
    peak = v16_select(larger, logit, peak);
    *best = v16_select(larger, v16_set1((float)k), *best);
  }
  return peak;
}

/* exp(x - peak) into out where it is given; returns the sum. */
VEC v16 exponentials(const float *x, int64_t count, v16 peak, float *out) {
  v16 sum = v16_zero();
  for (int64_t k = 0; k < count; k++) {
    v16 e = v16_exp(v16_sub(v16_load(x + k * 16), peak));
    if (out != NULL) v16_store(out + k * 16, e);
    sum = v16_add(sum, e);
  }
  return sum;
}

VEC void divide_all(float *out, int64_t count, v16 sum) {
  for (int64_t k = 0; k < count; k++) v16_store(out + k * 16, v16_div(v16_load(out + k * 16), sum));
}

/* Loss and best class of one block's samples. Leaves probabilities in out where it is given. */
static void measure_block(const classes *c, int index, block_loss *to, float *out) {
  const float *x = c->x + index * c->count * 16;
  int block = index % c->shard_blocks;
  to->shard = index / c->shard_blocks;
  to->filled = block_filled(c->batch->filled[to->shard], block);
  to->label = c->batch->labels + to->shard * c->shard_slots + block * 16;
  v16 best, peak = find_largest(x, c->count, &best);
  v16 sum = exponentials(x, c->count, peak, out);
  v16_store(to->best, best);
  if (out != NULL) divide_all(out, c->count, sum);
  _Alignas(64) float picked[16] = {0};
  for (int i = 0; i < to->filled; i++) {
    DT_ASSERT(to->label[i] >= 0 && to->label[i] < c->count);
    picked[i] = x[to->label[i] * 16 + i];
  }
  v16_store(to->loss, v16_add(v16_sub(peak, v16_load(picked)), v16_log(sum)));
}

static void clear_empty(float *out, int64_t count, int filled) {
  if (filled == 16) return;
  m16 lanes = lanes_filled(filled);
  for (int64_t k = 0; k < count; k++) v16_store(out + k * 16, v16_select(lanes, v16_load(out + k * 16), v16_zero()));
}

static void loss_task(void *context, int index, int thread) {
  const classes *c = context;
  float *dx = c->out + index * c->count * 16, *tail = c->tails + index * TAIL_SUMS;
  block_loss b;
  measure_block(c, index, &b, dx);
  clear_empty(dx, c->count, b.filled);
  memset(tail, 0, TAIL_SUMS * sizeof *tail);
  for (int i = b.filled; i < 16; i++) b.loss[i] = 0;
  tail[DT_TAIL_LOSS] = v16_sum(v16_load(b.loss));
  tail[DT_TAIL_SAMPLES] = (float)b.filled;
  for (int i = 0; i < b.filled; i++) {
    dx[b.label[i] * 16 + i] -= 1.0f;
    tail[DT_TAIL_CORRECT] += b.best[i] == (float)b.label[i] ? 1.0f : 0.0f;
    tail[DT_TAIL_NONFINITE] += isfinite(b.loss[i]) ? 0.0f : 1.0f;
  }
}

static void softmax_task(void *context, int index, int thread) {
  const classes *c = context;
  const float *x = c->x + index * c->count * 16;
  float *y = c->out + index * c->count * 16;
  v16 best, peak = find_largest(x, c->count, &best);
  divide_all(y, c->count, exponentials(x, c->count, peak, y));
}

static classes classes_of(const dt_run *run, const dt_instr *instr, const dt_pass *pass, dt_arg out) {
  return (classes){.x = dt_cpu_arg(run, instr, pass, DT_ARG_X),
                   .out = dt_cpu_arg(run, instr, pass, out),
                   .batch = pass->batch,
                   .count = arg_count(run, instr, DT_ARG_X),
                   .shard_slots = run->program->shard_slots,
                   .shard_blocks = dt_cpu_shard_blocks(run->program)};
}

size_t DT_SIMD(dt_cpu_loss_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  return (size_t)(program->pass_shards * dt_cpu_shard_blocks(program)) * TAIL_SUMS * sizeof(float);
}

/* Blocks of each shard by the tree, then shards by the tree. */
static void sum_tails(const classes *c, int shards, float *stat) {
  for (int i = 0; i < TAIL_SUMS; i++) {
    tree over_shards = {.depth = 0};
    for (int s = 0; s < shards; s++) {
      tree over_blocks = {.depth = 0};
      for (int b = 0; b < c->shard_blocks; b++) tree_push(&over_blocks, c->tails[(s * c->shard_blocks + b) * TAIL_SUMS + i]);
      tree_push(&over_shards, tree_root(&over_blocks));
    }
    stat[i] = tree_root(&over_shards);
  }
}

dt_status DT_SIMD(dt_cpu_loss)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  classes c = classes_of(run, instr, pass, DT_ARG_DX);
  c.tails = dt_cpu_arg(run, instr, pass, DT_ARG_WORK);
  dt_pool_run(run_pool(run), pass_blocks(run, pass), loss_task, &c);
  float *tail = dt_cpu_arg(run, instr, pass, DT_ARG_STAT);
  sum_tails(&c, pass->shard_count, tail);
  for (int i = DT_TAIL_STOP; i <= DT_TAIL_FAIL && pass->index == 0; i++) tail[i] = (float)run->step->flags[i];
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_softmax)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  classes c = classes_of(run, instr, pass, DT_ARG_Y);
  dt_pool_run(run_pool(run), pass_blocks(run, pass), softmax_task, &c);
  return DT_OK;
}

/* Integers, so that the sum is the same in any order. */
static void score_sample(dt_score *score, float loss, bool correct) {
  score->samples++;
  score->correct += correct ? 1 : 0;
  if (isfinite(loss)) {
    score->loss += llround((double)loss * 0x1p20);
  } else {
    score->nonfinite++;
  }
}

dt_status DT_SIMD(dt_cpu_score)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  classes c = classes_of(run, instr, pass, DT_ARG_X);
  for (int index = 0; index < pass_blocks(run, pass); index++) {
    block_loss b;
    measure_block(&c, index, &b, NULL);
    for (int i = 0; i < b.filled; i++) score_sample(run->score, b.loss[i], b.best[i] == (float)b.label[i]);
  }
  return DT_OK;
}
