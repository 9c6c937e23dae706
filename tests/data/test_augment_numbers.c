/* What augmentations make of an image by given numbers, against what torchvision and Pillow make of it
 * (oracles/make_augment.py). Colours and tables are equal, byte for byte; what is resampled is off by 1 at most, since
 * torchvision takes its coordinates in floats of another form. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/augment.h"
#include "support/unit.h"

enum { HEIGHT = 20, WIDTH = 16, BYTES_MAX = 3 * HEIGHT * WIDTH, LINE = 2 * BYTES_MAX + 2, NUMBERS = 4, ROWS = 2 };

static void run_rotate(dt_augment_image *image, const double *n) {
  const dt_affine map = dt_affine_turn(image->shape, n[0], 1);
  dt_image_transform(image, &map);
}

static void run_scale(dt_augment_image *image, const double *n) {
  const dt_affine map = dt_affine_turn(image->shape, 0, n[0]);
  dt_image_transform(image, &map);
}

static void run_part(dt_augment_image *image, const double *n) {
  const dt_box box = {(int64_t)n[0], (int64_t)n[1], (int64_t)n[2], (int64_t)n[3]};
  dt_image_resize_part(image, &box);
}

static void run_brightness(dt_augment_image *image, const double *n) {
  dt_image_brightness(image, n[0]);
}

static void run_contrast(dt_augment_image *image, const double *n) {
  dt_image_contrast(image, n[0]);
}

static void run_saturation(dt_augment_image *image, const double *n) {
  dt_image_saturation(image, n[0]);
}

static void run_hue(dt_augment_image *image, const double *n) {
  dt_image_hue(image, n[0]);
}

static void run_sharpness(dt_augment_image *image, const double *n) {
  dt_image_sharpness(image, n[0]);
}

static void run_posterize(dt_augment_image *image, const double *n) {
  dt_image_posterize(image, (int)n[0]);
}

static void run_solarize(dt_augment_image *image, const double *n) {
  dt_image_solarize(image, n[0]);
}

static void run_autocontrast(dt_augment_image *image, const double *n) {
  dt_image_autocontrast(image);
}

static void run_equalize(dt_augment_image *image, const double *n) {
  dt_image_equalize(image);
}

static void run_randaugment(dt_augment_image *image, const double *n) {
  dt_image_randaugment(image, (int)n[0], (int64_t)n[1], n[2] != 0);
}

/* Most of the bytes of each that may differ by 1, in hundredths. */
static const struct function {
  const char *name;
  void (*run)(dt_augment_image *image, const double *numbers);
  int off;
} functions[] = {
    {"rotate", run_rotate, 1},
    {"scale", run_scale, 1},
    {"part", run_part, 0},
    {"brightness", run_brightness, 0},
    {"contrast", run_contrast, 0},
    {"saturation", run_saturation, 0},
    {"hue", run_hue, 0},
    {"sharpness", run_sharpness, 0},
    {"posterize", run_posterize, 0},
    {"solarize", run_solarize, 0},
    {"autocontrast", run_autocontrast, 0},
    {"equalize", run_equalize, 0},
    {"randaugment", run_randaugment, 1},
};
enum { FUNCTIONS = sizeof functions / sizeof *functions };

/* As in make_augment.py. */
static void make(uint8_t *to, int channels, bool grey) {
  for (int c = 0; c < channels; c++) {
    const int tint = grey ? 0 : c;
    for (int y = 0; y < HEIGHT; y++) {
      for (int x = 0; x < WIDTH; x++)
        *to++ = (uint8_t)(x + y < 6 ? 90 + 30 * tint : (x * x * 3 + y * 7 + x * y * (tint + 1) + tint * 40) % 256);
    }
  }
}

static int digit(char c) {
  return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void check(const char *line, const struct function *function, const dt_shape *shape, const uint8_t *made,
                  const char *expected) {
  const int bytes = (int)dt_shape_count(shape);
  int off = 0;
  for (int i = 0; i < bytes; i++) {
    const int byte = digit(expected[2 * i]) * 16 + digit(expected[2 * i + 1]), difference = abs(made[i] - byte);
    off += difference != 0;
    if (difference > (function->off > 0)) fail_msg("%s: found %d at place %d, expected %d", line, made[i], i, byte);
  }
  if (off * 100 > bytes * function->off) fail_msg("%s: %d of %d bytes are off by 1", line, off, bytes);
}

static void test_numbers(void **state) {
  char line[ROWS][LINE], name[32];
  int cases = 0, seen[FUNCTIONS] = {0};
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/augment.txt", "r");
  assert_non_null(file);
  assert_non_null(fgets(line[0], LINE, file)); /* who wrote it */
  for (; fgets(line[0], LINE, file) != NULL; cases++) {
    uint8_t pixels[BYTES_MAX];
    uint64_t scratch[BYTES_MAX];
    double number[NUMBERS] = {0};
    int channels, grey, f = 0;
    assert_non_null(fgets(line[1], LINE, file));
    line[0][strcspn(line[0], "\n")] = '\0';
    assert_true(sscanf(line[0], "%31s %d %d %lf %lf %lf %lf", name, &channels, &grey, &number[0], &number[1], &number[2],
                       &number[3]) >= 3);
    while (f < FUNCTIONS && strcmp(functions[f].name, name) != 0) f++;
    assert_true(f < FUNCTIONS);
    const dt_shape shape = {3, {channels, HEIGHT, WIDTH}};
    assert_int_equal(strlen(line[1]), 2 * dt_shape_count(&shape) + 1);
    dt_augment_image image = {.shape = &shape, .pixels = pixels, .scratch = scratch, .is_input = true};
    make(pixels, channels, grey != 0);
    functions[f].run(&image, number);
    check(line[0], &functions[f], &shape, pixels, line[1]);
    seen[f]++;
  }
  fclose(file);
  for (int f = 0; f < FUNCTIONS; f++) assert_true(seen[f] > 0);
  print_message("             %d cases\n", cases);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_numbers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
