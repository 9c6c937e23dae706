/* Every sample exactly once per epoch, whatever the batch, the shards, the ranks, and the place where a run was resumed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tree.h"
#include "data/data.h"
#include "support/unit.h"

/* Counts the samples of one global batch as `size` ranks see them, each through its own tree. */
static void count_batch(const dt_sampler *sampler, const dt_step_plan *plan, int shards, int size, int *seen) {
  for (int rank = 0; rank < size; rank++) {
    dt_tree *tree;
    assert_int_equal(dt_tree_create(shards, size, rank, 0, &tree), DT_OK);
    for (int p = 0; p < tree->micro_batch_count; p++) {
      for (int s = 0; s < tree->micro_batches[p].shard_count; s++) {
        int64_t first;
        const int64_t count = dt_shard_samples(plan->count, shards, tree->micro_batches[p].first_shard + s, &first);
        for (int64_t i = 0; i < count; i++) seen[dt_sampler_index(sampler, plan->epoch, plan->first + first + i)]++;
      }
    }
    dt_tree_destroy(&tree);
  }
}

/* Walks from samples_seen (at a batch boundary of epoch 0) to the end of epoch 1 and counts each sample per epoch. */
static void check_epochs(const dt_sampler *sampler, int shards, int size, int64_t resume_steps) {
  const int64_t epoch_samples = dt_sampler_epoch_samples(sampler);
  int *seen[2] = {calloc((size_t)sampler->dataset_count, sizeof(int)), calloc((size_t)sampler->dataset_count, sizeof(int))};
  int64_t steps = 0, samples_seen = 0, total = 0;
  const int64_t steps_per_epoch = (epoch_samples + sampler->global_batch - 1) / sampler->global_batch;
  while (samples_seen < 2 * epoch_samples) {
    /* A resumed run knows samples_seen alone; its ranks may be others. */
    const dt_step_plan plan = dt_sampler_plan(sampler, samples_seen);
    assert_int_equal(plan.epoch, steps / steps_per_epoch);
    assert_true(plan.count >= 1 && plan.count <= sampler->global_batch);
    count_batch(sampler, &plan, shards, steps < resume_steps ? size : size % 3 + 1, seen[plan.epoch]);
    samples_seen += plan.count;
    total += plan.count;
    steps++;
  }
  assert_int_equal(steps, 2 * steps_per_epoch);
  for (int epoch = 0; epoch < 2; epoch++) {
    int64_t left_out = 0;
    for (int64_t i = 0; i < sampler->dataset_count; i++) {
      assert_true(seen[epoch][i] <= 1);
      left_out += seen[epoch][i] == 0;
    }
    assert_int_equal(left_out, sampler->dataset_count - epoch_samples);
    free(seen[epoch]);
  }
  assert_int_equal(total, 2 * epoch_samples);
}

static void test_every_sample_once(void **state) {
  static const int64_t samples[] = {1, 2, 7, 16, 33, 100}, batches[] = {1, 3, 8, 16, 40};
  static const int shards[] = {1, 2, 5, 8}, sizes[] = {1, 2, 3, 4, 7};
  for (size_t n = 0; n < sizeof samples / sizeof *samples; n++) {
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
      for (size_t s = 0; s < sizeof shards / sizeof *shards; s++) {
        for (size_t r = 0; r < sizeof sizes / sizeof *sizes; r++) {
          dt_sampler sampler = {.dataset_count = samples[n], .global_batch = batches[b], .seed = 3, .shuffle = true};
          sampler.last_batch = DT_LAST_SHORT;
          assert_int_equal(dt_sampler_epoch_samples(&sampler), samples[n]);
          check_epochs(&sampler, shards[s], sizes[r], 2);
          sampler.last_batch = DT_LAST_DROP;
          assert_int_equal(dt_sampler_epoch_samples(&sampler), samples[n] / batches[b] * batches[b]);
          if (dt_sampler_epoch_samples(&sampler) > 0) check_epochs(&sampler, shards[s], sizes[r], 1);
        }
      }
    }
  }
}

static void test_short_last_batch(void **state) {
  const dt_sampler sampler = {.dataset_count = 100, .global_batch = 32, .shuffle = true, .last_batch = DT_LAST_SHORT};
  const dt_step_plan last = dt_sampler_plan(&sampler, 96), next = dt_sampler_plan(&sampler, 100);
  assert_int_equal(last.epoch, 0);
  assert_int_equal(last.first, 96);
  assert_int_equal(last.count, 4);
  assert_int_equal(next.epoch, 1);
  assert_int_equal(next.first, 0);
  assert_int_equal(next.count, 32);
}

/* Without a shuffle the rule for the last batch holds all the same. */
static void test_drop_in_order(void **state) {
  const dt_sampler sampler = {.dataset_count = 10, .global_batch = 4, .shuffle = false, .last_batch = DT_LAST_DROP};
  assert_int_equal(dt_sampler_epoch_samples(&sampler), 8);
  assert_int_equal(dt_sampler_plan(&sampler, 8).epoch, 1);
  assert_int_equal(dt_sampler_plan(&sampler, 8).count, 4);
}

/* Evaluation goes through the data set in order and leaves nothing out. */
static void test_evaluation_in_order(void **state) {
  const dt_sampler sampler = {.dataset_count = 10, .global_batch = 4, .shuffle = false, .last_batch = DT_LAST_SHORT};
  assert_int_equal(dt_sampler_epoch_samples(&sampler), 10);
  assert_int_equal(dt_sampler_plan(&sampler, 8).count, 2);
  for (int64_t i = 0; i < 10; i++) assert_int_equal(dt_sampler_index(&sampler, 0, i), i);
}

static void test_epochs_and_seeds_differ(void **state) {
  dt_sampler one = {.dataset_count = 1000, .global_batch = 10, .seed = 1, .shuffle = true}, two = one;
  two.seed = 2;
  int same_epoch = 0, same_seed = 0, in_place = 0;
  for (int64_t i = 0; i < 1000; i++) {
    same_epoch += dt_sampler_index(&one, 0, i) == dt_sampler_index(&one, 1, i);
    same_seed += dt_sampler_index(&one, 0, i) == dt_sampler_index(&two, 0, i);
    in_place += dt_sampler_index(&one, 0, i) == i;
  }
  assert_true(same_epoch < 10 && same_seed < 10 && in_place < 10);
}

/* A data set of labels, and of weights. */
static void make_set(const int32_t *label, const float *weight, int64_t count, dt_dataset **out) {
  const dt_fields fields = {.field = {{.name = "label", .dtype = DT_I32}, {.name = "weight", .dtype = DT_F32}}, .count = 2};
  assert_int_equal(dt_dataset_create(&fields, count, NULL, out), DT_OK);
  (*out)->source = strdup("made");
  memcpy((*out)->data[0].values, label, (size_t)count * sizeof *label);
  memcpy((*out)->data[1].values, weight, (size_t)count * sizeof *weight);
}

/* How often each sample is drawn in so many epochs. */
static void count_draws(const dt_dataset *set, int rule, int epochs, int64_t *count) {
  uint64_t *draws = NULL;
  if (dt_sampler_weigh(set, rule, "weight", &draws) != DT_OK) fail_msg("%s", dt_error_text());
  const dt_sampler sampler = {.dataset_count = set->count, .global_batch = 4, .seed = 3, .shuffle = true, .draws = draws};
  memset(count, 0, (size_t)set->count * sizeof *count);
  for (int e = 0; e < epochs; e++) {
    for (int64_t p = 0; p < set->count; p++) count[dt_sampler_index(&sampler, e, p)]++;
  }
  free(draws);
}

/* Each sample as often as its weight says, within six standard deviations; never where the weight is 0. */
static void test_drawn_by_weight(void **state) {
  enum { COUNT = 8, EPOCHS = 40000 };
  static const int32_t label[COUNT] = {0, 0, 0, 0, 1, 1, 2, 0};
  static const float weight[COUNT] = {1, 2, 0, 0.5F, 4, 0, 1e-30F, 0.5F};
  dt_dataset *set;
  int64_t count[COUNT];
  make_set(label, weight, COUNT, &set);
  count_draws(set, DT_SAMPLING_WEIGHTED, EPOCHS, count);
  for (int i = 0; i < COUNT; i++) {
    const double p = weight[i] / 8.0, mean = p * COUNT * EPOCHS;
    if (weight[i] == 0) assert_int_equal(count[i], 0);
    if (fabs((double)count[i] - mean) > 6 * sqrt(mean * (1 - p)) + 1) fail_msg("sample %d: %lld draws", i, (long long)count[i]);
  }
  count_draws(set, DT_SAMPLING_BALANCED, EPOCHS, count);
  static const double classes[] = {5, 2, 1};
  for (int i = 0; i < COUNT; i++) {
    const double p = 1 / (3 * classes[label[i]]), mean = p * COUNT * EPOCHS;
    if (fabs((double)count[i] - mean) > 6 * sqrt(mean * (1 - p))) fail_msg("sample %d: %lld draws", i, (long long)count[i]);
  }
  dt_dataset_destroy(&set);
}

static void test_no_weights(void **state) {
  static const int32_t label[2] = {0, -1};
  float weight[2] = {0, 0};
  uint64_t *draws = NULL;
  dt_dataset *set;
  make_set(label, weight, 2, &set);
  assert_int_equal(dt_sampler_weigh(set, DT_SAMPLING_WEIGHTED, "weight", &draws), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "made: found weights of 0 alone in field weight"));
  dt_error_clear();
  assert_int_equal(dt_sampler_weigh(set, DT_SAMPLING_BALANCED, "", &draws), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "made: found label -1 of sample 1"));
  dt_error_clear();
  assert_int_equal(dt_sampler_weigh(set, DT_SAMPLING_WEIGHTED, "label", &draws), DT_USAGE);
  dt_error_clear();
  ((float *)set->data[1].values)[1] = -1;
  assert_int_equal(dt_sampler_weigh(set, DT_SAMPLING_WEIGHTED, "weight", &draws), DT_DATA);
  assert_non_null(strstr(dt_error_text(), "made: found weight -1 of sample 1"));
  assert_null(draws);
  dt_dataset_destroy(&set);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_every_sample_once),
      cmocka_unit_test(test_short_last_batch),
      cmocka_unit_test(test_drop_in_order),
      cmocka_unit_test(test_evaluation_in_order),
      cmocka_unit_test(test_epochs_and_seeds_differ),
      cmocka_unit_test(test_drawn_by_weight),
      cmocka_unit_test(test_no_weights),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
