/* What augmentations draw: each choice as often as it should come, nothing that is out of range. The kinds of which numbers are
 * checked elsewhere: rotate, scale, resized_crop, colour, erase, cutout, randaugment (test_augment_numbers.c). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/portable_math.h"
#include "data/augment.h"
#include "support/choice.h"
#include "support/unit.h"

enum { DRAWS = 4000, PARTS = 4, SIDE = 24, PLANE = SIDE * SIDE, BYTES = 3 * PLANE };

static const dt_shape shape = {3, {3, SIDE, SIDE}};

static dt_augment_key key_of(int sample) {
  return (dt_augment_key){.seed = 5, .epoch = 1, .sample = sample, .place = 2};
}

static void make_image(uint8_t *image) {
  for (int i = 0; i < BYTES; i++) image[i] = (uint8_t)(1 + i * 37 % 254);
}

/* Augments a fresh image by the numbers of that sample. */
static void change(const dt_choice *choice, int sample, uint8_t *image) {
  static uint64_t scratch[BYTES];
  const dt_augment *functions = choice->kind->impl;
  const dt_augment_key key = key_of(sample);
  dt_augment_image all = {.shape = &shape, .pixels = image, .scratch = scratch, .is_input = true};
  make_image(image);
  functions->change(choice->attr, &key, &all);
}

static void set(const dt_choice *choice, const char *option, double value) {
  *(double *)dt_test_choice_value(choice, option) = value;
}

static void set_range(const dt_choice *choice, const char *option, double *range, int count) {
  *(dt_reals *)dt_test_choice_value(choice, option) = (dt_reals){range, count};
}

/* Whether the parts of [0, 1) have been hit about equally often. */
static void check_uniform(const int *hits, int draws) {
  for (int i = 0; i < PARTS; i++) {
    if (fabs(hits[i] - draws / (double)PARTS) > 5 * sqrt(draws / (double)PARTS))
      fail_msg("part %d of %d: %d of %d draws", i, PARTS, hits[i], draws);
  }
}

static int part_of(double x) {
  return x < 0 ? 0 : x >= 1 ? PARTS - 1 : (int)(PARTS * x);
}

/* --- numbers --- */

static void test_math(void **state) {
  for (int i = -600; i <= 600; i++) {
    const double x = i * 1.1234567, e = dt_exponential(x), t = (i + 600) / 1201.0;
    double sine, cosine;
    dt_circle(t, &sine, &cosine);
    assert_true(fabs(e / exp(x) - 1) < 4e-15);
    assert_true(fabs(dt_logarithm(exp(x)) - log(exp(x))) <= 4e-16 * fabs(x));
    assert_true(fabs(sine - sin(2 * M_PI * t)) < 2e-15 && fabs(cosine - cos(2 * M_PI * t)) < 2e-15);
  }
  assert_true(dt_exponential(0) == 1 && dt_logarithm(1) == 0);
}

/* Another block, another place, another sample: other numbers. */
static void test_blocks_differ(void **state) {
  dt_augment_key key = key_of(3);
  const dt_rng_block a = dt_augment_block(&key, 0), b = dt_augment_block(&key, 1);
  key.place = 1;
  const dt_rng_block c = dt_augment_block(&key, 0);
  assert_memory_not_equal(&a, &b, sizeof a);
  assert_memory_not_equal(&a, &c, sizeof a);
  const dt_rng_block expected = dt_rng(5, DT_RNG_AUGMENT, 1, 3, 2);
  assert_memory_equal(&a, &expected, sizeof a);
}

static void check_boxes(bool upright, int64_t height, int64_t width) {
  static const double scale[] = {0.1, 0.3}, ratio[] = {0.5, 2};
  const dt_box_rule rule = {.scale = scale, .ratio = ratio, .upright = upright, .larger = true};
  int area[PARTS] = {0}, form[PARTS] = {0}, top[PARTS] = {0}, left[PARTS] = {0};
  for (int i = 0; i < DRAWS; i++) {
    const dt_augment_key key = key_of(i);
    dt_box box;
    assert_true(dt_draw_box(&key, 1, &rule, height, width, &box));
    assert_true(box.top >= 0 && box.left >= 0 && box.height > 0 && box.width > 0);
    assert_true(box.top + box.height <= height && box.left + box.width <= width);
    const double w = (double)box.width, h = (double)box.height;
    area[part_of((w * h / (double)(height * width) - scale[0]) / (scale[1] - scale[0]))]++;
    form[part_of(log2(upright ? h / w : w / h) / 2 + 0.5)]++;
    top[part_of(((double)box.top + 0.5) / (double)(height - box.height + 1))]++;
    left[part_of(((double)box.left + 0.5) / (double)(width - box.width + 1))]++;
  }
  check_uniform(area, DRAWS);
  check_uniform(form, DRAWS);
  check_uniform(top, DRAWS);
  check_uniform(left, DRAWS);
}

/* Of areas from 0.9 to 1 a try in E(-ln area) / ln 2 = 0.0747 fits into the square; one of ten does in 0.540. */
static void test_boxes_are_tried_ten_times(void **state) {
  static const double scale[] = {0.9, 1}, ratio[] = {0.5, 2};
  const dt_box_rule rule = {.scale = scale, .ratio = ratio, .larger = true};
  int fit = 0;
  for (int i = 0; i < DRAWS; i++) {
    const dt_augment_key key = key_of(i);
    dt_box box;
    fit += dt_draw_box(&key, 1, &rule, 1000, 1000, &box);
  }
  assert_true(fabs(fit / (double)DRAWS - 0.540) < 0.03);
}

static void test_boxes(void **state) {
  check_boxes(false, 1000, 1500);
  check_boxes(true, 1500, 1000);
}

/* --- kinds --- */

/* All four parts, one after another: every draw is one of the 24 orders, and all of them come. */
static void test_colour_orders(void **state) {
  enum { ORDERS = 24 };
  static void (*const part[])(const dt_augment_image *image, double factor) = {dt_image_brightness, dt_image_contrast,
                                                                               dt_image_saturation, dt_image_hue};
  static double factor[4][2] = {{1.3, 1.3}, {0.6, 0.6}, {1.5, 1.5}, {0.2, 0.2}};
  static const char *const name[] = {"brightness", "contrast", "saturation", "hue"};
  static uint8_t expected[ORDERS][BYTES];
  uint8_t image[BYTES];
  int orders = 0, hits[ORDERS] = {0};
  for (int code = 0; code < 256; code++) {
    const int order[] = {code & 3, code >> 2 & 3, code >> 4 & 3, code >> 6};
    if ((1 << order[0] | 1 << order[1] | 1 << order[2] | 1 << order[3]) != 15) continue;
    make_image(expected[orders]);
    const dt_augment_image all = {.shape = &shape, .pixels = expected[orders++], .is_input = true};
    for (int i = 0; i < 4; i++) part[order[i]](&all, factor[order[i]][0]);
  }
  assert_int_equal(orders, ORDERS);
  dt_choice choice = dt_test_choice(dt_augment_kinds, "colour");
  set(&choice, "p", 1);
  for (int i = 0; i < 4; i++) set_range(&choice, name[i], factor[i], 2);
  for (int i = 0; i < DRAWS; i++) {
    int found = 0;
    change(&choice, i, image);
    while (found < ORDERS && memcmp(image, expected[found], BYTES) != 0) found++;
    assert_true(found < ORDERS);
    hits[found]++;
  }
  for (int i = 0; i < ORDERS; i++) assert_true(hits[i] > DRAWS / ORDERS / 2 && hits[i] < DRAWS / ORDERS * 3 / 2);
  dt_test_choice_destroy(&choice);
}

/* A factor of brightness is read off a number that it does not push out of a byte. */
static void test_colour_range(void **state) {
  double spread = 0.5;
  uint8_t image[BYTES];
  int hits[PARTS] = {0}, changed = 0;
  dt_choice choice = dt_test_choice(dt_augment_kinds, "colour");
  set_range(&choice, "brightness", &spread, 1);
  set(&choice, "p", 0.75);
  for (int i = 0; i < DRAWS; i++) {
    uint8_t before[BYTES];
    make_image(before);
    change(&choice, i, image);
    if (memcmp(image, before, BYTES) == 0) continue;
    changed++;
    int at = 0;
    while (before[at] != 149) at++;
    hits[part_of((image[at] + 0.5) / 149 - 0.5)]++;
  }
  assert_true(changed > DRAWS * 0.72 && changed < DRAWS * 0.78);
  check_uniform(hits, changed);
  dt_test_choice_destroy(&choice);
}

/* One operation: every draw is one of them to one side or the other, and each operation comes as often. */
static void test_randaugment(void **state) {
  enum { OPS = 14 };
  static uint8_t expected[OPS][2][BYTES];
  static uint64_t scratch[BYTES];
  uint8_t image[BYTES];
  int hits[OPS][2] = {{0}};
  assert_int_equal(dt_randaugment_ops(), OPS);
  for (int op = 0; op < OPS; op++) {
    for (int negative = 0; negative < 2; negative++) {
      make_image(expected[op][negative]);
      dt_augment_image all = {.shape = &shape, .pixels = expected[op][negative], .scratch = scratch, .is_input = true};
      dt_image_randaugment(&all, op, 12, negative);
    }
  }
  dt_choice choice = dt_test_choice(dt_augment_kinds, "randaugment");
  *(int64_t *)dt_test_choice_value(&choice, "ops") = 1;
  *(int64_t *)dt_test_choice_value(&choice, "magnitude") = 12;
  for (int i = 0; i < DRAWS; i++) {
    int found = 0;
    change(&choice, i, image);
    while (found < 2 * OPS && memcmp(image, expected[found / 2][found % 2], BYTES) != 0) found++;
    assert_true(found < 2 * OPS);
    hits[found / 2][found % 2]++;
  }
  for (int op = 0; op < OPS; op++) {
    const int all = hits[op][0] + hits[op][1];
    const bool sided = memcmp(expected[op][0], expected[op][1], BYTES) != 0;
    if (op == 12) continue; /* autocontrast leaves this image alone, as identity does: both count there */
    assert_true(all > DRAWS / OPS * 3 / 4 && all < DRAWS / OPS * (op == 0 ? 5 : 3) / 2);
    assert_true(!sided || (hits[op][0] > all / 3 && hits[op][1] > all / 3));
  }
  dt_test_choice_destroy(&choice);
}

typedef struct erased {
  int top, bottom, left, right, count; /* of the first plane */
} erased;

static erased find_erased(const uint8_t *image) {
  erased e = {SIDE, 0, SIDE, 0, 0};
  uint8_t before[BYTES];
  make_image(before);
  for (int i = 0; i < PLANE; i++) {
    if (image[i] == before[i]) continue;
    const int y = i / SIDE, x = i % SIDE;
    e.count++;
    e.top = y < e.top ? y : e.top;
    e.bottom = y >= e.bottom ? y + 1 : e.bottom;
    e.left = x < e.left ? x : e.left;
    e.right = x >= e.right ? x + 1 : e.right;
  }
  return e;
}

static void test_erase(void **state) {
  static double scale[] = {0.1, 0.3}, ratio[] = {0.5, 2};
  uint8_t image[BYTES];
  int times = 0, top[PARTS] = {0};
  dt_choice choice = dt_test_choice(dt_augment_kinds, "erase");
  set(&choice, "p", 0.3);
  set_range(&choice, "scale", scale, 2);
  set_range(&choice, "ratio", ratio, 2);
  for (int i = 0; i < DRAWS; i++) {
    change(&choice, i, image);
    const erased e = find_erased(image);
    if (e.count == 0) continue;
    const int height = e.bottom - e.top, width = e.right - e.left;
    times++;
    top[part_of((e.top + 0.5) / (SIDE - height + 1))]++;
    assert_int_equal(e.count, height * width);
    assert_true(e.count >= 0.085 * PLANE && e.count <= 0.325 * PLANE && height < SIDE && width < SIDE);
    for (int c = 0; c < 3; c++) assert_int_equal(image[c * PLANE + e.top * SIDE + e.left], 0);
  }
  assert_true(times > DRAWS * 0.27 && times < DRAWS * 0.33);
  check_uniform(top, times);
  dt_test_choice_destroy(&choice);
}

/* What is filled in: the mean of each channel, and bytes of which each comes as often. */
static void test_fills(void **state) {
  uint8_t image[BYTES];
  int hits[PARTS] = {0}, all = 0;
  dt_choice choice = dt_test_choice(dt_augment_kinds, "cutout");
  set(&choice, "p", 1);
  *(int64_t *)dt_test_choice_value(&choice, "size") = 6;
  *(int *)dt_test_choice_value(&choice, "fill") = 1;
  for (int i = 0; i < 100; i++) {
    change(&choice, i, image);
    const erased e = find_erased(image);
    uint8_t before[BYTES];
    make_image(before);
    for (int c = 0; c < 3; c++) {
      int sum = 0;
      for (int k = 0; k < PLANE; k++) sum += before[c * PLANE + k];
      assert_int_equal(image[c * PLANE + e.top * SIDE + e.left], (int)(sum / (double)PLANE + 0.5));
    }
  }
  *(int *)dt_test_choice_value(&choice, "fill") = 2;
  for (int i = 0; i < 100; i++) {
    change(&choice, i, image);
    const erased e = find_erased(image);
    for (int k = 0; k < BYTES; k++) {
      const int y = k % PLANE / SIDE, x = k % SIDE;
      if (y < e.top || y >= e.bottom || x < e.left || x >= e.right) continue;
      hits[part_of(image[k] / 256.0)]++;
      all++;
    }
  }
  check_uniform(hits, all);
  dt_test_choice_destroy(&choice);
}

/* The middle is any pixel: the square is cut where it leaves the image. */
static void test_cutout(void **state) {
  enum { SIZE = 6 };
  uint8_t image[BYTES];
  int whole = 0;
  dt_choice choice = dt_test_choice(dt_augment_kinds, "cutout");
  set(&choice, "p", 1);
  *(int64_t *)dt_test_choice_value(&choice, "size") = SIZE;
  for (int i = 0; i < DRAWS; i++) {
    change(&choice, i, image);
    const erased e = find_erased(image);
    const int height = e.bottom - e.top, width = e.right - e.left;
    assert_int_equal(e.count, height * width);
    assert_true(height >= SIZE / 2 && height <= SIZE && width >= SIZE / 2 && width <= SIZE);
    whole += e.count == SIZE * SIZE;
  }
  const double inside = (SIDE - SIZE + 1) / (double)SIDE;
  assert_true(fabs(whole / (double)DRAWS - inside * inside) < 0.04);
  dt_test_choice_destroy(&choice);
}

/* Angles and factors are uniform: read off where the image's plain half ends up is left to the numbers; here that p and the
 * range are obeyed. */
static void test_turns_and_parts(void **state) {
  static double one[] = {1, 1};
  uint8_t image[BYTES], before[BYTES];
  make_image(before);
  const char *const kinds[] = {"rotate", "scale", "resized_crop"};
  for (int k = 0; k < 3; k++) {
    dt_choice choice = dt_test_choice(dt_augment_kinds, kinds[k]);
    double range[] = {0.5, 0.7};
    int changed = 0;
    set(&choice, "p", 0.4);
    if (k == 0) set(&choice, "degrees", 30);
    if (k == 1) set_range(&choice, "range", range, 2);
    if (k == 2) set_range(&choice, "scale", range, 2);
    if (k == 2) set_range(&choice, "ratio", one, 2);
    for (int i = 0; i < DRAWS; i++) {
      change(&choice, i, image);
      changed += memcmp(image, before, BYTES) != 0;
    }
    assert_true(changed > DRAWS * 0.37 && changed < DRAWS * 0.43);
    set(&choice, "p", 1);
    if (k == 0) set(&choice, "degrees", 0);
    range[0] = range[1] = 1;
    change(&choice, 1, image);
    assert_memory_equal(image, before, BYTES);
    dt_test_choice_destroy(&choice);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_math),
      cmocka_unit_test(test_blocks_differ),
      cmocka_unit_test(test_boxes),
      cmocka_unit_test(test_boxes_are_tried_ten_times),
      cmocka_unit_test(test_colour_orders),
      cmocka_unit_test(test_colour_range),
      cmocka_unit_test(test_randaugment),
      cmocka_unit_test(test_erase),
      cmocka_unit_test(test_fills),
      cmocka_unit_test(test_cutout),
      cmocka_unit_test(test_turns_and_parts),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
