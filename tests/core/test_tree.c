/* The oracle is the definition read literally: the binary counter's fold over all shards on one rank, written here with
 * expressions instead of numbers. However ranks and micro-batches share the work out, the expression must come out letter by
 * letter.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/tree.h"

enum { SHARDS = 40, RANKS = 9, TEXT = 512 };

typedef struct expression {
  char text[TEXT];
} expression;

static expression leaf(int shard) {
  expression e;
  snprintf(e.text, TEXT, "%d", shard);
  return e;
}

static expression sum(const expression *older, const expression *younger) {
  expression e;
  assert_true((size_t)snprintf(e.text, TEXT, "(%s+%s)", older->text, younger->text) < TEXT);
  return e;
}

static expression serial_fold(int first, int shards) {
  expression stack[SHARDS];
  int leaves[SHARDS], depth = 0;
  for (int s = 0; s < shards; s++) {
    stack[depth] = leaf(first + s);
    leaves[depth++] = 1;
    while (depth >= 2 && leaves[depth - 2] == leaves[depth - 1]) {
      stack[depth - 2] = sum(&stack[depth - 2], &stack[depth - 1]);
      leaves[depth - 2] += leaves[depth - 1];
      depth--;
    }
  }
  for (; depth >= 2; depth--) stack[depth - 2] = sum(&stack[depth - 2], &stack[depth - 1]);
  return stack[0];
}

/* Runs one rank's micro-batches and merges, and puts its roots where the fold expects them. */
static void run_rank(const dt_tree *tree, expression *roots) {
  expression node[SHARDS];
  bool full[SHARDS] = {false};
  int next = tree->first_shard;
  assert_true(tree->partials >= 1 && tree->partials <= tree->partials_max && tree->partials_max <= SHARDS);
  for (int p = 0; p < tree->micro_batch_count; p++) {
    const dt_micro_batch_plan *micro = &tree->micro_batches[p];
    assert_int_equal(micro->first_shard, next);
    assert_true(micro->shard_count >= 1 && micro->shard_count <= tree->micro_batch_shards);
    assert_int_equal(micro->shard_count & (micro->shard_count - 1), 0);
    assert_int_equal(micro->first_shard % micro->shard_count, 0);
    assert_true(micro->partial < tree->partials);
    assert_false(full[micro->partial]);
    node[micro->partial] = serial_fold(micro->first_shard, micro->shard_count);
    full[micro->partial] = true;
    next += micro->shard_count;
    for (int m = micro->merge_first; m < micro->merge_first + micro->merge_count; m++) {
      dt_merge merge = tree->merges[m];
      assert_true(full[merge.into] && full[merge.from]);
      node[merge.into] = sum(&node[merge.into], &node[merge.from]);
      full[merge.from] = false;
    }
  }
  assert_int_equal(next, tree->first_shard + tree->shard_count);
  for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
    assert_int_equal(tree->roots[i].rank, tree->rank);
    assert_true(full[tree->roots[i].partial]);
    full[tree->roots[i].partial] = false;
    roots[i] = node[tree->roots[i].partial];
  }
  for (int i = 0; i < SHARDS; i++) assert_false(full[i]); /* nothing is left behind */
}

static void check(int shards, int size, int limit) {
  expression roots[SHARDS];
  dt_tree *first = NULL;
  assert_int_equal(dt_tree_create(shards, size, 0, limit, &first), DT_OK);
  int next = 0, root = 0;
  for (int rank = 0; rank < size; rank++) {
    dt_tree *tree = NULL;
    assert_int_equal(dt_tree_create(shards, size, rank, limit, &tree), DT_OK);
    assert_int_equal(tree->first_shard, next);
    assert_int_equal(tree->root_first, root);
    assert_int_equal(tree->partials_max, first->partials_max);
    assert_int_equal(tree->micro_batch_shards, first->micro_batch_shards);
    assert_true(limit == 0 || tree->micro_batch_shards <= limit);
    assert_int_equal(tree->root_count_all, first->root_count_all);
    assert_memory_equal(tree->roots, first->roots, (size_t)first->root_count_all * sizeof *first->roots);
    assert_int_equal(tree->fold_count, tree->root_count_all - 1);
    assert_memory_equal(tree->fold, first->fold, (size_t)first->fold_count * sizeof *first->fold);
    assert_in_range(tree->shard_count, shards / size, (shards + size - 1) / size);
    run_rank(tree, roots);
    next += tree->shard_count;
    root += tree->root_count;
    dt_tree_destroy(&tree);
    assert_null(tree);
  }
  assert_int_equal(next, shards);
  assert_int_equal(root, first->root_count_all);
  for (int i = 0; i < first->fold_count; i++) {
    roots[first->fold[i].into] = sum(&roots[first->fold[i].into], &roots[first->fold[i].from]);
  }
  expression expected = serial_fold(0, shards);
  assert_string_equal(roots[0].text, expected.text);
  dt_tree_destroy(&first);
}

static void test_every_sharing_is_the_serial_tree(void **state) {
  static const int limits[] = {0, 1, 2, 3, 4, 8, 100};
  for (int shards = 1; shards <= SHARDS; shards++) {
    for (int size = 1; size <= RANKS; size++) {
      for (size_t l = 0; l < sizeof limits / sizeof limits[0]; l++) check(shards, size, limits[l]);
    }
  }
}

static void test_one_rank_has_one_root(void **state) {
  for (int shards = 1; shards <= SHARDS; shards++) {
    dt_tree *tree = NULL;
    assert_int_equal(dt_tree_create(shards, 1, 0, 0, &tree), DT_OK);
    assert_int_equal(tree->root_count_all, 1);
    assert_int_equal(tree->roots[0].partial, 0);
    dt_tree_destroy(&tree);
  }
}

/* A power of two of shards on a power of two of ranks: every rank holds one complete subtree, run at once. */
static void test_powers_of_two_are_one_pass(void **state) {
  dt_tree *tree = NULL;
  assert_int_equal(dt_tree_create(32, 4, 2, 0, &tree), DT_OK);
  assert_int_equal(tree->micro_batch_count, 1);
  assert_int_equal(tree->partials_max, 1);
  assert_int_equal(tree->root_count_all, 4);
  dt_tree_destroy(&tree);
}

/* Micro-batches of one shard need a partial sum for each level of the tree, not one for each shard. */
static void test_nodes_grow_with_the_height_only(void **state) {
  dt_tree *tree = NULL;
  assert_int_equal(dt_tree_create(32, 1, 0, 1, &tree), DT_OK);
  assert_int_equal(tree->micro_batch_count, 32);
  assert_int_equal(tree->partials, 6);
  dt_tree_destroy(&tree);
}

static void test_a_rank_without_shards(void **state) {
  dt_tree *tree = NULL;
  assert_int_equal(dt_tree_create(2, 3, 2, 0, &tree), DT_OK);
  assert_int_equal(tree->shard_count, 0);
  assert_int_equal(tree->micro_batch_count, 0);
  assert_int_equal(tree->root_count, 0);
  assert_int_equal(tree->partials, 1);
  dt_tree_destroy(&tree);
}

static void test_bad_arguments_are_refused(void **state) {
  static const int bad[][4] = {{0, 1, 0, 0},  {-1, 1, 0, 0}, {1, 0, 0, 0},      {4, 2, 2, 0},
                               {4, 2, -1, 0}, {4, 2, 0, -1}, {1 << 21, 1, 0, 0}};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    dt_tree *tree = NULL;
    assert_int_not_equal(dt_tree_create(bad[i][0], bad[i][1], bad[i][2], bad[i][3], &tree), DT_OK);
    assert_null(tree);
    assert_string_not_equal(dt_error_text(), "");
    dt_error_clear();
  }
}

static void test_samples_are_dealt_evenly(void **state) {
  for (int64_t count = 0; count <= 70; count++) {
    for (int shards = 1; shards <= 33; shards++) {
      int64_t next = 0, fewest = count;
      for (int s = 0; s < shards; s++) {
        int64_t first = -1, here = dt_shard_samples(count, shards, s, &first);
        if (here > 0 && here < fewest) fewest = here;
        assert_int_equal(first, next);
        assert_in_range(here, count / shards, (count + shards - 1) / shards);
        next += here;
      }
      assert_int_equal(next, count);
      if (count > 0) assert_int_equal(dt_shard_fewest(count, shards), fewest);
    }
  }
}

/* Values at which every association rounds differently. */
static double rough(uint32_t *seed) {
  *seed = *seed * 1664525u + 1013904223u;
  return ((double)(*seed >> 8) / (1 << 23) - 1.0) * (double)(1 << (*seed & 15));
}

#define DEFINE_SUM_TEST(name, type, function)                                    \
  static type name##_serial(const type *value, int count) {                      \
    type stack[SHARDS];                                                          \
    int leaves[SHARDS], depth = 0;                                               \
    for (int s = 0; s < count; s++) {                                            \
      stack[depth] = value[s];                                                   \
      leaves[depth++] = 1;                                                       \
      for (; depth >= 2 && leaves[depth - 2] == leaves[depth - 1]; depth--) {    \
        stack[depth - 2] += stack[depth - 1];                                    \
        leaves[depth - 2] *= 2;                                                  \
      }                                                                          \
    }                                                                            \
    for (; depth >= 2; depth--) stack[depth - 2] += stack[depth - 1];            \
    return depth == 1 ? stack[0] : 0;                                            \
  }                                                                              \
  static void name(void **state) {                                               \
    uint32_t seed = 7;                                                           \
    for (int count = 0; count <= SHARDS; count++) {                              \
      type value[SHARDS] = {0};                                                  \
      for (int i = 0; i < count; i++) value[i] = (type)(rough(&seed) / 3);       \
      type expected = name##_serial(value, count), got = function(value, count); \
      assert_memory_equal(&got, &expected, sizeof got);                          \
    }                                                                            \
  }

DEFINE_SUM_TEST(test_sum_f32, float, dt_tree_sum_f32)
DEFINE_SUM_TEST(test_sum_f64, double, dt_tree_sum_f64)

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_sharing_is_the_serial_tree),
      cmocka_unit_test(test_one_rank_has_one_root),
      cmocka_unit_test(test_powers_of_two_are_one_pass),
      cmocka_unit_test(test_nodes_grow_with_the_height_only),
      cmocka_unit_test(test_a_rank_without_shards),
      cmocka_unit_test(test_bad_arguments_are_refused),
      cmocka_unit_test(test_samples_are_dealt_evenly),
      cmocka_unit_test(test_sum_f32),
      cmocka_unit_test(test_sum_f64),
  };
  return cmocka_run_group_tests_name("core.tree", tests, NULL, NULL);
}
