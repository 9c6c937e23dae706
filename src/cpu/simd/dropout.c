/* Dropout: y = x / (1 - p) where the element is kept, else 0. The choice is drawn again in backward; four elements share a
 * Philox block. */
#include "cpu/simd/philox.h"

enum { CHUNK = 64 }; /* elements of a task, a multiple of 4 */

typedef struct dropout {
  const dt_run *run;
  const dt_micro_batch *micro;
  const float *in, *addend, *mask;
  float *out;
  int64_t elements;
  uint64_t key;
  uint32_t layer;
  float factor, limit; /* 1 / (1 - p); the smallest float that keeps */
  int shard_blocks, chunks;
  dt_act act;
} dropout;

/* The smallest float that is not below p: u >= p for a float u is u >= this. */
static float limit_of(double p) {
  float limit = (float)p;
  return (double)limit < p ? nextafterf(limit, 1.0f) : limit;
}

static void dropout_task(void *context, int index, int thread) {
  const dropout *d = context;
  int block = index / d->chunks, shard = block / d->shard_blocks;
  int64_t place = d->micro->batch->position[shard] + block % d->shard_blocks * 16;
  int64_t first = (int64_t)(index % d->chunks) * CHUNK, end = first + CHUNK < d->elements ? first + CHUNK : d->elements;
  v16 factor = v16_set1(d->factor), limit = v16_set1(d->limit);
  philox_lanes random;
  for (int64_t e = first; e < end; e++) {
    if (e % 4 == 0) {
      philox_draw(&random, d->key, (uint64_t)d->run->step->samples_seen, d->layer, place, (uint32_t)(e / 4));
    }
    float u[16];
    for (int i = 0; i < 16; i++) u[i] = dt_rng_float(random.word[e % 4][i]);
    int64_t i = (block * d->elements + e) * 16;
    v16 a = v16_select(v16_gt(limit, v16_load(u)), v16_zero(), v16_mul(v16_load(d->in + i), factor));
    v16_store(d->out + i, gradient_finish(&d->act, a, at(d->addend, i), at(d->mask, i)));
  }
}

static void run_dropout(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg in, dt_arg out) {
  dropout d = {.run = run,
               .micro = micro,
               .in = dt_cpu_arg(run, instr, micro, in),
               .out = dt_cpu_arg(run, instr, micro, out),
               .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
               .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK),
               .elements = arg_count(run, instr, out),
               .key = dt_rng_key(run->seed, DT_RNG_DROPOUT),
               .layer = (uint32_t)instr->dropout.layer,
               .factor = (float)(1 / (1 - instr->dropout.p)),
               .limit = limit_of(instr->dropout.p),
               .shard_blocks = dt_cpu_shard_blocks(run->program),
               .act = instr->act};
  d.chunks = (int)((d.elements + CHUNK - 1) / CHUNK);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro) * d.chunks, dropout_task, &d);
}

dt_status DT_SIMD(dt_cpu_dropout_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  run_dropout(run, instr, micro, DT_ARG_X, DT_ARG_Y);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_dropout_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  run_dropout(run, instr, micro, DT_ARG_DY, DT_ARG_DX);
  return DT_OK;
}
