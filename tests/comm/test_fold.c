/* The ordered sum of a slice against the definition of the tree (dt_tree_sum), element by element and bit for bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm/comm.h"

enum { SHARDS = 40, MOST = 3001 };

static double rough(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return ((double)(*seed >> 8) / (1 << 23) - 1.0) * (double)(1 << (*seed & 15));
}

/* One root per shard: the fold is the whole tree. in_place: the sum goes where the first source stands. */
#define DEFINE_FOLD_CASE(name, type, sum, tree_sum)                                                       \
  static void name(int shards, int count, bool in_place) {                                                \
    dt_tree *tree = NULL;                                                                                 \
    assert_int_equal(dt_tree_create(shards, shards, 0, 0, &tree), DT_OK);                                 \
    assert_int_equal(tree->root_count_all, shards);                                                       \
    uint32_t seed = (uint32_t)(shards * 1000 + count);                                                    \
    type *memory = calloc((size_t)shards * MOST, sizeof(type)), *expected = calloc(MOST, sizeof(type));   \
    type *own = calloc(MOST, sizeof(type)), *source[SHARDS], value[SHARDS];                               \
    for (int s = 0; s < shards; s++) {                                                                    \
      source[s] = memory + (size_t)s * MOST;                                                              \
      for (int i = 0; i < count; i++) source[s][i] = (type)(rough(&seed) / 3);                            \
    }                                                                                                     \
    for (int i = 0; i < count; i++) {                                                                     \
      for (int s = 0; s < shards; s++) value[s] = source[s][i];                                           \
      expected[i] = tree_sum(value, shards);                                                              \
    }                                                                                                     \
    type *copy = calloc((size_t)shards * MOST, sizeof(type)), *out = in_place ? source[0] : own;          \
    memcpy(copy, memory, (size_t)shards *MOST * sizeof(type));                                            \
    sum(tree->fold, tree->fold_count, source, shards, count, out);                                        \
    assert_memory_equal(out, expected, (size_t)count * sizeof(type));                                     \
    if (in_place) memcpy(memory, copy, (size_t)count * sizeof(type));                                     \
    assert_memory_equal(memory, copy, (size_t)shards *MOST * sizeof(type)); /* nothing else is written */ \
    free(copy), free(own), free(expected), free(memory);                                                  \
    dt_tree_destroy(&tree);                                                                               \
  }

DEFINE_FOLD_CASE(fold_case_f32, float, dt_fold_f32, dt_tree_sum_f32)
DEFINE_FOLD_CASE(fold_case_f64, double, dt_fold_f64, dt_tree_sum_f64)

static void test_every_count_of_sources(void **state) {
  for (int shards = 1; shards <= SHARDS; shards++) {
    for (int in_place = 0; in_place < 2; in_place++) {
      fold_case_f32(shards, 37, in_place);
      fold_case_f64(shards, 37, in_place);
    }
  }
}

/* Around the blocks of 4096 bytes and the widths of vectors. */
static void test_every_length(void **state) {
  static const int counts[] = {0, 1, 2, 15, 16, 17, 511, 512, 513, 1023, 1024, 1025, 2048, 3001};
  for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
    for (int shards = 1; shards <= 9; shards += 2) {
      fold_case_f32(shards, counts[i], shards % 4 == 1);
      fold_case_f64(shards, counts[i], shards % 4 == 3);
    }
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_count_of_sources),
      cmocka_unit_test(test_every_length),
  };
  return cmocka_run_group_tests_name("comm.fold", tests, NULL, NULL);
}
