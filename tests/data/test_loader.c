/* The loader against a batch put together by hand from the sampler's and the tree's definitions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/unit.h"

enum { SAMPLES = 53, SIDE = 6, ELEMENTS = SIDE * SIDE, BATCH = 12, SHARDS = 5, SLOTS = 3, END = 2 * SAMPLES };

typedef struct fixture {
  dt_dataset bytes, floats;
  dt_choice item[2];
  dt_choices augment, none;
  dt_sampler sampler;
} fixture;

static int make_fixture(void **state) {
  fixture *f = calloc(1, sizeof *f);
  f->bytes = (dt_dataset){.count = SAMPLES, .shape = {3, {1, SIDE, SIDE}}, .dtype = DT_U8, .classes = 10};
  f->bytes.pixels = malloc(SAMPLES * ELEMENTS);
  f->bytes.labels = malloc(SAMPLES * sizeof(int32_t));
  for (int i = 0; i < SAMPLES * ELEMENTS; i++) f->bytes.pixels[i] = (uint8_t)(1 + i * 31 % 255);
  for (int i = 0; i < SAMPLES; i++) f->bytes.labels[i] = 1 + i % 9;
  f->floats = (dt_dataset){.count = SAMPLES, .shape = {1, {ELEMENTS}}, .dtype = DT_F32, .labels = f->bytes.labels};
  f->floats.values = malloc(SAMPLES * ELEMENTS * sizeof(float));
  for (int i = 0; i < SAMPLES * ELEMENTS; i++) f->floats.values[i] = (float)i + 0.5f;
  f->item[0] = dt_test_choice(dt_augment_kinds, "shift");
  f->item[1] = dt_test_choice(dt_augment_kinds, "flip");
  *(int64_t *)dt_test_choice_value(&f->item[0], "max") = 2;
  f->augment = (dt_choices){f->item, 2};
  f->sampler = (dt_sampler){.dataset_count = SAMPLES, .global_batch = BATCH, .seed = 11, .shuffle = true};
  *state = f;
  return 0;
}

static int destroy_fixture(void **state) {
  fixture *f = *state;
  dt_test_choice_destroy(&f->item[0]);
  free(f->floats.values);
  free(f->bytes.labels);
  free(f->bytes.pixels);
  free(f);
  return 0;
}

/* The augmented pixels of one sample, by the definition. */
static void expected_pixels(const fixture *f, const dt_choices *augment, int64_t epoch, int64_t index, uint8_t *out) {
  uint8_t scratch[ELEMENTS];
  memcpy(out, f->bytes.pixels + index * ELEMENTS, ELEMENTS);
  for (int i = 0; i < augment->count; i++) {
    const dt_augment *functions = augment->item[i].kind->impl;
    const dt_rng_block random = dt_rng(f->sampler.seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)index, (uint32_t)i);
    dt_move_apply(functions->draw(augment->item[i].attr, random), &f->bytes.shape, out, scratch);
  }
}

/* One shard of a pass, place by place; empty places hold zeros. */
static void check_shard(const fixture *f, const dt_choices *augment, const dt_step_plan *plan, int shard, int s,
                        const dt_batch *batch) {
  int64_t first;
  const int64_t count = dt_shard_samples(plan->count, SHARDS, shard, &first);
  assert_int_equal(batch->filled[s], count);
  assert_int_equal(batch->place[s], first);
  for (int64_t i = 0; i < SLOTS; i++) {
    uint8_t expected[ELEMENTS] = {0};
    int32_t label = 0;
    if (i < count) {
      const int64_t index = dt_sampler_index(&f->sampler, plan->epoch, plan->first + first + i);
      expected_pixels(f, augment, plan->epoch, index, expected);
      label = f->bytes.labels[index];
    }
    assert_memory_equal(batch->pixels + (s * SLOTS + i) * ELEMENTS, expected, ELEMENTS);
    assert_int_equal(batch->labels[s * SLOTS + i], label);
  }
}

/* Every pass of one rank from samples_seen to the end, then nothing more. Samples counted are added to *total. */
static void check_rank(const fixture *f, const dt_choices *augment, int size, int rank, int pass_limit, int64_t samples_seen,
                       int prefetch, int threads, int64_t *total) {
  dt_tree *tree;
  dt_loader *loader;
  const dt_batch *batch;
  assert_int_equal(dt_tree_create(SHARDS, size, rank, pass_limit, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&f->bytes, augment, &f->sampler, tree, samples_seen, END, prefetch, threads, &loader),
                   DT_OK);
  while (samples_seen < END) {
    const dt_step_plan plan = dt_sampler_plan(&f->sampler, samples_seen);
    for (int p = 0; p < tree->pass_count; p++) {
      const dt_pass_plan *pass = &tree->passes[p];
      assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
      assert_null(batch->values);
      int64_t samples = 0;
      for (int s = 0; s < pass->shard_count; s++) {
        check_shard(f, augment, &plan, pass->first_shard + s, s, batch);
        samples += batch->filled[s];
      }
      assert_int_equal(batch->samples, samples);
      *total += samples;
    }
    samples_seen += plan.count;
  }
  dt_error_clear();
  assert_int_equal(dt_loader_next(loader, &batch), DT_INTERNAL);
  dt_loader_destroy(&loader);
  assert_null(loader);
  dt_tree_destroy(&tree);
}

/* Ranks together see each sample once, whatever their number, their passes and their threads. */
static void test_any_ranks_and_threads(void **state) {
  const fixture *f = *state;
  static const int threads[] = {1, 3}, prefetches[] = {1, 2, 7};
  for (int size = 1; size <= 7; size++) {
    for (int t = 0; t < 2; t++) {
      for (int p = 0; p < 3; p++) {
        int64_t total = 0;
        for (int rank = 0; rank < size; rank++) {
          check_rank(f, t == 0 ? &f->augment : &f->none, size, rank, p, 0, prefetches[p], threads[t], &total);
        }
        assert_int_equal(total, END);
      }
    }
  }
}

static void test_resume_in_mid_epoch(void **state) {
  const fixture *f = *state;
  for (int64_t samples_seen = 0; samples_seen < SAMPLES; samples_seen += BATCH) {
    int64_t total = 0;
    for (int rank = 0; rank < 2; rank++) check_rank(f, &f->augment, 2, rank, 0, samples_seen, 3, 2, &total);
    assert_int_equal(total, END - samples_seen);
  }
}

/* Where a device holds the data set, the batch says which samples and how they are moved: made so, they are the pixels that the
 * loader would have handed over. */
static void test_held(void **state) {
  const fixture *f = *state;
  dt_dataset held = f->bytes;
  dt_tree *tree;
  dt_loader *plain, *loader;
  held.held = &held;
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 1, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&f->bytes, &f->augment, &f->sampler, tree, 0, END, 2, 1, &plain), DT_OK);
  assert_int_equal(dt_loader_create(&held, &f->augment, &f->sampler, tree, 0, END, 2, 1, &loader), DT_OK);
  for (int pass = 0; pass < 9 * SHARDS; pass++) {
    const dt_batch *expected, *batch;
    assert_int_equal(dt_loader_next(plain, &expected), DT_OK);
    assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
    assert_null(batch->pixels);
    assert_ptr_equal(batch->held, &held);
    assert_int_equal(batch->moves, 2);
    assert_int_equal(batch->samples, expected->samples);
    for (int i = 0; i < SLOTS; i++) {
      uint8_t sample[ELEMENTS] = {0}, scratch[ELEMENTS];
      if (batch->index[i] >= 0) memcpy(sample, f->bytes.pixels + batch->index[i] * ELEMENTS, ELEMENTS);
      for (int m = 0; m < 2 && batch->index[i] >= 0; m++) {
        dt_move_apply(batch->move[i * 2 + m], &f->bytes.shape, sample, scratch);
      }
      assert_true((batch->index[i] >= 0) == (i < batch->filled[0]));
      assert_memory_equal(sample, expected->pixels + i * ELEMENTS, ELEMENTS);
      assert_int_equal(batch->labels[i], expected->labels[i]);
    }
  }
  dt_loader_destroy(&loader);
  dt_loader_destroy(&plain);
  dt_tree_destroy(&tree);
}

static void test_floats(void **state) {
  const fixture *f = *state;
  dt_tree *tree;
  dt_loader *loader;
  const dt_batch *batch;
  assert_int_equal(dt_tree_create(1, 1, 0, 0, &tree), DT_OK);
  dt_error_clear();
  assert_int_equal(dt_loader_create(&f->floats, &f->augment, &f->sampler, tree, 0, END, 1, 1, &loader), DT_USAGE);
  assert_int_equal(dt_loader_create(&f->floats, &f->none, &f->sampler, tree, 48, END, 1, 1, &loader), DT_OK);
  assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
  assert_null(batch->pixels);
  assert_int_equal(batch->samples, SAMPLES - 48);
  for (int64_t i = 0; i < BATCH; i++) {
    const float *expected = f->floats.values + dt_sampler_index(&f->sampler, 0, (48 + i) % SAMPLES) * ELEMENTS;
    const float zeros[ELEMENTS] = {0};
    assert_memory_equal(batch->values + i * ELEMENTS, i < SAMPLES - 48 ? expected : zeros, sizeof zeros);
  }
  dt_loader_destroy(&loader);
  dt_tree_destroy(&tree);
}

static void test_nothing_left_by_dropping(void **state) {
  const fixture *f = *state;
  dt_sampler sampler = f->sampler;
  sampler.global_batch = SAMPLES + 1;
  sampler.last_batch = DT_LAST_DROP;
  dt_tree *tree;
  dt_loader *loader = NULL;
  assert_int_equal(dt_tree_create(1, 1, 0, 0, &tree), DT_OK);
  dt_error_clear();
  assert_int_equal(dt_loader_create(&f->bytes, &f->none, &sampler, tree, 0, END, 1, 1, &loader), DT_USAGE);
  assert_non_null(strstr(dt_error_text(), "found 53 samples, expected train.global_batch (54) or more"));
  assert_null(loader);
  dt_tree_destroy(&tree);
}

/* Destroyed while workers fill, wait, or have just begun. */
static void test_destroyed_at_any_time(void **state) {
  const fixture *f = *state;
  dt_tree *tree;
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 1, &tree), DT_OK);
  for (int taken = 0; taken < 40; taken++) {
    dt_loader *loader;
    const dt_batch *batch;
    assert_int_equal(dt_loader_create(&f->bytes, &f->augment, &f->sampler, tree, 0, END, 1 + taken % 5, 3, &loader), DT_OK);
    for (int i = 0; i < taken; i++) assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
    dt_loader_destroy(&loader);
  }
  dt_loader *none = NULL;
  dt_loader_destroy(&none);
  dt_tree_destroy(&tree);
}

/* Workers with nothing to do use no processor time. */
static void test_waiting_workers_sleep(void **state) {
  const fixture *f = *state;
  dt_tree *tree;
  dt_loader *loader;
  const dt_batch *batch;
  const struct timespec pause = {.tv_nsec = 100000000};
  struct timespec before, after;
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 0, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&f->bytes, &f->augment, &f->sampler, tree, 0, 1000000, 2, 2, &loader), DT_OK);
  assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
  nanosleep(&pause, NULL);
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
  assert_true((double)(after.tv_sec - before.tv_sec) + 1e-9 * (double)(after.tv_nsec - before.tv_nsec) < 0.02);
  dt_loader_destroy(&loader);
  dt_tree_destroy(&tree);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_any_ranks_and_threads),
      cmocka_unit_test(test_resume_in_mid_epoch),
      cmocka_unit_test(test_held),
      cmocka_unit_test(test_floats),
      cmocka_unit_test(test_nothing_left_by_dropping),
      cmocka_unit_test(test_destroyed_at_any_time),
      cmocka_unit_test(test_waiting_workers_sleep),
  };
  return cmocka_run_group_tests(tests, make_fixture, destroy_fixture);
}
