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
  DT_RNG_SHUFFLE,   /* a = epoch, b = position */
  DT_RNG_AUGMENT,   /* a = epoch, b = sample index in the data set */
  DT_RNG_DROPOUT,   /* a = samples seen, b = (dropout layer << 32 | sample's place in the global batch), c = element / 4 */
} dt_rng_purpose;

typedef struct dt_rng_block {
  uint32_t word[4];
} dt_rng_block;

/* One Philox-4x32-10 block: counter 4 words, key 2 words. */
dt_rng_block dt_philox(const uint32_t counter[4], const uint32_t key[2]);

/* The block for (seed, purpose, a, b, c). The key is the seed mixed with the purpose; the counter is
 * (a, a's high word xor c's use documented in rng.c); every distinct (purpose, a, b, c) has its own block. */
dt_rng_block dt_rng(uint64_t seed, dt_rng_purpose purpose, uint64_t a, uint64_t b, uint32_t c);

/* Uniform in [0, 1): 24 bits for float, so that every value is exact. */
static inline float dt_rng_float(uint32_t word) {
  return (float)(word >> 8) * 0x1p-24f;
}
/* Uniform in (0, 1] from 53 bits. */
static inline double dt_rng_double(uint32_t high, uint32_t low) {
  return ((double)(((uint64_t)high << 21) ^ (low >> 11)) + 1.0) * 0x1p-53;
}

/* The permutation of [0, count) keyed by (seed, epoch), evaluated at one position: a Feistel network over the next even
 * power of two with cycle walking. No list is kept. */
uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t count);

#endif
