/* Randomness without state: every random number is a pure function of (seed, purpose, epoch or step, element).
 *
 * Philox-4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011). Nothing is saved in a checkpoint
 * and no thread, rank or order of evaluation can change a number. */
#ifndef DT_CORE_RNG_H
#define DT_CORE_RNG_H

#include <stdint.h>

/* What a number is for; part of the key, so that two uses never share a stream. */
typedef enum dt_rng_purpose {
  DT_RNG_INIT = 1,  /* a = low 48 bits of XXH3-64 of the tensor's name, b = element / 4 */
  DT_RNG_SHUFFLE,   /* a = epoch, b = half of a position, c = round of the Feistel network: see dt_permute */
  DT_RNG_AUGMENT,   /* a = epoch, b = sample index in the data set, c = block << 8 | place in the list of augmentations */
  DT_RNG_DROPOUT,   /* a = samples seen, b = (dropout layer << 32 | sample's place in the global batch), c = element / 4 */
  DT_RNG_SYNTHETIC, /* a = sample, b = (what for << 16 | field), c = block of its numbers: see data/synthetic.c */
  DT_RNG_DRAW,      /* a = epoch, b = position: which sample is drawn there by its weight, see dt_sampler_index */
  DT_RNG_CHECK,     /* a = parameter, b = element: directions of dtrain check */
  DT_RNG_MIX,       /* a = epoch, b = position, c = block: see data/mix.c */
  DT_RNG_LABELS,    /* a = 0, b = sample: whether its label is changed, see data/label_noise.c */
  DT_RNG_NOISE,     /* as DROPOUT, of noise layers */
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
 * power of four with cycle walking. No list is kept. count is at least 1 and at most 2^62.
 *
 * On all of its 4^k values, k > 1, the network makes even permutations only: a round is an exchange of the halves, (4^k - 2^k)
 * / 2 transpositions, and an xor into one half, 2^(k-1) transpositions for each value of the other half that changes something;
 * both counts are even. Shuffles of 4^k samples are therefore all even, and of somewhat fewer mostly of one sign. That is left
 * so: any count - 2 items go to any count - 2 places by exactly one even and one odd permutation, so that the sign shows in
 * nothing but the order of the last two samples when all others are known. */
uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t count);

#endif
