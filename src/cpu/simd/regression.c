/* What is compared element by element, sixteen samples at a time: squared error, Huber, the binary cross-entropy of logits,
 * absolute error, and penalties without a target; see core/program/ops.def for the formulas. Sums over elements go in the runs of sums.h. */
#include "cpu/simd/common.h"
#include "cpu/simd/math.h"
#include "cpu/simd/sums.h"

typedef struct pairs {
  const float *x; /* [blocks][count][16] */
  float *dx;      /* likewise; NULL: not wanted */
  float *terms;   /* [blocks][columns][16], from the first column on */
  const void *target; /* [shards][shard_capacity][count]: floats or bytes; NULL: zeros */
  const int32_t *valid;
  int64_t count, shard_capacity, columns;
  int shard_blocks;
  bool bytes;
  float share, weight; /* 1 / count; of the loss, times the share */
  float target_scale, param; /* of those that have one: Huber's delta */
} pairs;

/* Element e of the targets of a block's samples; zeros in empty positions. */
VEC v16 block_target(const pairs *p, int64_t first, int valid, int64_t e) {
  _Alignas(64) float lane[16] = {0};
  for (int i = 0; i < valid; i++) {
    const int64_t at = (first + i) * p->count + e;
    lane[i] = p->bytes ? (float)((const uint8_t *)p->target)[at] : ((const float *)p->target)[at];
  }
  return v16_mul(v16_load(lane), v16_set1(p->target_scale));
}

/* What one element adds to the block's terms, and its gradient before it is scaled. */
typedef struct element {
  v16 loss, right, gradient;
} element;

VEC element square(v16 x, v16 t, v16 param) {
  const v16 apart = v16_sub(x, t);
  return (element){.loss = v16_mul(apart, apart), .right = v16_zero(), .gradient = v16_add(apart, apart)};
}

/* The difference comes second in each v16_max, so that a NaN stays one. */
VEC element huber(v16 x, v16 t, v16 delta) {
  const v16 apart = v16_sub(x, t), low = v16_negate(delta);
  const v16 cut = v16_max(low, v16_negate(v16_max(low, v16_negate(apart))));
  return (element){.loss = v16_mul(cut, v16_sub(apart, v16_mul(cut, v16_set1(0.5f)))), .right = v16_zero(), .gradient = cut};
}

VEC element absolute(v16 x, v16 t, v16 param) {
  return (element){.loss = v16_abs(v16_sub(x, t)), .right = v16_zero(), .gradient = v16_zero()};
}

VEC element magnitude(v16 x, v16 t, v16 param) {
  const v16 one = v16_set1(1.0f), zero = v16_zero();
  const v16 sign = v16_select(v16_gt(x, zero), one, v16_select(v16_gt(zero, x), v16_set1(-1.0f), zero));
  return (element){.loss = v16_abs(x), .right = zero, .gradient = sign};
}

/* log(1 + e) for e in (0, 1]: where e is lost in 1 + e the sum is exact to float's last digit all the same, by Kahan's quotient
 * log(u) e / (u - 1) with u = 1 + e (HP-15C Advanced Functions Handbook, 1982). */
VEC v16 log_one_plus(v16 e) {
  const v16 one = v16_set1(1.0f), u = v16_add(one, e), rest = v16_sub(u, one);
  const v16 exact = v16_div(v16_mul(v16_log(u), e), v16_select(v16_gt(rest, v16_zero()), rest, one));
  return v16_select(v16_gt(rest, v16_zero()), exact, v16_add(e, v16_sub(u, u)));
}

VEC element logistic(v16 x, v16 t, v16 param) {
  const v16 one = v16_set1(1.0f), half = v16_set1(0.5f), zero = v16_zero();
  const v16 loss = v16_add(v16_sub(v16_max(zero, x), v16_mul(x, t)), log_one_plus(v16_exp(v16_negate(v16_abs(x)))));
  const v16 yes = v16_select(v16_gt(x, zero), one, zero), meant = v16_select(v16_gt(t, half), one, zero);
  return (element){.loss = v16_add(loss, v16_sub(x, x)),
                   .right = v16_sub(one, v16_abs(v16_sub(yes, meant))),
                   .gradient = v16_sub(v16_sigmoid(x), t)};
}

typedef element each_element(v16 x, v16 t, v16 param);

VEC void compare_block(const pairs *p, int index, const int sums, each_element *each) {
  const int block = index % p->shard_blocks, shard = index / p->shard_blocks, valid = block_filled(p->valid[shard], block);
  const int64_t first = shard * p->shard_capacity + block * 16;
  const float *x = p->x + index * p->count * 16;
  float *dx = p->dx != NULL ? p->dx + index * p->count * 16 : NULL, *term = p->terms + index * p->columns * 16;
  const v16 weight = v16_set1(p->weight), param = v16_set1(p->param);
  const m16 lanes = lanes_filled(valid);
  v16 sum[2] = {v16_zero(), v16_zero()};
  run_sums runs;
  for (int64_t begin = 0, end; begin < p->count; begin = end) {
    end = p->count - begin > SUM_RUN ? begin + SUM_RUN : p->count;
    sum[0] = sum[1] = v16_zero();
    for (int64_t e = begin; e < end; e++) {
      const v16 target = p->target != NULL ? block_target(p, first, valid, e) : v16_zero();
      const element found = each(v16_load(x + e * 16), target, param);
      sum[0] = v16_add(sum[0], found.loss);
      sum[1] = v16_add(sum[1], found.right);
      if (dx != NULL) v16_store(dx + e * 16, v16_select(lanes, v16_mul(found.gradient, weight), v16_zero()));
    }
    if (p->count > SUM_RUN) runs_leave(&runs, sum, 1, 2, 0, begin == 0, end == p->count);
  }
  v16_store(term, v16_mul(sum[0], v16_set1(p->share)));
  if (sums > 1) v16_store(term + 16, sum[1]);
}

static void square_task(void *context, int index, int thread) {
  compare_block(context, index, 1, square);
}

static void huber_task(void *context, int index, int thread) {
  compare_block(context, index, 1, huber);
}

static void absolute_task(void *context, int index, int thread) {
  compare_block(context, index, 1, absolute);
}

static void magnitude_task(void *context, int index, int thread) {
  compare_block(context, index, 1, magnitude);
}

static void logistic_task(void *context, int index, int thread) {
  compare_block(context, index, 2, logistic);
}

static dt_status compare(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_task *task) {
  const int64_t count = arg_count(run, instr, DT_ARG_X);
  const bool has_target = instr->arg[DT_ARG_TARGET] >= 0;
  pairs p = {.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
             .dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
             .terms = dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16,
             .valid = micro->batch->valid,
             .count = count,
             .shard_capacity = run->program->shard_capacity,
             .columns = run->program->columns,
             .shard_blocks = dt_cpu_shard_blocks(run->program),
             .share = (float)(1.0 / (double)count),
             .weight = (float)(instr->loss.weight / (double)count),
             .target_scale = (float)instr->loss.target_scale,
             .param = (float)instr->loss.param[0]};
  if (has_target) {
    p.target = dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES);
    p.bytes = dt_instr_field(run->program, instr, DT_ARG_TARGET)->dtype == DT_U8;
  }
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), task, &p);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_squared_error)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, square_task);
}

dt_status DT_SIMD(dt_cpu_huber)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, huber_task);
}

dt_status DT_SIMD(dt_cpu_absolute_error)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, absolute_task);
}

dt_status DT_SIMD(dt_cpu_binary_cross_entropy)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, logistic_task);
}

dt_status DT_SIMD(dt_cpu_activity_l1)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, magnitude_task);
}

dt_status DT_SIMD(dt_cpu_activity_l2)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return compare(run, instr, micro, square_task);
}
