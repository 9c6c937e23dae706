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
  const int32_t *target; /* [shards][shard_capacity]; NULL of SOFTMAX, and where there is */
  const void *soft;      /* [shards][shard_capacity][classes]: floats or bytes */
  bool bytes;
  float target_scale;
  int64_t count, shard_capacity, columns;
  int shard_blocks;
  float weight, smoothing;
} classes;

/* What a block of samples gives besides its gradient. */
typedef struct block_loss {
  _Alignas(64) float loss[16];
  _Alignas(64) float best[16]; /* the first largest logit's class */
  _Alignas(64) float meant[16]; /* that of the target */
  const int32_t *label;        /* [filled]; NULL of soft targets */
  int64_t soft;                /* the first of [filled][classes] */
  v16 total;                   /* of the target */
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

/* Probabilities of class k, smoothed; zeros in empty positions. */
VEC v16 target_of(const classes *c, const block_loss *b, int64_t k) {
  _Alignas(64) float lane[16] = {0};
  const float share = 1.0f - c->smoothing, rest = c->smoothing / (float)c->count;
  for (int i = 0; i < b->valid; i++) {
    const int64_t at = b->soft + i * c->count + k;
    if (b->label != NULL)
      lane[i] = (float)(b->label[i] == k);
    else
      lane[i] = c->target_scale * (c->bytes ? (float)((const uint8_t *)c->soft)[at] : ((const float *)c->soft)[at]);
    lane[i] = share * lane[i] + rest;
  }
  return v16_load(lane);
}

/* Of targets that are no label alone: sum(q) log(sum) - sum over k of q[k] (x[k] - peak). */
VEC void measure_target(const classes *c, const float *x, v16 peak, v16 sum, block_loss *to) {
  enum { TOTAL, DOT, SUMS };
  v16 part[SUMS] = {v16_zero(), v16_zero()}, best = v16_zero(), most = v16_zero();
  run_sums runs;
  for (int64_t first = 0, end; first < c->count; first = end) {
    end = c->count - first > SUM_RUN ? first + SUM_RUN : c->count;
    part[TOTAL] = part[DOT] = v16_zero();
    for (int64_t k = first; k < end; k++) {
      const v16 q = target_of(c, to, k);
      const m16 larger = v16_gt(q, most);
      most = k == 0 ? q : v16_select(larger, q, most);
      best = k == 0 ? best : v16_select(larger, v16_set1((float)k), best);
      part[TOTAL] = v16_add(part[TOTAL], q);
      part[DOT] = v16_add(part[DOT], v16_mul(q, v16_sub(v16_load(x + k * 16), peak)));
    }
    if (c->count > SUM_RUN) runs_leave(&runs, part, 1, SUMS, 0, first == 0, end == c->count);
  }
  to->total = part[TOTAL];
  v16_store(to->loss, v16_sub(v16_mul(part[TOTAL], v16_log(sum)), part[DOT]));
  if (to->label == NULL) v16_store(to->meant, best);
}

static bool is_plain(const classes *c) {
  return c->soft == NULL && c->smoothing == 0;
}

/* Loss and best class of one block's samples. Leaves probabilities in out where it is given. */
static void measure_block(const classes *c, int index, block_loss *to, float *out) {
  const float *x = c->x + index * c->count * 16;
  int block = index % c->shard_blocks;
  to->shard = index / c->shard_blocks;
  to->valid = block_filled(c->valid[to->shard], block);
  const int64_t place = to->shard * c->shard_capacity + block * 16;
  to->label = c->target != NULL ? c->target + place : NULL;
  to->soft = place * c->count;
  v16 best, peak = find_largest(x, c->count, &best);
  v16 sum = exponentials(x, c->count, peak, out);
  v16_store(to->best, best);
  if (out != NULL) divide_all(out, c->count, sum);
  _Alignas(64) float picked[16] = {0};
  for (int i = 0; i < to->valid && to->label != NULL; i++) {
    DT_ASSERT(to->label[i] >= 0 && to->label[i] < c->count);
    picked[i] = x[to->label[i] * 16 + i];
    to->meant[i] = (float)to->label[i];
  }
  if (is_plain(c))
    v16_store(to->loss, v16_add(v16_sub(peak, v16_load(picked)), v16_log(sum)));
  else
    measure_target(c, x, peak, sum, to);
}

static void clear_empty(float *out, int64_t count, int valid) {
  if (valid == 16) return;
  m16 lanes = lanes_filled(valid);
  for (int64_t k = 0; k < count; k++) v16_store(out + k * 16, v16_select(lanes, v16_load(out + k * 16), v16_zero()));
}

/* dx = weight * (p sum(q) - q), from p. */
static void leave_gradient(const classes *c, const block_loss *b, float *dx) {
  for (int64_t k = 0; k < c->count && !is_plain(c); k++)
    v16_store(dx + k * 16, v16_sub(v16_mul(v16_load(dx + k * 16), b->total), target_of(c, b, k)));
  clear_empty(dx, c->count, b->valid);
  for (int i = 0; i < b->valid && is_plain(c); i++) dx[b->label[i] * 16 + i] -= 1.0f;
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
  for (int i = 0; i < 16; i++) term[16 + i] = i < b.valid && b.best[i] == b.meant[i] ? 1.0f : 0.0f;
  if (dx != NULL) leave_gradient(c, &b, dx);
}

static void softmax_task(void *context, int index, int thread) {
  const classes *c = context;
  const float *x = c->x + index * c->count * 16;
  float *y = c->out + index * c->count * 16;
  v16 best, peak = find_largest(x, c->count, &best);
  divide_all(y, c->count, exponentials(x, c->count, peak, y));
}

static classes classes_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg out) {
  return (classes){.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                   .out = dt_cpu_arg(run, instr, micro, out),
                   .valid = micro->batch->valid,
                   .count = arg_count(run, instr, DT_ARG_X),
                   .shard_capacity = run->program->shard_capacity,
                   .shard_blocks = dt_cpu_shard_blocks(run->program)};
}

dt_status DT_SIMD(dt_cpu_cross_entropy)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  classes c = classes_of(run, instr, micro, DT_ARG_DX);
  c.terms = (float *)dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16;
  c.columns = run->program->columns;
  c.weight = (float)instr->loss.weight;
  c.smoothing = (float)instr->loss.param[0];
  const void *target = dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
  const dt_dtype type = dt_instr_field(run->program, instr, DT_ARG_TARGET)->dtype;
  c.soft = type != DT_I32 ? target : NULL;
  c.target = type == DT_I32 ? target : NULL;
  c.bytes = type == DT_U8;
  c.target_scale = (float)instr->loss.target_scale;
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), measure_task, &c);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_softmax)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  classes c = classes_of(run, instr, micro, DT_ARG_Y);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), softmax_task, &c);
  return DT_OK;
}
