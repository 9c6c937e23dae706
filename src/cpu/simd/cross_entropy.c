/* Softmax and cross-entropy over the classes, sixteen samples at a time; see core/program/ops.def for the formulas. The largest
 * logit is taken out first; sums over classes go in the runs of sums.h. */
#include <math.h>

#include "cpu/simd/common.h"
#include "cpu/simd/sums.h"

typedef struct classes {
  const float *x; /* [blocks][classes][16] */
  float *out;            /* probabilities, or the gradient; NULL: neither is wanted */
  float *terms;          /* [blocks][columns][16], from the first column on */
  const int32_t *valid; /* [shards] */
  const int32_t *target; /* [shards][shard_capacity]; NULL of SOFTMAX */
  int64_t count, shard_capacity, columns;
  int shard_blocks;
  float weight;
} classes;

/* What a block of samples gives besides its gradient. */
typedef struct block_loss {
  _Alignas(64) float loss[16];
  _Alignas(64) float best[16]; /* the first largest logit's class */
  const int32_t *label;        /* [filled] */
  int shard, valid;
} block_loss;

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
  run_sums runs;
  for (int64_t first = 0, end; first < count; first = end) {
    end = count - first > SUM_RUN ? first + SUM_RUN : count;
    sum = v16_zero();
    for (int64_t k = first; k < end; k++) {
      v16 e = v16_exp(v16_sub(v16_load(x + k * 16), peak));
      if (out != NULL) v16_store(out + k * 16, e);
      sum = v16_add(sum, e);
    }
    if (count > SUM_RUN) runs_leave(&runs, &sum, 1, 1, 0, first == 0, end == count);
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
  to->valid = block_filled(c->valid[to->shard], block);
  to->label = c->target + to->shard * c->shard_capacity + block * 16;
  v16 best, peak = find_largest(x, c->count, &best);
  v16 sum = exponentials(x, c->count, peak, out);
  v16_store(to->best, best);
  if (out != NULL) divide_all(out, c->count, sum);
  _Alignas(64) float picked[16] = {0};
  for (int i = 0; i < to->valid; i++) {
    DT_ASSERT(to->label[i] >= 0 && to->label[i] < c->count);
    picked[i] = x[to->label[i] * 16 + i];
  }
  v16_store(to->loss, v16_add(v16_sub(peak, v16_load(picked)), v16_log(sum)));
}

static void clear_empty(float *out, int64_t count, int valid) {
  if (valid == 16) return;
  m16 lanes = lanes_filled(valid);
  for (int64_t k = 0; k < count; k++) v16_store(out + k * 16, v16_select(lanes, v16_load(out + k * 16), v16_zero()));
}

/* dx = weight * (p - onehot), from p. */
static void leave_gradient(const classes *c, const block_loss *b, float *dx) {
  clear_empty(dx, c->count, b->valid);
  for (int i = 0; i < b->valid; i++) dx[b->label[i] * 16 + i] -= 1.0f;
  if (c->weight == 1.0f) return;
  const v16 weight = v16_set1(c->weight);
  for (int64_t k = 0; k < c->count; k++) v16_store(dx + k * 16, v16_mul(v16_load(dx + k * 16), weight));
}

static void measure_task(void *context, int index, int thread) {
  const classes *c = context;
  float *dx = c->out != NULL ? c->out + index * c->count * 16 : NULL, *term = c->terms + index * c->columns * 16;
  block_loss b;
  measure_block(c, index, &b, dx);
  v16_store(term, v16_load(b.loss));
  for (int i = 0; i < 16; i++) term[16 + i] = i < b.valid && b.best[i] == (float)b.label[i] ? 1.0f : 0.0f;
  if (dx != NULL) leave_gradient(c, &b, dx);
}

static void softmax_task(void *context, int index, int thread) {
  const classes *c = context;
  const float *x = c->x + index * c->count * 16;
  float *y = c->out + index * c->count * 16;
  v16 best, peak = find_largest(x, c->count, &best);
  divide_all(y, c->count, exponentials(x, c->count, peak, y));
}

static const int32_t *target_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  if (instr->arg[DT_ARG_TARGET] < 0) return NULL;
  return dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
}

static classes classes_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg out) {
  return (classes){.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                   .out = dt_cpu_arg(run, instr, micro, out),
                   .valid = micro->batch->valid,
                   .target = target_of(run, instr, micro),
                   .count = arg_count(run, instr, DT_ARG_X),
                   .shard_capacity = run->program->shard_capacity,
                   .shard_blocks = dt_cpu_shard_blocks(run->program)};
}

dt_status DT_SIMD(dt_cpu_cross_entropy)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  classes c = classes_of(run, instr, micro, DT_ARG_DX);
  c.terms = (float *)dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16;
  c.columns = run->program->columns;
  c.weight = (float)instr->loss.weight;
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), measure_task, &c);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_softmax)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  classes c = classes_of(run, instr, micro, DT_ARG_Y);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), softmax_task, &c);
  return DT_OK;
}
