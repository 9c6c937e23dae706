/* Randomness without state: every random number is a pure function of (seed, purpose, epoch or step, element).
 *
 * Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Nothing is saved in a checkpoint
 * and no thread, rank or order of evaluation can change a number. */
#ifndef DT_CORE_RNG_H
#define DT_CORE_RNG_H

#include <stdint.h>

/* What a number is for; part of the key, so that two uses never share a stream. */
typedef enum dt_rng_purpose {
  DT_RNG_INIT = 1,  /* a = parameter index, b = element / 4 */
  DT_RNG_SHUFFLE,   /* a = epoch, b = half of a position, c = round of the Feistel network: see dt_permute */
  DT_RNG_AUGMENT,   /* a = epoch, b = sample index in the data set, c = place in the list of augmentations */
  DT_RNG_DROPOUT,   /* a = samples seen, b = (dropout layer << 32 | sample's place in the global batch), c = element / 4 */
  DT_RNG_SYNTHETIC, /* a = sample, b = 0: its bytes, c = byte / 16; b = 1: its label */
} dt_rng_purpose;

typedef struct dt_rng_block {
  uint32_t word[4];
} dt_rng_block;

/* One Philox-4x32-10 block: counter 4 words, key 2 words. */
dt_rng_block dt_philox(const uint32_t counter[4], const uint32_t key[2]);

/* The Philox key of a seed and a purpose, low word first: mix(seed + purpose * 0x9E3779B97F4A7C15), mix being the finaliser of
 * SplitMix64. A kernel that draws many blocks computes it once. */
uint64_t dt_rng_key(uint64_t seed, dt_rng_purpose purpose);

/* The block for (seed, purpose, a, b, c); a and b are below 2^48. The counter is, low word first,
 *   { c, b[31:0], a[31:0], b[47:32] << 16 | a[47:32] }
 * so that under one seed every distinct (purpose, a, b, c) has a block of its own. */
dt_rng_block dt_rng(uint64_t seed, dt_rng_purpose purpose, uint64_t a, uint64_t b, uint32_t c);

/* Uniform in [0, 1): 24 bits for float, so that every value is exact. */
static inline float dt_rng_float(uint32_t word) {
  return (float)(word >> 8) * 0x1p-24f;
}
/* Uniform in (0, 1] from 53 bits. */
static inline double dt_rng_double(uint32_t high, uint32_t low) {
  return ((double)(((uint64_t)high << 21) ^ (low >> 11)) + 1.0) * 0x1p-53;
}

/* The permutation of [0, count) keyed by (seed, epoch), evaluated at one position < count: a Feistel network over the next
 * power of four with cycle walking. No list is kept. count is at least 1 and at most 2^62. */
uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t count);

#endif
