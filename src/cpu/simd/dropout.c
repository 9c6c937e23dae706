/* Dropout: y = x / (1 - p) where the element is kept, else 0. The choice is drawn again in backward; four elements share a
 * Philox block, drawn for sixteen samples side by side so that the compiler can use the lanes. */
#include "core/rng.h"
#include "cpu/simd/common.h"

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

typedef struct philox_lanes {
  uint32_t word[4][16];
} philox_lanes;

/* dt_philox with one counter a lane. */
static void philox_rounds(philox_lanes *state, uint64_t key) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    for (int i = 0; i < 16; i++) {
      uint64_t a = (uint64_t)0xD2511F53u * state->word[0][i], b = (uint64_t)0xCD9E8D57u * state->word[2][i];
      uint32_t x0 = (uint32_t)(b >> 32) ^ state->word[1][i] ^ k0, x2 = (uint32_t)(a >> 32) ^ state->word[3][i] ^ k1;
      state->word[0][i] = x0;
      state->word[1][i] = (uint32_t)b;
      state->word[2][i] = x2;
      state->word[3][i] = (uint32_t)a;
    }
  }
}

/* The counters of dt_rng(seed, DT_RNG_DROPOUT, samples_seen, layer << 32 | place, quad) for a block's samples. */
static void set_counters(philox_lanes *state, const dropout *d, int64_t place, uint32_t quad) {
  uint64_t seen = (uint64_t)d->run->step->samples_seen;
  for (int i = 0; i < 16; i++) {
    state->word[0][i] = quad;
    state->word[1][i] = (uint32_t)(place + i);
    state->word[2][i] = (uint32_t)seen;
    state->word[3][i] = (uint32_t)(seen >> 32) | d->layer << 16;
  }
}

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
      set_counters(&random, d, place, (uint32_t)(e / 4));
      philox_rounds(&random, d->key);
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
