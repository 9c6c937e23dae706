/* Philox blocks of sixteen samples, side by side so that the compiler can use the lanes; core/rng.h has what they are. */
#ifndef DT_CPU_SIMD_PHILOX_H
#define DT_CPU_SIMD_PHILOX_H

#include "core/rng.h"
#include "cpu/simd/common.h"

typedef struct philox_lanes {
  uint32_t word[4][16];
} philox_lanes;

/* dt_philox with one counter a lane. */
static inline void philox_rounds(philox_lanes *state, uint64_t key) {
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

/* dt_rng(seed, purpose, samples seen, layer << 32 | place, quad) for sixteen samples that follow each other, key being
 * dt_rng_key(seed, purpose). */
static inline void philox_draw(philox_lanes *state, uint64_t key, uint64_t seen, uint32_t layer, int64_t place, uint32_t quad) {
  for (int i = 0; i < 16; i++) {
    state->word[0][i] = quad;
    state->word[1][i] = (uint32_t)(place + i);
    state->word[2][i] = (uint32_t)seen;
    state->word[3][i] = (uint32_t)(seen >> 32) | layer << 16;
  }
  philox_rounds(state, key);
}

#endif
