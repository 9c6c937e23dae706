#include "core/rng.h"

#include "core/status.h"

/* Multipliers and key increments of Philox-4x32 (Salmon et al., table 2). */
enum { ROUNDS = 10 };
static const uint32_t MULTIPLIER[2] = {0xD2511F53u, 0xCD9E8D57u};
static const uint32_t WEYL[2] = {0x9E3779B9u, 0xBB67AE85u};

dt_rng_block dt_philox(const uint32_t counter[4], const uint32_t key[2]) {
  uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3];
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < ROUNDS; round++) {
    const uint64_t p0 = (uint64_t)MULTIPLIER[0] * x0;
    const uint64_t p1 = (uint64_t)MULTIPLIER[1] * x2;
    x0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0;
    x2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
    x1 = (uint32_t)p1;
    x3 = (uint32_t)p0;
    k0 += WEYL[0];
    k1 += WEYL[1];
  }
  return (dt_rng_block){{x0, x1, x2, x3}};
}

/* The finaliser of SplitMix64 (Steele, Lea, Flood, OOPSLA 2014): a bijection that spreads every bit of a small seed. */
static uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

uint64_t dt_rng_key(uint64_t seed, dt_rng_purpose purpose) {
  return mix(seed + (uint64_t)purpose * 0x9E3779B97F4A7C15u);
}

dt_rng_block dt_rng(uint64_t seed, dt_rng_purpose purpose, uint64_t a, uint64_t b, uint32_t c) {
  DT_ASSERT(a >> 48 == 0 && b >> 48 == 0);
  const uint64_t key = dt_rng_key(seed, purpose);
  const uint32_t key_words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
  const uint32_t counter[4] = {c, (uint32_t)b, (uint32_t)a, (uint32_t)(a >> 32) | (uint32_t)(b >> 32) << 16};
  return dt_philox(counter, key_words);
}

/* Rounds of the Feistel network. Four make it indistinguishable from a random permutation of a large set (Luby and Rackoff,
 * 1988); small sets need more, and a sample is drawn far more seldom than it is computed with. */
enum { FEISTEL_ROUNDS = 8 };

/* One walk through the network over 2 * half_bits bits. */
static uint64_t feistel(uint64_t seed, uint64_t epoch, uint64_t value, int half_bits) {
  const uint64_t mask = (1ull << half_bits) - 1;
  uint64_t left = value >> half_bits, right = value & mask;
  for (uint32_t round = 0; round < FEISTEL_ROUNDS; round++) {
    const uint64_t swapped = left ^ (dt_rng(seed, DT_RNG_SHUFFLE, epoch, right, round).word[0] & mask);
    left = right;
    right = swapped;
  }
  return left << half_bits | right;
}

uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t position, uint64_t count) {
  DT_ASSERT(position < count && count <= 1ull << 62);
  int half_bits = 1;
  while (1ull << (2 * half_bits) < count) half_bits++;
  /* The network permutes a power of four. Following it until it comes back below count permutes [0, count), since a cycle that
   * enters the range leaves it and returns to it exactly once for each of its members. */
  uint64_t value = position;
  do {
    value = feistel(seed, epoch, value, half_bits);
  } while (value >= count);
  return value;
}
