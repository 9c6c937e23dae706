/* Gaussian noise by Box and Muller's transform, as cpu/reference_noise.c has it, with a logarithm, a sine and a cosine of our own, so
 * that every machine adds the same bits. Four elements share a Philox block: two pairs of uniform numbers. */
#include "cpu/simd/math.h"
#include "cpu/simd/philox.h"

enum { CHUNK = 64 }; /* elements of a task, a multiple of 4 */

typedef struct noise {
  const dt_run *run;
  const dt_micro_batch *micro;
  const float *x;
  float *y;
  int64_t elements;
  uint64_t key;
  uint32_t layer;
  float std;
  int shard_blocks, chunks;
} noise;

/* Cosine and sine of v turns, v in [0, 1): of what is left of v over whole quarters, at most an eighth, by the polynomials of
 * Cephes (Moshier, sinf and cosf), and put in place by the quarter. */
VEC void cosine_and_sine(v16 v, v16 *cosine, v16 *sine) {
  const v16 magic = v16_set1(0x1.8p23f), one = v16_set1(1.0f);
  const v16 quarters = v16_mul(v, v16_set1(4.0f)), q = v16_sub(v16_add(quarters, magic), magic);
  const v16 r = v16_mul(v16_sub(quarters, q), v16_set1(1.57079632679f)), z = v16_mul(r, r);
  v16 s = v16_fma(v16_set1(-1.9515295891e-4f), z, v16_set1(8.3321608736e-3f));
  s = v16_fma(s, z, v16_set1(-1.6666654611e-1f));
  s = v16_fma(v16_mul(s, z), r, r);
  v16 c = v16_fma(v16_set1(2.443315711809948e-5f), z, v16_set1(-1.388731625493765e-3f));
  c = v16_fma(c, z, v16_set1(4.166664568298827e-2f));
  c = v16_fma(c, v16_mul(z, z), v16_fma(z, v16_set1(-0.5f), one));
  const m16 first = v16_gt(q, v16_set1(0.5f)), second = v16_gt(q, v16_set1(1.5f)), third = v16_gt(q, v16_set1(2.5f)),
            last = v16_gt(q, v16_set1(3.5f));
  const v16 minus_s = v16_negate(s), minus_c = v16_negate(c);
  *cosine = v16_select(last, c, v16_select(third, s, v16_select(second, minus_c, v16_select(first, minus_s, c))));
  *sine = v16_select(last, s, v16_select(third, minus_c, v16_select(second, minus_s, v16_select(first, c, s))));
}

/* Two normal numbers for each lane, of two words. */
VEC void normal_pair(const uint32_t *words, const uint32_t *more, v16 out[2]) {
  _Alignas(64) float u[16], v[16];
  for (int i = 0; i < 16; i++) u[i] = dt_rng_float(words[i]) + 0x1p-24f, v[i] = dt_rng_float(more[i]);
  const v16 radius = v16_sqrt(v16_mul(v16_set1(-2.0f), v16_log(v16_load(u))));
  v16 cosine, sine;
  cosine_and_sine(v16_load(v), &cosine, &sine);
  out[0] = v16_mul(radius, cosine);
  out[1] = v16_mul(radius, sine);
}

static void noise_task(void *context, int index, int thread) {
  const noise *n = context;
  const int block = index / n->chunks, shard = block / n->shard_blocks, within = block % n->shard_blocks;
  const int64_t place = n->micro->batch->position[shard] + within * 16;
  const int64_t first = (int64_t)(index % n->chunks) * CHUNK, end = first + CHUNK < n->elements ? first + CHUNK : n->elements;
  const m16 lanes = lanes_filled(block_filled(n->micro->batch->valid[shard], within));
  const v16 std = v16_set1(n->std);
  philox_lanes random;
  v16 z[4];
  for (int64_t e = first; e < end; e++) {
    if (e % 4 == 0) {
      philox_draw(&random, n->key, (uint64_t)n->run->step->samples_seen, n->layer, place, (uint32_t)(e / 4));
      normal_pair(random.word[0], random.word[1], z);
      normal_pair(random.word[2], random.word[3], z + 2);
    }
    const int64_t i = (block * n->elements + e) * 16;
    v16_store(n->y + i, v16_select(lanes, v16_add(v16_load(n->x + i), v16_mul(std, z[e % 4])), v16_zero()));
  }
}

dt_status DT_SIMD(dt_cpu_noise)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  noise n = {.run = run,
             .micro = micro,
             .x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
             .y = dt_cpu_arg(run, instr, micro, DT_ARG_Y),
             .elements = arg_count(run, instr, DT_ARG_Y),
             .key = dt_rng_key(run->seed, DT_RNG_NOISE),
             .layer = (uint32_t)instr->noise.layer,
             .std = (float)instr->noise.std,
             .shard_blocks = dt_cpu_shard_blocks(run->program)};
  n.chunks = (int)((n.elements + CHUNK - 1) / CHUNK);
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro) * n.chunks, noise_task, &n);
  return DT_OK;
}
