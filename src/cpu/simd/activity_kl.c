/* The divergence of mean activities from rho, see core/program/ops.def. A task is a shard, of which sixteen units at a time: their
 * sums over the samples in doubles, in the order of the lanes and blocks, so that no thread shares one. */
#include <math.h>

#include "cpu/simd/common.h"
#include "cpu/simd/math.h"

typedef struct activity {
  const float *x; /* [blocks][count][16] */
  float *dx;      /* likewise; NULL: not wanted */
  float *terms;   /* [blocks][columns][16], from the first column on */
  const int32_t *valid;
  int64_t count, columns;
  int shard_blocks;
  float rho, weight; /* weight: of the loss, over the count */
} activity;

/* The mean over the shard's samples of unit e; x: of its first block. */
static float mean_of(const activity *a, const float *x, int valid, int64_t e) {
  double sum = 0;
  for (int b = 0; b < a->shard_blocks; b++) {
    const w16 block = w16_add(w16_zero(), v16_load(x + (b * a->count + e) * 16));
    sum += w16_sum(w16_keep(lanes_filled(block_filled(valid, b)), block));
  }
  return (float)(sum / valid);
}

/* Within the bounds of a logarithm. */
VEC v16 bounded(v16 m) {
  const v16 low = v16_set1(1e-6f), high = v16_set1(1 - 1e-6f), nan = v16_set1(NAN);
  const v16 in = v16_select(v16_gt(v16_zero(), m), nan, v16_select(v16_gt(m, v16_set1(1)), nan, m));
  return v16_max(low, v16_min(high, in));
}

/* Units [first, first + units) of a shard, sixteen at most: writes their gradients, and returns their divergences. */
static v16 some_units(const activity *a, int64_t at, int valid, int64_t first, int units) {
  _Alignas(64) float mean[16], slope[16];
  for (int i = 0; i < 16; i++) mean[i] = i < units ? mean_of(a, a->x + at, valid, first + i) : 0.5f;
  const v16 m = bounded(v16_load(mean)), rest = v16_sub(v16_set1(1), m), rho = v16_set1(a->rho), other = v16_set1(1 - a->rho);
  const v16 yes = v16_div(rho, m), no = v16_div(other, rest);
  v16_store(slope, v16_mul(v16_sub(no, yes), v16_set1(a->weight)));
  for (int b = 0; a->dx != NULL && b < a->shard_blocks; b++) {
    const m16 lanes = lanes_filled(block_filled(valid, b));
    float *dx = a->dx + at + (b * a->count + first) * 16;
    for (int i = 0; i < units; i++) v16_store(dx + i * 16, v16_select(lanes, v16_set1(slope[i]), v16_zero()));
  }
  const v16 apart = v16_add(v16_mul(rho, v16_log(yes)), v16_mul(other, v16_log(no)));
  return v16_select(lanes_filled(units), apart, v16_zero());
}

static void shard_task(void *context, int shard, int thread) {
  const activity *a = context;
  const int64_t at = shard * a->shard_blocks * a->count * 16;
  w16 sum = w16_zero();
  for (int64_t e = 0; e < a->count; e += 16) {
    const int units = a->count - e > 16 ? 16 : (int)(a->count - e);
    sum = w16_add(sum, some_units(a, at, a->valid[shard], e, units));
  }
  const v16 term = v16_set1((float)(w16_sum(sum) / (double)a->count));
  for (int b = 0; b < a->shard_blocks; b++)
    v16_store(a->terms + (shard * a->shard_blocks + b) * a->columns * 16, term);
}

dt_status DT_SIMD(dt_cpu_activity_kl)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const int64_t count = arg_count(run, instr, DT_ARG_X);
  activity a = {.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                .dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX),
                .terms = dt_cpu_arg(run, instr, micro, DT_ARG_TERMS) + instr->loss.column * 16,
                .valid = micro->batch->valid,
                .count = count,
                .columns = run->program->columns,
                .shard_blocks = dt_cpu_shard_blocks(run->program),
                .rho = (float)instr->loss.param[0],
                .weight = (float)(instr->loss.weight / (double)count)};
  dt_threads_run(run_threads(run), micro->shard_count, shard_task, &a);
  return DT_OK;
}
