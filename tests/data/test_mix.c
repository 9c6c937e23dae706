/* mixup and cutmix: shares against the distribution that they are drawn from, and mixed batches against their definition, put
 * together by hand from samples that were not mixed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"
#include "data/mix.h"
#include "support/choice.h"
#include "support/unit.h"

enum { DRAWS = 20000, SAMPLES = 29, SIDE = 8, PLANE = SIDE * SIDE, ELEMENTS = 2 * PLANE, NUMBERS = 3, BATCH = 8, CLASSES = 5 };

static const dt_shape image = {3, {2, SIDE, SIDE}};

/* --- Beta --- */

static dt_rng_block block_of(const void *context, uint32_t number) {
  return dt_rng(9, DT_RNG_MIX, 3, *(const uint64_t *)context, number);
}

static double draw(double alpha, uint64_t sample) {
  return dt_draw_beta(alpha, block_of, &sample) / 65536.0;
}

/* Where the distribution function comes to 0.1, 0.25, 0.4 and 0.5: scipy 1.17.1, scipy.stats.beta(alpha, alpha).ppf. */
static void test_beta(void **state) {
  static const double part[] = {0.1, 0.25, 0.4, 0.5};
  static const struct {
    double alpha, at[4];
  } rows[] = {{0.2, {0.000248, 0.023815, 0.216342, 0.5}},
              {0.5, {0.024472, 0.146447, 0.345492, 0.5}},
              {1, {0.1, 0.25, 0.4, 0.5}},
              {8, {0.341521, 0.414989, 0.467867, 0.5}},
              {32, {0.420107, 0.457755, 0.484108, 0.5}}};
  for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
    int below[4] = {0}, above[4] = {0};
    double sum = 0, squares = 0;
    for (int i = 0; i < DRAWS; i++) {
      const double x = draw(rows[r].alpha, (uint64_t)i);
      for (int k = 0; k < 4; k++) below[k] += x < rows[r].at[k];
      for (int k = 0; k < 4; k++) above[k] += 1 - x < rows[r].at[k];
      sum += x;
      squares += (x - 0.5) * (x - 0.5);
    }
    const double variance = 1 / (4 * (2 * rows[r].alpha + 1));
    assert_true(fabs(sum / DRAWS - 0.5) < 4 * sqrt(variance / DRAWS));
    assert_true(fabs(squares / DRAWS / variance - 1) < 0.05);
    for (int k = 0; k < 4; k++) {
      assert_true(fabs(below[k] / (double)DRAWS - part[k]) < 0.015);
      assert_true(fabs(above[k] / (double)DRAWS - part[k]) < 0.015);
    }
  }
}

/* Small ones are next to 0 or 1, and nothing overflows; large ones end. */
static void test_beta_at_its_ends(void **state) {
  for (uint64_t i = 0; i < 2000; i++) {
    const double small = draw(0.001, i), large = draw(100, i);
    assert_true(small >= 0 && small <= 1);
    assert_true(large > 0.2 && large < 0.8);
  }
}

/* --- plans --- */

typedef struct fixture {
  dt_choice item[2], shift;
  dt_choices mixup, cutmix, both, augment;
  uint8_t *pixels;
  float *numbers;
  int32_t *labels;
  dt_dataset set;
  dt_field needed[4];
  dt_program program;
  dt_sampler sampler;
} fixture;

static int make_fixture(void **state) {
  static const char *const names[] = {"mixup", "cutmix"};
  fixture *f = calloc(1, sizeof *f);
  for (int i = 0; i < 2; i++) {
    f->item[i] = dt_test_choice(dt_mix_kinds, names[i]);
    *(double *)dt_test_choice_value(&f->item[i], "alpha") = 1;
    *(double *)dt_test_choice_value(&f->item[i], "p") = 0.8;
  }
  f->mixup = (dt_choices){f->item, 1};
  f->cutmix = (dt_choices){f->item + 1, 1};
  f->both = (dt_choices){f->item, 2};
  f->shift = dt_test_choice(dt_augment_kinds, "shift");
  *(int64_t *)dt_test_choice_value(&f->shift, "max") = 3;
  f->augment = (dt_choices){&f->shift, 1};
  f->pixels = malloc(SAMPLES * ELEMENTS);
  f->numbers = malloc(SAMPLES * NUMBERS * sizeof *f->numbers);
  f->labels = malloc(SAMPLES * sizeof *f->labels);
  for (int i = 0; i < SAMPLES * ELEMENTS; i++) f->pixels[i] = (uint8_t)(i * 31 % 256 ^ i / ELEMENTS * 37);
  for (int i = 0; i < SAMPLES * NUMBERS; i++) f->numbers[i] = (float)i * 0.37f - 5;
  for (int i = 0; i < SAMPLES; i++) f->labels[i] = i * 7 % CLASSES;
  f->needed[0] = (dt_field){.name = "input", .dtype = DT_U8, .shape = image};
  f->needed[1] = (dt_field){.name = "target", .dtype = DT_F32, .shape = {1, {NUMBERS}}};
  f->needed[2] = (dt_field){.name = "label", .dtype = DT_I32, .limit = CLASSES};
  f->needed[3] = (dt_field){.name = "label.mixed", .dtype = DT_F32, .shape = {1, {CLASSES}}, .mixes = 3};
  f->set = (dt_dataset){
      .count = SAMPLES, .fields.count = 3, .data = {{.values = f->pixels}, {.values = f->numbers}, {.values = f->labels}}};
  memcpy(f->set.fields.field, f->needed, 3 * sizeof *f->needed);
  f->program = (dt_program){.field = f->needed,
                            .field_count = 4,
                            .field_use = {DT_FIELD_LOADED, DT_FIELD_READ, DT_FIELD_READ, DT_FIELD_READ},
                            .field_loaded = {true}};
  f->sampler = (dt_sampler){.dataset_count = SAMPLES, .global_batch = BATCH, .seed = 4, .shuffle = true};
  *state = f;
  return 0;
}

static int destroy_fixture(void **state) {
  fixture *f = *state;
  for (int i = 0; i < 2; i++) dt_test_choice_destroy(&f->item[i]);
  dt_test_choice_destroy(&f->shift);
  free(f->pixels);
  free(f->numbers);
  free(f->labels);
  free(f);
  return 0;
}

/* The partners of a batch are its samples in another order, none being its own; every distance comes. */
static void test_partners(void **state) {
  const fixture *f = *state;
  dt_choice all = f->item[0];
  dt_mix_attr attr = {.alpha = 1, .p = 1};
  all.attr = &attr;
  const dt_choices mix = {&all, 1};
  int distances[BATCH] = {0};
  for (int64_t first = 0; first < 4000; first += BATCH) {
    bool taken[BATCH] = {0};
    for (int64_t place = 0; place < BATCH; place++) {
      dt_mix_plan plan;
      dt_mix_draw(&mix, 1, 0, first, BATCH, place, &image, &plan);
      assert_true(plan.mixed && plan.partner != place && !taken[plan.partner]);
      taken[plan.partner] = true;
      if (place == 0) distances[plan.partner]++;
    }
  }
  for (int d = 1; d < BATCH; d++) assert_true(distances[d] > 35);
  dt_mix_plan alone;
  dt_mix_draw(&mix, 1, 0, 0, 1, 0, &image, &alone);
  assert_true(!alone.mixed && alone.share == 1);
}

/* The share is what the pixels show, and the rectangle has the drawn area where it does not leave the image. */
static void test_cutmix_counts_pixels(void **state) {
  const fixture *f = *state;
  const dt_shape shape = {3, {1, 40, 30}};
  const dt_field field = {.dtype = DT_U8, .shape = shape};
  double whole = 0;
  int mixed = 0;
  for (int64_t place = 0; place < 2000; place++) {
    uint8_t own[1200] = {0}, other[1200];
    int64_t pasted = 0;
    dt_mix_plan plan;
    memset(other, 1, sizeof other);
    dt_mix_draw(&f->cutmix, 2, 0, place, 2, 0, &shape, &plan);
    dt_mix_values(&plan, &field, own, other);
    for (int i = 0; i < 1200; i++) pasted += own[i];
    assert_true(fabs(plan.share - (1 - (double)pasted / 1200)) < 1e-12);
    mixed += plan.mixed;
    whole += plan.mixed ? plan.side * plan.side : 0;
  }
  assert_true(mixed > 1540 && mixed < 1660); /* p = 0.8 */
  assert_true(fabs(whole / mixed - 0.5) < 0.03);
}

/* --- batches --- */

static double expected_number(double share, double own, double other) {
  return share * own + (1 - share) * other;
}

/* A sample's pixels, augmented by its own numbers. */
static void augmented(const fixture *f, int64_t epoch, int64_t index, uint8_t *out) {
  const dt_augment_key key = {.seed = f->sampler.seed, .epoch = epoch, .sample = index};
  uint8_t scratch[ELEMENTS];
  memcpy(out, f->pixels + index * ELEMENTS, ELEMENTS);
  dt_augmentation_apply(dt_augmentation_draw(&f->augment, &key), &image, out, scratch);
}

/* Place `place` of a batch, whatever is in it. */
static void check_sample(const fixture *f, const dt_choices *mix, const dt_step_plan *plan, int64_t place,
                         const uint8_t *pixels, const float *numbers, int32_t label, const float *probabilities) {
  dt_mix_plan how;
  dt_mix_draw(mix, f->sampler.seed, plan->epoch, plan->first, plan->count, place, &image, &how);
  const int64_t own = dt_sampler_index(&f->sampler, plan->epoch, plan->first + place);
  const int64_t other = how.mixed ? dt_sampler_index(&f->sampler, plan->epoch, plan->first + how.partner) : own;
  uint8_t before[ELEMENTS], partner[ELEMENTS];
  int64_t shows_own = 0, shows_other = 0;
  augmented(f, plan->epoch, own, before);
  augmented(f, plan->epoch, other, partner);
  assert_int_equal(label, f->labels[own]);
  for (int64_t i = 0; i < ELEMENTS; i++) {
    const int a = before[i], b = partner[i];
    if (!how.pastes) assert_true(fabs(pixels[i] - expected_number(how.share, a, b)) <= 0.501);
    if (how.pastes) assert_true(pixels[i] == a || pixels[i] == b);
    shows_own += pixels[i] == a;
    shows_other += pixels[i] == b;
  }
  if (how.pastes) assert_true(shows_own >= how.share * ELEMENTS && shows_other >= (1 - how.share) * ELEMENTS - 0.001);
  for (int i = 0; i < NUMBERS; i++) {
    const double expected = expected_number(how.share, f->numbers[own * NUMBERS + i], f->numbers[other * NUMBERS + i]);
    assert_true(fabs(numbers[i] - expected) < 1e-5);
  }
  for (int k = 0; k < CLASSES; k++) {
    const double expected = expected_number(how.share, f->labels[own] == k, f->labels[other] == k);
    assert_true(fabs(probabilities[k] - expected) < 1e-6);
  }
}

/* All batches of two epochs, on so many ranks; what each sample came to goes to `seen`, place after place. */
static void check_ranks(const fixture *f, const dt_choices *mix, int ranks, int threads, uint8_t *seen) {
  enum { SHARDS = 4, SLOTS = BATCH / SHARDS };
  for (int rank = 0; rank < ranks; rank++) {
    dt_tree *tree;
    dt_loader *loader;
    assert_int_equal(dt_tree_create(SHARDS, ranks, rank, 0, &tree), DT_OK);
    assert_int_equal(
        dt_loader_create(&f->set, &f->program, &f->augment, mix, &f->sampler, tree, 0, 2 * SAMPLES, 3, threads, &loader),
        DT_OK);
    for (int64_t samples = 0; samples < 2 * SAMPLES;) {
      const dt_step_plan plan = dt_sampler_plan(&f->sampler, samples);
      for (int m = 0; m < tree->micro_batch_count; m++) {
        const dt_batch *batch;
        assert_int_equal(dt_loader_next(loader, &batch), DT_OK);
        for (int64_t at = 0; at < tree->micro_batches[m].shard_count * SLOTS; at++) {
          const int64_t s = at / SLOTS, i = at % SLOTS, place = batch->position[s] + i;
          const uint8_t *pixels = (const uint8_t *)batch->field[0].part[DT_PART_VALUES] + at * ELEMENTS;
          const float *probabilities = (const float *)batch->field[3].part[DT_PART_VALUES] + at * CLASSES;
          if (i >= batch->valid[s]) {
            for (int k = 0; k < CLASSES; k++) assert_true(probabilities[k] == 0);
            continue;
          }
          check_sample(f, mix, &plan, place, pixels, (const float *)batch->field[1].part[DT_PART_VALUES] + at * NUMBERS,
                       ((const int32_t *)batch->field[2].part[DT_PART_VALUES])[at], probabilities);
          memcpy(seen + (samples + place) * ELEMENTS, pixels, ELEMENTS);
        }
      }
      samples += plan.count;
    }
    dt_loader_destroy(&loader);
    dt_tree_destroy(&tree);
  }
}

static void test_batches(void **state) {
  const fixture *f = *state;
  const dt_choices *mixes[] = {&f->mixup, &f->cutmix, &f->both};
  static uint8_t seen[2][2 * SAMPLES * ELEMENTS];
  for (int m = 0; m < 3; m++) {
    check_ranks(f, mixes[m], 1, 1, seen[0]);
    check_ranks(f, mixes[m], 3, 2, seen[1]);
    assert_memory_equal(seen[0], seen[1], sizeof seen[0]);
  }
}

/* What cannot be mixed is refused by its name. */
static void test_refused(void **state) {
  const fixture *f = *state;
  static const dt_choices none;
  static const struct {
    const char *expected;
    dt_field input;
    bool pastes;
  } rows[] = {
      {"found the input input as whole numbers", {.name = "input", .dtype = DT_I32, .shape = {1, {4}}}, false},
      {"found the input input as sequences",
       {.name = "input", .dtype = DT_F32, .shape = {1, {4}}, .layout = DT_FIELD_RAGGED},
       false},
      {"found cutmix for inputs that are no images", {.name = "input", .dtype = DT_F32, .shape = {1, {4}}}, true},
  };
  dt_tree *tree;
  assert_int_equal(dt_tree_create(1, 1, 0, 0, &tree), DT_OK);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    dt_program program = f->program;
    dt_loader *loader = NULL;
    program.field = &rows[i].input;
    program.field_count = 1;
    dt_error_clear();
    assert_int_equal(dt_loader_create(&f->set, &program, &none, rows[i].pastes ? &f->both : &f->mixup, &f->sampler, tree, 0, 1,
                                      1, 1, &loader),
                     DT_USAGE);
    if (strstr(dt_error_text(), rows[i].expected) == NULL) fail_msg("%s, expected %s", dt_error_text(), rows[i].expected);
  }
  dt_error_clear();
  dt_tree_destroy(&tree);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_beta),    cmocka_unit_test(test_beta_at_its_ends),     cmocka_unit_test(test_partners),
      cmocka_unit_test(test_batches), cmocka_unit_test(test_cutmix_counts_pixels), cmocka_unit_test(test_refused),
  };
  return cmocka_run_group_tests(tests, make_fixture, destroy_fixture);
}
