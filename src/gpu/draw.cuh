/* Random numbers of an element of a sample, by its place in the global batch. */
#ifndef DT_GPU_DRAW_CUH
#define DT_GPU_DRAW_CUH

#include "gpu/kernel.cuh"

extern "C" {
#include "core/rng.h"
}

/* What a layer's numbers are drawn by. */
struct dt_drawer {
  const dt_step *step;
  dt_gpu_shards shards;
  const int64_t *position;
  uint32_t key[2], layer;
};

static inline dt_drawer dt_drawer_of(const dt_run *run, const dt_micro_batch *micro, dt_rng_purpose purpose, int64_t layer) {
  const dt_gpu_input input = dt_gpu_input_of(run, micro);
  const uint64_t key = dt_rng_key(run->seed, purpose);
  return {input.step, input.shards, input.position, {(uint32_t)key, (uint32_t)(key >> 32)}, (uint32_t)layer};
}

/* Place of a sample in the global batch. */
static inline __device__ int64_t dt_place_of(const dt_drawer &by, int64_t sample) {
  const int64_t shard = dt_quotient(sample, by.shards.capacity);
  return by.position[shard] + sample - shard * by.shards.capacity;
}

/* dt_rng(seed, purpose, samples_seen, layer << 32 | place, quad), as core/rng.c computes it. */
static inline __device__ dt_rng_block dt_draw(const dt_drawer &by, int64_t sample, uint32_t quad) {
  const uint64_t seen = (uint64_t)by.step->samples_seen;
  uint32_t k0 = by.key[0], k1 = by.key[1];
  uint32_t x0 = quad, x1 = (uint32_t)dt_place_of(by, sample), x2 = (uint32_t)seen, x3 = (uint32_t)(seen >> 32) | by.layer << 16;
  for (int round = 0; round < 10; round++, k0 += 0x9E3779B9u, k1 += 0xBB67AE85u) {
    const uint64_t a = (uint64_t)0xD2511F53u * x0, b = (uint64_t)0xCD9E8D57u * x2;
    x0 = (uint32_t)(b >> 32) ^ x1 ^ k0;
    x1 = (uint32_t)b;
    x2 = (uint32_t)(a >> 32) ^ x3 ^ k1;
    x3 = (uint32_t)a;
  }
  return {{x0, x1, x2, x3}};
}

#endif
