/* The terms that losses and metrics give of each sample: summed for the gradient block in training, each block's sixteen first,
 * then the blocks of a shard and the shards by the tree; and for the score, in integers, in an evaluation. */
#include <math.h>

#include "cpu/simd/common.h"

/* The terms of one column in a block of samples, those of empty positions as zeros. */
typedef struct column {
  const float *terms; /* [blocks][columns][16] */
  int64_t columns;
  int shard_blocks;
  const int32_t *valid;
} column;

static column column_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, int index) {
  return (column){.terms = (const float *)dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + index * 16,
                  .columns = run->program->columns,
                  .shard_blocks = dt_cpu_shard_blocks(run->program),
                  .valid = micro->batch->valid};
}

static const float *block_terms(const column *c, int shard, int block) {
  return c->terms + (shard * c->shard_blocks + block) * c->columns * 16;
}

static float sum_shard(const column *c, int shard) {
  tree over_blocks = {.depth = 0};
  for (int b = 0; b < c->shard_blocks; b++) {
    const m16 lanes = lanes_filled(block_filled(c->valid[shard], b));
    tree_push(&over_blocks, v16_sum(v16_select(lanes, v16_load(block_terms(c, shard, b)), v16_zero())));
  }
  return tree_root(&over_blocks);
}

static float sum_column(const column *c, int shards) {
  tree over_shards = {.depth = 0};
  for (int s = 0; s < shards; s++) tree_push(&over_shards, sum_shard(c, s));
  return tree_root(&over_shards);
}

static int64_t count_nonfinite(const column *c, int shards) {
  int64_t count = 0;
  for (int s = 0; s < shards; s++) {
    for (int32_t n = 0; n < c->valid[s]; n++) count += isfinite(block_terms(c, s, n / 16)[n % 16]) ? 0 : 1;
  }
  return count;
}

static int64_t micro_batch_samples(const dt_micro_batch *micro) {
  int64_t samples = 0;
  for (int s = 0; s < micro->shard_count; s++) samples += micro->batch->valid[s];
  return samples;
}

dt_status DT_SIMD(dt_cpu_tally)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  float *statistics = dt_cpu_arg(run, instr, micro, DT_ARG_STAT);
  statistics[DT_STATISTIC_SAMPLES] = (float)micro_batch_samples(micro);
  for (int i = DT_STATISTIC_STOP; i <= DT_STATISTIC_FAIL; i++) statistics[i] = micro->index == 0 ? (float)run->step->flags[i] : 0.0f;
  for (int i = 0; i < run->program->sum_count; i++) {
    const dt_sum *sum = &run->program->sum[i];
    if (sum->column < 0) continue;
    const column c = column_of(run, instr, micro, sum->column);
    const float total = statistics[sum->element] = sum_column(&c, micro->shard_count);
    if (sum->decl->kind != DT_SUM_REAL) continue;
    statistics[sum->element + 1] = isfinite(total) ? 0.0f : (float)count_nonfinite(&c, micro->shard_count);
  }
  return DT_OK;
}

static void score_column(const column *c, int shards, const dt_sum *sum, int64_t *word) {
  for (int s = 0; s < shards; s++) {
    for (int32_t n = 0; n < c->valid[s]; n++) {
      dt_sum_add(sum->decl->kind, sum->decl->bins, word, (double)block_terms(c, s, n / 16)[n % 16]);
    }
  }
}

dt_status DT_SIMD(dt_cpu_score)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  for (int i = 0; i < run->program->sum_count; i++) {
    const dt_sum *sum = &run->program->sum[i];
    if (sum->column < 0) continue;
    const column c = column_of(run, instr, micro, sum->column);
    score_column(&c, micro->shard_count, sum, run->score + sum->word);
  }
  return DT_OK;
}
