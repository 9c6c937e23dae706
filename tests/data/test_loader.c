/* The loader against a batch put together by hand from the sampler's and the tree's definitions. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/unit.h"

enum { SAMPLES = 53, SIDE = 6, ELEMENTS = SIDE * SIDE, BATCH = 12, SHARDS = 5, SLOTS = 3, END = 2 * SAMPLES };

typedef struct fixture {
  uint8_t *pixels;
  float *values;
  int32_t *labels;
  dt_dataset bytes, floats;
  dt_program of_bytes, of_floats; /* that read all fields */
  dt_choice item[5];
  dt_choices augment, changes, none; /* changes: of the second item on, moves among them */
  dt_sampler sampler;
  double brightness;
} fixture;

static const uint8_t *pixels_of(const dt_batch *batch) {
  return batch->field[0].part[DT_PART_VALUES];
}

static const int32_t *labels_of(const dt_batch *batch) {
  return batch->field[1].part[DT_PART_VALUES];
}

static const dt_shape image = {3, {1, SIDE, SIDE}};

static dt_dataset make_dataset(dt_field input, void *values, int32_t *labels) {
  dt_dataset set = {.count = SAMPLES,
                    .fields = {{[1] = {.name = "label", .dtype = DT_I32}}, .count = 2},
                    .data = {{.values = values}, {.values = labels}}};
  set.fields.field[0] = input;
  return set;
}

static dt_program make_program(const dt_dataset *set) {
  return (dt_program){.field = set->fields.field,
                      .field_count = set->fields.count,
                      .field_use = {DT_FIELD_LOADED, DT_FIELD_READ},
                      .field_loaded = {true}};
}

static int make_fixture(void **state) {
  fixture *f = calloc(1, sizeof *f);
  f->pixels = malloc(SAMPLES * ELEMENTS);
  f->labels = malloc(SAMPLES * sizeof(int32_t));
  f->values = malloc(SAMPLES * ELEMENTS * sizeof(float));
  for (int i = 0; i < SAMPLES * ELEMENTS; i++) f->pixels[i] = (uint8_t)(1 + i * 31 % 255);
  for (int i = 0; i < SAMPLES; i++) f->labels[i] = 1 + i % 9;
  for (int i = 0; i < SAMPLES * ELEMENTS; i++) f->values[i] = (float)i + 0.5f;
  f->bytes = make_dataset((dt_field){.name = "input", .dtype = DT_U8, .shape = image}, f->pixels, f->labels);
  f->floats = make_dataset((dt_field){.name = "input", .dtype = DT_F32, .shape = {1, {ELEMENTS}}}, f->values, f->labels);
  f->of_bytes = make_program(&f->bytes);
  f->of_floats = make_program(&f->floats);
  f->item[0] = dt_test_choice(dt_augment_kinds, "shift");
  f->item[1] = dt_test_choice(dt_augment_kinds, "flip");
  *(int64_t *)dt_test_choice_value(&f->item[0], "max") = 2;
  *(double *)dt_test_choice_value(&f->item[1], "p") = 0.5;
  f->item[2] = dt_test_choice(dt_augment_kinds, "rotate");
  f->item[3] = dt_test_choice(dt_augment_kinds, "colour");
  f->item[4] = dt_test_choice(dt_augment_kinds, "cutout");
  *(double *)dt_test_choice_value(&f->item[2], "degrees") = 40;
  *(double *)dt_test_choice_value(&f->item[2], "p") = 1;
  *(dt_reals *)dt_test_choice_value(&f->item[3], "brightness") = (dt_reals){&f->brightness, 1};
  *(double *)dt_test_choice_value(&f->item[3], "p") = 1;
  f->brightness = 0.8;
  *(int64_t *)dt_test_choice_value(&f->item[4], "size") = 3;
  *(double *)dt_test_choice_value(&f->item[4], "p") = 0.5;
  f->augment = (dt_choices){f->item, 2};
  f->changes = (dt_choices){f->item + 1, 4};
  f->sampler = (dt_sampler){.dataset_count = SAMPLES, .global_batch = BATCH, .seed = 11, .shuffle = true};
  *state = f;
  return 0;
}

static int destroy_fixture(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 5; i++) dt_test_choice_destroy(&f->item[i]);
  free(f->values);
  free(f->labels);
  free(f->pixels);
  free(f);
  return 0;
}

/* The augmented pixels of one sample, by the definition. */
static void expected_pixels(const fixture *f, const dt_choices *augment, int64_t epoch, int64_t index, uint8_t *out) {
  uint64_t scratch[4 * ELEMENTS];
  dt_augment_image all = {.shape = &image, .pixels = out, .scratch = scratch, .is_input = true};
  memcpy(out, f->pixels + index * ELEMENTS, ELEMENTS);
  for (int i = 0; i < augment->count; i++) {
    const dt_augment *functions = augment->item[i].kind->impl;
    const dt_augment_key key = {.seed = f->sampler.seed, .epoch = epoch, .sample = index, .place = i};
    if (functions->draw == NULL) {
      functions->change(augment->item[i].attr, &key, &all);
      continue;
    }
    const dt_rng_block random = dt_rng(f->sampler.seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)index, (uint32_t)i);
    dt_augmentation_apply(functions->draw(augment->item[i].attr, random), &image, out, (uint8_t *)scratch);
  }
}

/* One shard of a micro-batch, place by place; empty positions hold zeros. */
static void check_shard(const fixture *f, const dt_choices *augment, const dt_step_plan *plan, int shard, int s,
                        const dt_batch *batch) {
  int64_t first;
  const int64_t count = dt_shard_samples(plan->count, SHARDS, shard, &first);
  assert_int_equal(batch->valid[s], count);
  assert_int_equal(batch->position[s], first);
  for (int64_t i = 0; i < SLOTS; i++) {
    uint8_t expected[ELEMENTS] = {0};
    int32_t label = 0;
    if (i < count) {
      const int64_t index = dt_sampler_index(&f->sampler, plan->epoch, plan->first + first + i);
      expected_pixels(f, augment, plan->epoch, index, expected);
      label = f->labels[index];
    }
    assert_memory_equal(pixels_of(batch) + (s * SLOTS + i) * ELEMENTS, expected, ELEMENTS);
    assert_int_equal(labels_of(batch)[s * SLOTS + i], label);
  }
}

/* Every micro-batch of one rank from samples_seen to the end, then nothing more. Samples counted are added to *total. */
static void check_rank(const fixture *f, const dt_choices *augment, int size, int rank, int micro_batch_limit,
                       int64_t samples_seen, int prefetch, int threads, int64_t *total) {
  dt_tree *tree;
  dt_loader *loader;
  const dt_batch *batch;
  assert_int_equal(dt_tree_create(SHARDS, size, rank, micro_batch_limit, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&f->bytes, &f->of_bytes, augment, NULL, &f->sampler, tree, samples_seen, END, prefetch,
                                    threads, &loader),
                   DT_OK);
  while (samples_seen < END) {
    const dt_step_plan plan = dt_sampler_plan(&f->sampler, samples_seen);
    for (int p = 0; p < tree->micro_batch_count; p++) {
      const dt_micro_batch_plan *micro = &tree->micro_batches[p];
      assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
      int64_t samples = 0;
      for (int s = 0; s < micro->shard_count; s++) {
        check_shard(f, augment, &plan, micro->first_shard + s, s, batch);
        samples += batch->valid[s];
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

/* Ranks together see each sample once, whatever their number, their micro-batches and their threads. */
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

static void test_changes_of_any_ranks_and_threads(void **state) {
  const fixture *f = *state;
  for (int size = 1; size <= 3; size++) {
    int64_t total = 0;
    for (int rank = 0; rank < size; rank++) check_rank(f, &f->changes, size, rank, size - 1, 0, 2, size, &total);
    assert_int_equal(total, END);
  }
}

/* A target that is an image goes the way of the input, but keeps its colours and is not erased. */
static void test_masks_keep_their_colours(void **state) {
  const fixture *f = *state;
  dt_dataset set = make_dataset(f->bytes.fields.field[0], f->pixels, (int32_t *)f->pixels);
  set.fields.field[1] = (dt_field){.name = "mask", .dtype = DT_U8, .shape = image};
  const dt_program program = make_program(&set);
  dt_tree *tree;
  dt_loader *loader;
  int coloured = 0;
  assert_int_equal(dt_tree_create(1, 1, 0, 0, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&set, &program, &f->changes, NULL, &f->sampler, tree, 0, END, 2, 1, &loader), DT_OK);
  const dt_choices geometry = {f->changes.item, 2};
  for (int64_t seen = 0; seen < END;) {
    const dt_step_plan plan = dt_sampler_plan(&f->sampler, seen);
    const dt_batch *batch;
    assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
    for (int64_t i = 0; i < plan.count; i++) {
      const uint8_t *mask = (const uint8_t *)batch->field[1].part[DT_PART_VALUES] + i * ELEMENTS;
      uint8_t expected[ELEMENTS];
      expected_pixels(f, &geometry, plan.epoch, dt_sampler_index(&f->sampler, plan.epoch, plan.first + i), expected);
      assert_memory_equal(mask, expected, ELEMENTS);
      coloured += memcmp(mask, pixels_of(batch) + i * ELEMENTS, ELEMENTS) != 0;
    }
    seen += plan.count;
  }
  assert_true(coloured > END * 9 / 10);
  dt_loader_destroy(&loader);
  dt_tree_destroy(&tree);
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
static void test_cached(void **state) {
  const fixture *f = *state;
  dt_dataset held = f->bytes;
  dt_tree *tree;
  dt_loader *plain, *loader;
  held.cached = &held;
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 1, &tree), DT_OK);
  assert_int_equal(dt_loader_create(&f->bytes, &f->of_bytes, &f->augment, NULL, &f->sampler, tree, 0, END, 2, 1, &plain),
                   DT_OK);
  assert_int_equal(dt_loader_create(&held, &f->of_bytes, &f->augment, NULL, &f->sampler, tree, 0, END, 2, 1, &loader), DT_OK);
  for (int micro = 0; micro < 9 * SHARDS; micro++) {
    const dt_batch *expected, *batch;
    assert_int_equal(dt_loader_next(plain, &expected), DT_OK);
    assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
    assert_null(pixels_of(batch));
    assert_ptr_equal(batch->cached, &held);
    assert_int_equal(batch->augmentations, 2);
    assert_int_equal(batch->samples, expected->samples);
    for (int i = 0; i < SLOTS; i++) {
      uint8_t sample[ELEMENTS] = {0}, scratch[ELEMENTS];
      if (batch->index[i] >= 0) memcpy(sample, f->pixels + batch->index[i] * ELEMENTS, ELEMENTS);
      for (int m = 0; m < 2 && batch->index[i] >= 0; m++) {
        dt_augmentation_apply(batch->augmentation[i * 2 + m], &image, sample, scratch);
      }
      assert_true((batch->index[i] >= 0) == (i < batch->valid[0]));
      assert_memory_equal(sample, pixels_of(expected) + i * ELEMENTS, ELEMENTS);
      assert_int_equal(labels_of(batch)[i], labels_of(expected)[i]);
    }
  }
  dt_loader_destroy(&loader);
  dt_loader_destroy(&plain);
  dt_tree_destroy(&tree);
}

/* A field that a loss reads besides comes with every batch and is moved all the same. */
static void test_input_that_is_a_target(void **state) {
  const fixture *f = *state;
  dt_dataset held = f->bytes;
  dt_program both = f->of_bytes;
  dt_tree *tree;
  held.cached = &held;
  both.field_use[0] = DT_FIELD_READ;
  const dt_dataset *const sets[] = {&f->bytes, &held};
  assert_int_equal(dt_tree_create(SHARDS, 1, 0, 1, &tree), DT_OK);
  for (int i = 0; i < 2; i++) {
    dt_loader *plain, *loader;
    assert_int_equal(dt_loader_create(&f->bytes, &f->of_bytes, &f->augment, NULL, &f->sampler, tree, 0, END, 2, 1, &plain),
                     DT_OK);
    assert_int_equal(dt_loader_create(sets[i], &both, &f->augment, NULL, &f->sampler, tree, 0, END, 2, 1, &loader), DT_OK);
    for (int micro = 0; micro < 9 * SHARDS; micro++) {
      const dt_batch *expected, *batch;
      assert_int_equal(dt_loader_next(plain, &expected), DT_OK);
      assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
      assert_memory_equal(pixels_of(batch), pixels_of(expected), SLOTS * ELEMENTS);
    }
    dt_loader_destroy(&loader);
    dt_loader_destroy(&plain);
  }
  dt_tree_destroy(&tree);
}

static void test_floats(void **state) {
  const fixture *f = *state;
  dt_tree *tree;
  dt_loader *loader;
  const dt_batch *batch;
  assert_int_equal(dt_tree_create(1, 1, 0, 0, &tree), DT_OK);
  dt_error_clear();
  assert_int_equal(dt_loader_create(&f->floats, &f->of_floats, &f->augment, NULL, &f->sampler, tree, 0, END, 1, 1, &loader),
                   DT_USAGE);
  assert_int_equal(dt_loader_create(&f->floats, &f->of_floats, &f->none, NULL, &f->sampler, tree, 48, END, 1, 1, &loader),
                   DT_OK);
  assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
  assert_int_equal(batch->samples, SAMPLES - 48);
  for (int64_t i = 0; i < BATCH; i++) {
    const float *expected = f->values + dt_sampler_index(&f->sampler, 0, (48 + i) % SAMPLES) * ELEMENTS;
    const float zeros[ELEMENTS] = {0};
    assert_memory_equal((const float *)batch->field[0].part[DT_PART_VALUES] + i * ELEMENTS, i < SAMPLES - 48 ? expected : zeros,
                        sizeof zeros);
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
  assert_int_equal(dt_loader_create(&f->bytes, &f->of_bytes, &f->none, NULL, &sampler, tree, 0, END, 1, 1, &loader), DT_USAGE);
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
    assert_int_equal(
        dt_loader_create(&f->bytes, &f->of_bytes, &f->augment, NULL, &f->sampler, tree, 0, END, 1 + taken % 5, 3, &loader),
        DT_OK);
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
  assert_int_equal(dt_loader_create(&f->bytes, &f->of_bytes, &f->augment, NULL, &f->sampler, tree, 0, 1000000, 2, 2, &loader),
                   DT_OK);
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
      cmocka_unit_test(test_changes_of_any_ranks_and_threads),
      cmocka_unit_test(test_masks_keep_their_colours),
      cmocka_unit_test(test_resume_in_mid_epoch),
      cmocka_unit_test(test_cached),
      cmocka_unit_test(test_input_that_is_a_target),
      cmocka_unit_test(test_floats),
      cmocka_unit_test(test_nothing_left_by_dropping),
      cmocka_unit_test(test_destroyed_at_any_time),
      cmocka_unit_test(test_waiting_workers_sleep),
  };
  return cmocka_run_group_tests(tests, make_fixture, destroy_fixture);
}
