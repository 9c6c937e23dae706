/* Samples in a store: the loader, data.split and the hash against the same samples in memory; errors; what is kept. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "data/sets.h"
#include "support/unit.h"

enum { SAMPLES = 41, SIDE = 5, ELEMENTS = SIDE * SIDE, BATCH = 12, SHARDS = 4, BROKEN = 17 };

/* Its samples are numbers of their own. */
typedef struct made_store {
  dt_store base;
  bool broken;
  bool *destroyed;
  _Atomic int reads;
} made_store;

static void fill_sample(int64_t sample, uint8_t *to) {
  for (int i = 0; i < ELEMENTS; i++) to[i] = (uint8_t)(sample * 37 + i * 11 + 3);
}

static dt_status made_read(const dt_store *store, int64_t sample, void *to) {
  made_store *made = (made_store *)store;
  atomic_fetch_add(&made->reads, 1);
  DT_REQUIRE(!made->broken || sample != BROKEN, DT_DATA, "made/%d: found nonsense, expected an image", BROKEN);
  fill_sample(sample, to);
  return DT_OK;
}

static void made_destroy(dt_store *store) {
  *((made_store *)store)->destroyed = true;
  free(store);
}

static const dt_store_ops made_ops = {.read = made_read, .destroy = made_destroy};

static const dt_fields fields = {
    .field = {{.name = "input", .dtype = DT_U8, .shape = {3, {1, SIDE, SIDE}}}, {.name = "label", .dtype = DT_I32}},
    .count = 2};

static dt_dataset *make_dataset(bool stored, bool broken, bool *destroyed) {
  dt_dataset *set;
  const int64_t total[2] = {stored ? DT_TOTAL_STORED : 0};
  assert_int_equal(dt_dataset_create(&fields, SAMPLES, total, &set), DT_OK);
  set->source = strdup("made");
  for (int i = 0; i < SAMPLES; i++) {
    ((int32_t *)set->data[1].values)[i] = i % 3;
    if (stored) {
      set->data[0].index[i] = SAMPLES - 1 - i;
    } else {
      fill_sample(SAMPLES - 1 - i, (uint8_t *)set->data[0].values + i * ELEMENTS);
    }
  }
  if (stored) {
    made_store *made = calloc(1, sizeof *made);
    *made = (made_store){.base = {.ops = &made_ops, .users = 1, .count = SAMPLES, .bytes = ELEMENTS, .hash = 5},
                         .broken = broken,
                         .destroyed = destroyed};
    set->data[0].store = &made->base;
  }
  assert_int_equal(dt_dataset_hash(set), DT_OK);
  return set;
}

static made_store *store_of(const dt_dataset *set) {
  return (made_store *)set->data[0].store;
}

static dt_loader *open_loader(const dt_dataset *set, const dt_tree *tree, const dt_sampler *sampler, int64_t end, int threads) {
  static const dt_choices none;
  static const dt_program program = {.field = fields.field, .field_count = 2, .field_use = {DT_FIELD_LOADED, DT_FIELD_READ}};
  dt_loader *loader;
  assert_int_equal(dt_loader_create(set, &program, &none, NULL, sampler, tree, 0, end, 3, threads, &loader), DT_OK);
  return loader;
}

static const void *values_of(const dt_batch *batch, int f) {
  return batch->field[f].part[DT_PART_VALUES];
}

/* Batch by batch what the samples in memory give, for two epochs. */
static void test_loader_reads(void **state) {
  bool destroyed = false;
  dt_dataset *memory = make_dataset(false, false, NULL), *stored = make_dataset(true, false, &destroyed);
  const dt_sampler sampler = {.dataset_count = SAMPLES, .global_batch = BATCH, .seed = 3, .shuffle = true};
  for (int keep = 0; keep < 2; keep++) {
    dt_tree *tree;
    assert_int_equal(dt_tree_create(SHARDS, 1, 0, 0, &tree), DT_OK);
    dt_loader *a = open_loader(memory, tree, &sampler, 2 * SAMPLES, 1),
              *b = open_loader(stored, tree, &sampler, 2 * SAMPLES, 3);
    const dt_batch *x, *y;
    for (int64_t seen = 0; seen < 2 * SAMPLES; seen += x->samples) {
      assert_int_equal(dt_loader_next(a, &x), DT_OK);
      assert_int_equal(dt_loader_next(b, &y), DT_OK);
      assert_int_equal(x->samples, y->samples);
      assert_memory_equal(values_of(x, 0), values_of(y, 0), BATCH * ELEMENTS);
      assert_memory_equal(values_of(x, 1), values_of(y, 1), BATCH * sizeof(int32_t));
    }
    dt_loader_destroy(&a);
    dt_loader_destroy(&b);
    dt_tree_destroy(&tree);
    assert_int_equal(store_of(stored)->reads, keep ? SAMPLES : 2 * SAMPLES);
    store_of(stored)->reads = 0;
    dt_store_keep(stored->data[0].store);
  }
  dt_dataset_destroy(&memory);
  dt_dataset_destroy(&stored);
  assert_true(destroyed);
}

/* Of the micro-batch that has it, the caller gets the error in its own thread; those before it are whole. */
static void test_errors_reach_the_caller(void **state) {
  bool destroyed = false;
  dt_dataset *set = make_dataset(true, true, &destroyed);
  const dt_sampler sampler = {.dataset_count = SAMPLES, .global_batch = BATCH};
  const dt_batch *batch;
  dt_tree *tree;
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 0, &tree), DT_OK);
  dt_loader *loader = open_loader(set, tree, &sampler, SAMPLES, 2);
  const int64_t at = SAMPLES - 1 - BROKEN;
  for (int64_t seen = 0; seen + BATCH <= at; seen += BATCH) assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
  dt_error_clear();
  assert_int_equal(dt_loader_next(loader, &batch), DT_DATA);
  assert_string_equal(dt_error_text(), "made/17: found nonsense, expected an image");
  dt_error_clear();
  dt_loader_destroy(&loader);
  dt_tree_destroy(&tree);
  dt_dataset_destroy(&set);
}

/* Both parts have the samples that they would have in memory, and the store lives as long as one of them. */
static void test_split(void **state) {
  bool destroyed = false;
  dt_dataset *memory = make_dataset(false, false, NULL), *stored = make_dataset(true, false, &destroyed), *a, *b;
  assert_int_equal(dt_dataset_split(memory, 0.25, 9, 1, &a), DT_OK);
  assert_int_equal(dt_dataset_split(stored, 0.25, 9, 1, &b), DT_OK);
  dt_dataset *const pairs[2][2] = {{memory, stored}, {a, b}};
  for (int p = 0; p < 2; p++) {
    const dt_dataset *x = pairs[p][0], *y = pairs[p][1];
    assert_int_equal(x->count, y->count);
    assert_memory_equal(x->data[1].values, y->data[1].values, (size_t)x->count * sizeof(int32_t));
    for (int64_t i = 0; i < x->count; i++) {
      uint8_t one[ELEMENTS], other[ELEMENTS];
      assert_int_equal(dt_dataset_read(x, 0, i, ELEMENTS, one), DT_OK);
      assert_int_equal(dt_dataset_read(y, 0, i, ELEMENTS, other), DT_OK);
      assert_memory_equal(one, other, ELEMENTS);
    }
  }
  assert_true(stored->hash != b->hash);
  dt_dataset_destroy(&stored);
  assert_false(destroyed);
  dt_dataset_destroy(&b);
  assert_true(destroyed);
  dt_dataset_destroy(&memory);
  dt_dataset_destroy(&a);
}

/* The hash knows which samples there are, where they come from and, once they were read, what they hold. */
static void test_hash_and_bytes(void **state) {
  bool destroyed = false;
  dt_dataset *set = make_dataset(true, false, &destroyed);
  const uint64_t first = set->hash;
  set->data[0].index[0] = 7;
  assert_int_equal(dt_dataset_hash(set), DT_OK);
  const uint64_t second = set->hash;
  set->data[0].store->hash = 6;
  assert_int_equal(dt_dataset_hash(set), DT_OK);
  const uint64_t third = set->hash;
  set->contents = 1;
  assert_int_equal(dt_dataset_hash(set), DT_OK);
  assert_true(first != second && second != third && third != set->hash && first != third);
  dt_data_info info;
  dt_dataset_info(set, &info);
  assert_int_equal(dt_dataset_bytes(&info), SAMPLES * (sizeof(int64_t) + sizeof(int32_t)));
  dt_dataset_destroy(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_loader_reads),
      cmocka_unit_test(test_errors_reach_the_caller),
      cmocka_unit_test(test_split),
      cmocka_unit_test(test_hash_and_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
