/* Metrics that are made of several sums, sixteen samples at a time: ranks of labels, scores in bins, moments of targets, counts
 * of yes and no; see core/program/ops.def. Evaluations have them, so that targets are gathered one by one. */
#include <math.h>
#include <string.h>

#include "cpu/simd/common.h"
#include "cpu/simd/math.h"

typedef struct judged {
  const float *x;     /* [blocks][count][16] */
  float *terms;       /* [blocks][columns][16], from the first column on */
  const void *target; /* [shards][shard_capacity][width] */
  dt_dtype dtype;
  const int32_t *valid;
  int64_t count, width, class, shard_capacity, columns;
  int shard_blocks;
  float target_scale;
} judged;

/* A block of samples, the first of them being number `first` of the targets. */
typedef struct block {
  const float *x; /* [count][16] */
  float *terms;   /* [columns][16] */
  int64_t first;
  int filled;
} block;

typedef void judge_block(const judged *j, const block *b);

static float target_at(const judged *j, int64_t sample, int64_t e) {
  const int64_t at = sample * j->width + e;
  if (j->dtype == DT_I32) return (float)((const int32_t *)j->target)[at];
  return j->target_scale * (j->dtype == DT_U8 ? (float)((const uint8_t *)j->target)[at] : ((const float *)j->target)[at]);
}

static void rank_block(const judged *j, const block *b) {
  for (int lane = 0; lane < b->filled; lane++) {
    const int32_t label = ((const int32_t *)j->target)[b->first + lane];
    int64_t before = 0;
    b->terms[lane] = -1;
    if (label < 0 || label >= j->count) continue;
    const float own = b->x[label * 16 + lane];
    for (int64_t k = 0; k < j->count; k++) {
      const float other = b->x[k * 16 + lane];
      before += k != label && !(own > other || (own == other && label < k));
    }
    b->terms[lane] = (float)before;
  }
}

/* By the vector functions, which give the same bits on every kind of CPU. */
static v16 score_of(const judged *j, const float *x) {
  if (j->count == 1) return v16_load(x);
  v16 peak = v16_set1(-INFINITY), sum = v16_zero();
  for (int64_t k = 0; k < j->count; k++) {
    if (k != j->class) peak = v16_max(peak, v16_load(x + k * 16));
  }
  for (int64_t k = 0; k < j->count; k++) {
    if (k != j->class) sum = v16_add(sum, v16_exp(v16_sub(v16_load(x + k * 16), peak)));
  }
  return v16_sub(v16_load(x + j->class * 16), v16_add(peak, v16_log(sum)));
}

/* Floats in the order of numbers are unsigned integers in order once negative ones are turned over and the others put above. */
static float bin_of(float score) {
  enum { DROPPED = 14 };
  uint32_t bits;
  score += 0.0f; /* -0 is 0 */
  memcpy(&bits, &score, sizeof bits);
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return isnan(score) ? -1.0f : (float)(bits >> DROPPED);
}

static void score_bin_block(const judged *j, const block *b) {
  _Alignas(64) float score[16];
  v16_store(score, score_of(j, b->x));
  for (int lane = 0; lane < b->filled; lane++) {
    const float bin = bin_of(score[lane]), target = target_at(j, b->first + lane, 0);
    const bool own = j->dtype == DT_I32 ? target == (float)j->class : target > 0.5f;
    b->terms[lane] = bin < 0 ? -1.0f : 2 * bin + (own ? 1.0f : 0.0f);
  }
}

static void moments_block(const judged *j, const block *b) {
  for (int lane = 0; lane < b->filled; lane++) {
    const float target = target_at(j, b->first + lane, 0), apart = b->x[lane] - target, square = target * target;
    b->terms[lane] = apart * apart;
    b->terms[16 + lane] = target;
    b->terms[32 + lane] = square;
    b->terms[48 + lane] = (float)((double)target * target - square); /* exact but for its last rounding */
  }
}

static void label_counts_block(const judged *j, const block *b) {
  for (int lane = 0; lane < b->filled; lane++) {
    int right = 0, too_many = 0, missed = 0;
    for (int64_t e = 0; e < j->count; e++) {
      const bool yes = b->x[e * 16 + lane] > 0, meant = target_at(j, b->first + lane, e) > 0.5f;
      right += yes && meant;
      too_many += yes && !meant;
      missed += meant && !yes;
    }
    b->terms[lane] = (float)right;
    b->terms[16 + lane] = (float)too_many;
    b->terms[32 + lane] = (float)missed;
  }
}

typedef struct judge_work {
  judged of;
  judge_block *judge;
} judge_work;

static void judge_task(void *context, int index, int thread) {
  const judge_work *w = context;
  const judged *j = &w->of;
  const int within = index % j->shard_blocks, shard = index / j->shard_blocks;
  const block b = {.x = j->x + index * j->count * 16,
                   .terms = j->terms + index * j->columns * 16,
                   .first = shard * j->shard_capacity + within * 16,
                   .filled = block_filled(j->valid[shard], within)};
  w->judge(j, &b);
}

static dt_status judge(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, judge_block *each) {
  const int64_t count = arg_count(run, instr, DT_ARG_X), named = (int64_t)instr->loss.param[0];
  const dt_field *field = dt_instr_field(run->program, instr, DT_ARG_TARGET);
  judge_work w = {
      .of = {.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
             .terms = dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16,
             .target = dt_host_field(run, micro, dt_instr_field_index(run->program, instr, DT_ARG_TARGET), DT_PART_VALUES),
             .dtype = field->dtype,
             .valid = micro->batch->valid,
             .count = count,
             .width = field->dtype == DT_I32 ? 1 : count,
             .class = named >= 0 ? named : count - 1,
             .shard_capacity = run->program->shard_capacity,
             .columns = run->program->columns,
             .shard_blocks = dt_cpu_shard_blocks(run->program),
             .target_scale = (float)instr->loss.target_scale},
      .judge = each,
  };
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro), judge_task, &w);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_rank)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, rank_block);
}

dt_status DT_SIMD(dt_cpu_score_bin)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, score_bin_block);
}

dt_status DT_SIMD(dt_cpu_moments)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, moments_block);
}

dt_status DT_SIMD(dt_cpu_label_counts)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return judge(run, instr, micro, label_counts_block);
}
