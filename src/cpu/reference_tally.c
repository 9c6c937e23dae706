/* The terms that losses and metrics give of each sample: summed for the gradient block in training, and for the score, in
 * integers, in an evaluation. */
#include <math.h>
#include <string.h>

#include "cpu/reference.h"

static double term_of(const dt_reference_sample *at, const dt_sum *sum) {
  return dt_reference_value(at, DT_ARG_TERMS)[sum->column];
}

/* Adds a sample to its shard's statistics. */
static void count_sample(const dt_reference_sample *at, double *statistics) {
  const dt_program *program = at->run->program;
  statistics[DT_STATISTIC_SAMPLES] += 1;
  for (int i = 0; i < program->sum_count; i++) {
    const dt_sum *sum = &program->sum[i];
    if (sum->column < 0) continue;
    statistics[sum->element] += term_of(at, sum);
    if (sum->decl->kind == DT_SUM_REAL) statistics[sum->element + 1] += isfinite(term_of(at, sum)) ? 0 : 1;
  }
}

dt_status dt_reference_tally(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = run->program->statistics_count;
  double *work = dt_reference_block(run, instr, micro, DT_ARG_WORK); /* [shards][count] */
  DT_ASSERT(dt_shape_count(dt_reference_shape(run, instr, DT_ARG_STAT)) == count);
  memset(work, 0, (size_t)(micro->shard_count * count) * sizeof(double));
  for (int shard = 0; shard < micro->shard_count; shard++) {
    for (int64_t position = 0; position < micro->batch->valid[shard]; position++) {
      dt_reference_sample at = {.run = run, .instr = instr, .micro = micro, .shard = shard, .position = position};
      count_sample(&at, work + shard * count);
    }
  }
  dt_reference_fold(work, micro->shard_count, count);
  for (int i = DT_STATISTIC_STOP; i <= DT_STATISTIC_FAIL && micro->index == 0; i++) work[i] = run->step->flags[i];
  memcpy(dt_reference_block(run, instr, micro, DT_ARG_STAT), work, (size_t)count * sizeof(double));
  return DT_OK;
}

static void score_sample(const dt_reference_sample *at) {
  const dt_program *program = at->run->program;
  for (int i = 0; i < program->sum_count; i++) {
    const dt_sum *sum = &program->sum[i];
    if (sum->column >= 0) dt_sum_add(sum->decl->kind, sum->decl->bins, at->run->score + sum->word, term_of(at, sum));
  }
}

dt_status dt_reference_score(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  for (int shard = 0; shard < micro->shard_count; shard++) {
    for (int64_t position = 0; position < micro->batch->valid[shard]; position++) {
      dt_reference_sample at = {.run = run, .instr = instr, .micro = micro, .shard = shard, .position = position};
      score_sample(&at);
    }
  }
  return DT_OK;
}
