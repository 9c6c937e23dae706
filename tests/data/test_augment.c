/* Augmentations against their definition, pixel by pixel. */
#include <string.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/unit.h"

enum { CHANNELS = 2, HEIGHT = 5, WIDTH = 7, ELEMENTS = CHANNELS * HEIGHT * WIDTH };

static const dt_shape shape = {3, {CHANNELS, HEIGHT, WIDTH}};

static void make_image(uint8_t *image) {
  for (int i = 0; i < ELEMENTS; i++) image[i] = (uint8_t)(i + 1);
}

static void apply(const dt_choice *choice, uint8_t *image, dt_rng_block random) {
  uint8_t scratch[ELEMENTS];
  memset(scratch, 0xAA, sizeof scratch);
  const dt_augment *functions = choice->kind->impl;
  dt_augmentation_apply(functions->draw(choice->attr, random), &shape, image, scratch);
}

static bool is_moved(const uint8_t *image, int dy, int dx) {
  uint8_t original[ELEMENTS];
  make_image(original);
  for (int c = 0; c < CHANNELS; c++) {
    for (int y = 0; y < HEIGHT; y++) {
      for (int x = 0; x < WIDTH; x++) {
        const bool inside = y + dy >= 0 && y + dy < HEIGHT && x + dx >= 0 && x + dx < WIDTH;
        const int expected = inside ? original[(c * HEIGHT + y + dy) * WIDTH + x + dx] : 0;
        if (image[(c * HEIGHT + y) * WIDTH + x] != expected) return false;
      }
    }
  }
  return true;
}

/* Every draw is one of the allowed moves, the same for all channels, and all of them come up about equally often. */
static void check_augmentations(const char *kind, const char *option, int limit) {
  enum { DRAWS = 20000, SIDES = 17 };
  dt_choice choice = dt_test_choice(dt_augment_kinds, kind);
  *(int64_t *)dt_test_choice_value(&choice, option) = limit;
  int hits[SIDES][SIDES] = {0};
  const int visible_y = limit < HEIGHT ? limit : HEIGHT, visible_x = limit < WIDTH ? limit : WIDTH;
  const int draws = limit <= 2 ? DRAWS : DRAWS / 10;
  for (int i = 0; i < draws; i++) {
    uint8_t image[ELEMENTS];
    make_image(image);
    apply(&choice, image, dt_rng(1, DT_RNG_AUGMENT, 0, (uint64_t)i, 0));
    bool found = false;
    for (int dy = -visible_y; dy <= visible_y && !found; dy++) {
      for (int dx = -visible_x; dx <= visible_x && !found; dx++) {
        found = is_moved(image, dy, dx);
        if (found) hits[dy + visible_y][dx + visible_x]++;
      }
    }
    assert_true(found);
  }
  const int expected = DRAWS / ((2 * limit + 1) * (2 * limit + 1));
  for (int dy = 0; limit <= 2 && dy <= 2 * limit; dy++) {
    for (int dx = 0; dx <= 2 * limit; dx++) {
      assert_true(hits[dy][dx] > expected * 3 / 4 && hits[dy][dx] < expected * 5 / 4);
    }
  }
  dt_test_choice_destroy(&choice);
}

static void test_shift(void **state) {
  for (int limit = 0; limit <= 2; limit++) check_augmentations("shift", "max", limit);
}

/* Farther than the image is wide: what has left it is black. */
static void test_shift_beyond_the_edge(void **state) {
  check_augmentations("shift", "max", 8);
}

static void test_crop(void **state) {
  check_augmentations("crop", "pad", 1);
  check_augmentations("crop", "pad", 2);
}

static void check_flip(bool vertical, double p) {
  enum { DRAWS = 4000 };
  dt_choice choice = dt_test_choice(dt_augment_kinds, "flip");
  *(int *)dt_test_choice_value(&choice, "axis") = vertical;
  *(double *)dt_test_choice_value(&choice, "p") = p;
  int flipped = 0;
  for (int i = 0; i < DRAWS; i++) {
    uint8_t image[ELEMENTS], original[ELEMENTS], mirrored[ELEMENTS];
    make_image(original);
    make_image(image);
    for (int row = 0; row < CHANNELS * HEIGHT; row++) {
      const int other = vertical ? row / HEIGHT * HEIGHT + HEIGHT - 1 - row % HEIGHT : row;
      for (int x = 0; x < WIDTH; x++) mirrored[row * WIDTH + x] = original[other * WIDTH + (vertical ? x : WIDTH - 1 - x)];
    }
    apply(&choice, image, dt_rng(1, DT_RNG_AUGMENT, 0, (uint64_t)i, 0));
    const bool same = memcmp(image, original, ELEMENTS) == 0;
    assert_true(same || memcmp(image, mirrored, ELEMENTS) == 0);
    flipped += !same;
  }
  assert_true(flipped >= DRAWS * (p - 0.05 * (p < 1)) && flipped <= DRAWS * (p + 0.05 * (p > 0)));
  dt_test_choice_destroy(&choice);
}

static void test_flip(void **state) {
  static const double p[] = {0, 0.1, 0.5, 1};
  for (int i = 0; i < 4; i++) {
    check_flip(false, p[i]);
    check_flip(true, p[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_shift),
      cmocka_unit_test(test_shift_beyond_the_edge),
      cmocka_unit_test(test_crop),
      cmocka_unit_test(test_flip),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
