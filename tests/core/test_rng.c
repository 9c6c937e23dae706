#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "support/unit.h"

/* The known-answer vectors of Philox-4x32-10 that its authors publish with Random123 (kat_vectors). */
static void test_philox_known_answers(void **state) {
  static const struct {
    uint32_t counter[4], key[2], expected[4];
  } vector[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (size_t i = 0; i < sizeof vector / sizeof *vector; i++) {
    const dt_rng_block block = dt_philox(vector[i].counter, vector[i].key);
    assert_memory_equal(block.word, vector[i].expected, sizeof block.word);
  }
}

/* The counter's layout is part of the contract: kernels that draw many blocks rebuild it. */
static void test_counter_layout(void **state) {
  const uint64_t a = 0xA123456789ABu, b = 0xB456789ABCDEu, seed = 0x0123456789ABCDEFu;
  const uint64_t key = dt_rng_key(seed, DT_RNG_DROPOUT);
  const uint32_t key_words[2] = {(uint32_t)key, (uint32_t)(key >> 32)};
  const uint32_t counter[4] = {7, 0x789ABCDE, 0x456789AB, 0xB456A123};
  const dt_rng_block expected = dt_philox(counter, key_words);
  const dt_rng_block got = dt_rng(seed, DT_RNG_DROPOUT, a, b, 7);
  assert_memory_equal(got.word, expected.word, sizeof got.word);
}

static void test_every_argument_counts(void **state) {
  const dt_rng_block blocks[] = {
      dt_rng(1, DT_RNG_INIT, 2, 3, 4),          dt_rng(2, DT_RNG_INIT, 2, 3, 4),          dt_rng(1, DT_RNG_SHUFFLE, 2, 3, 4),
      dt_rng(1, DT_RNG_INIT, 3, 3, 4),          dt_rng(1, DT_RNG_INIT, 2, 4, 4),          dt_rng(1, DT_RNG_INIT, 2, 3, 5),
      dt_rng(1, DT_RNG_INIT, 1ull << 40, 3, 4), dt_rng(1, DT_RNG_INIT, 2, 1ull << 40, 4),
  };
  const size_t count = sizeof blocks / sizeof *blocks;
  for (size_t i = 0; i < count; i++) {
    for (size_t j = 0; j < i; j++) assert_memory_not_equal(blocks[i].word, blocks[j].word, sizeof blocks[i].word);
  }
}

static void test_uniform_ranges(void **state) {
  assert_true(dt_rng_float(0) == 0.0f);
  assert_true(dt_rng_float(UINT32_MAX) < 1.0f);
  assert_true(dt_rng_double(0, 0) > 0.0);
  assert_true(dt_rng_double(UINT32_MAX, UINT32_MAX) == 1.0);
}

static void check_bijection(uint64_t count, uint64_t epoch) {
  bool *seen = calloc(count, sizeof *seen);
  assert_non_null(seen);
  for (uint64_t position = 0; position < count; position++) {
    const uint64_t index = dt_permute(42, epoch, position, count);
    assert_true(index < count);
    assert_false(seen[index]);
    seen[index] = true;
  }
  free(seen);
}

static void test_permute_is_a_bijection(void **state) {
  for (uint64_t count = 1; count <= 300; count++) check_bijection(count, count);
  static const uint64_t large[] = {1023, 1024, 1025, 4096, 4097, 10000, 60000, 65536, 65537};
  for (size_t i = 0; i < sizeof large / sizeof *large; i++) check_bijection(large[i], 3);
}

/* A set too large to tabulate: results stay inside and a run of positions gives no index twice. */
static int compare(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void test_permute_of_a_large_set(void **state) {
  enum { DRAWN = 20000 };
  const uint64_t count = 1ull << 40;
  uint64_t *index = calloc(DRAWN, sizeof *index);
  for (uint64_t i = 0; i < DRAWN; i++) {
    index[i] = dt_permute(9, 1, count - 1 - i, count);
    assert_true(index[i] < count);
  }
  qsort(index, DRAWN, sizeof *index, compare);
  for (size_t i = 1; i < DRAWN; i++) assert_true(index[i] != index[i - 1]);
  free(index);
}

/* Each item is first in about every count-th epoch: chi-squared over 16 places has 15 degrees of freedom; 45 is beyond the
 * 99.99th percentile. Neighbouring epochs and seeds must differ, too. */
static void test_permute_is_uniform(void **state) {
  enum { COUNT = 16, EPOCHS = 16000 };
  for (uint64_t position = 0; position < COUNT; position += 5) {
    double hits[COUNT] = {0}, chi = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) hits[dt_permute(5, epoch, position, COUNT)]++;
    for (int i = 0; i < COUNT; i++) chi += pow(hits[i] - EPOCHS / COUNT, 2) / (EPOCHS / COUNT);
    assert_true(chi < 45);
  }
}

/* Transpositions that the permutation is made of, modulo 2: count less the number of cycles. */
static int sign_of(uint64_t seed, uint64_t epoch, uint64_t count) {
  bool seen[256] = {false};
  uint64_t cycles = 0;
  for (uint64_t i = 0; i < count; i++) {
    cycles += !seen[i];
    for (uint64_t at = i; !seen[at]; at = dt_permute(seed, epoch, at, count)) seen[at] = true;
  }
  return (int)((count - cycles) & 1);
}

/* What rng.h says of 4^k, and why it does not matter: all are even, and yet every three samples come first equally often.
 * Chi-squared over 16 * 15 * 14 triples has 3359 degrees of freedom, a standard deviation of 82. */
static void test_permute_of_a_power_of_four(void **state) {
  enum { COUNT = 16, CELLS = COUNT * COUNT * COUNT, TRIPLES = COUNT * (COUNT - 1) * (COUNT - 2), EPOCHS = 40 * TRIPLES };
  static const uint64_t counts[] = {16, 64, 256};
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    for (uint64_t epoch = 0; epoch < 100; epoch++) assert_int_equal(sign_of(11, epoch, counts[i]), 0);
  }
  static int hits[CELLS];
  for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
    uint64_t cell = 0;
    for (uint64_t position = 0; position < 3; position++) cell = cell * COUNT + dt_permute(3, epoch, position, COUNT);
    hits[cell]++;
  }
  double chi = 0;
  for (int c = 0; c < CELLS; c++) {
    const int a = c / COUNT / COUNT, b = c / COUNT % COUNT, d = c % COUNT;
    if (a == b || b == d || a == d)
      assert_int_equal(hits[c], 0);
    else
      chi += pow(hits[c] - 40, 2) / 40;
  }
  assert_true(chi < TRIPLES - 1 + 5 * 82);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_philox_known_answers),   cmocka_unit_test(test_counter_layout),
      cmocka_unit_test(test_every_argument_counts),  cmocka_unit_test(test_uniform_ranges),
      cmocka_unit_test(test_permute_is_a_bijection), cmocka_unit_test(test_permute_of_a_large_set),
      cmocka_unit_test(test_permute_is_uniform),     cmocka_unit_test(test_permute_of_a_power_of_four),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
