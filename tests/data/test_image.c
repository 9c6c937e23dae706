/* Decoding and resizing: against Pillow's numbers (tests/oracles/make_images.py), against pixels that were put into a file, and
 * broken files of every kind, none of which may take memory or time beyond its size. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/pictures.h"
#include "support/unit.h"

static dt_image decode(const uint8_t *bytes, size_t count) {
  dt_image image;
  char why[DT_IMAGE_WHY];
  if (dt_image_decode(bytes, count, &image, why) != DT_OK) fail_msg("refused: found %s", why);
  return image;
}

static void check_refused(const uint8_t *bytes, size_t count, const char *expected) {
  dt_image image;
  char why[DT_IMAGE_WHY] = "";
  const dt_status status = dt_image_decode(bytes, count, &image, why);
  if (status != DT_DATA || strstr(why, expected) == NULL) fail_msg("status %d: \"%s\" has no \"%s\"", status, why, expected);
  assert_null(image.pixels);
}

static int largest_difference(const uint8_t *a, const uint8_t *b, int64_t count) {
  int largest = 0;
  for (int64_t i = 0; i < count; i++) {
    const int d = abs(a[i] - b[i]);
    if (d > largest) largest = d;
  }
  return largest;
}

static int hex_byte(const char *text) {
  unsigned value = 0;
  assert_int_equal(sscanf(text, "%2x", &value), 1);
  return (int)value;
}

/* Two roundings of a half may differ. */
static void test_pillows_numbers(void **state) {
  char line[16384];
  long long w, h, to_h, to_w, resize;
  int channels, to_channels, cases = 0;
  FILE *file = fopen(DT_TEST_SOURCE_DIR "/tests/oracles/data/images.txt", "r");
  assert_non_null(file);
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#') continue;
    assert_int_equal(sscanf(line, "%lld %lld %d -> %lld %lld %lld %d", &w, &h, &channels, &to_h, &to_w, &resize, &to_channels),
                     7);
    assert_non_null(fgets(line, sizeof line, file));
    const dt_image_fit fit = {.height = to_h, .width = to_w, .resize = resize, .channels = to_channels};
    const int64_t bytes = to_h * to_w * to_channels;
    uint8_t sample[8192], expected[8192];
    assert_true(bytes <= (int64_t)sizeof sample && (int64_t)strlen(line) >= 2 * bytes);
    for (int64_t i = 0; i < bytes; i++) expected[i] = (uint8_t)hex_byte(line + 2 * i);
    dt_image image = dt_test_picture(w, h, channels);
    assert_int_equal(dt_image_sample(&image, &fit, sample), DT_OK);
    if (largest_difference(sample, expected, bytes) > 1)
      fail_msg("case %d: off by %d", cases, largest_difference(sample, expected, bytes));
    dt_image_destroy(&image);
    cases++;
  }
  fclose(file);
  assert_int_equal(cases, 11);
}

static void test_files_keep_pixels(void **state) {
  for (int channels = 1; channels <= 3; channels += 2) {
    const dt_image smooth = dt_test_smooth_picture(61, 47, channels, 1), rough = dt_test_picture(61, 47, channels);
    size_t bytes;
    uint8_t *png = dt_test_png(&rough, &bytes);
    dt_image image = decode(png, bytes);
    assert_true(image.width == 61 && image.height == 47 && image.channels == channels);
    assert_memory_equal(image.pixels, rough.pixels, 61 * 47 * channels);
    dt_image_destroy(&image);
    free(png);
    for (int form = DT_TEST_BASELINE; form <= (channels == 3 ? DT_TEST_SCANS : DT_TEST_PROGRESSIVE); form++) {
      uint8_t *jpeg = dt_test_jpeg(&smooth, form, 0, &bytes);
      image = decode(jpeg, bytes);
      assert_true(image.width == 61 && image.height == 47 && image.channels == channels);
      assert_true(largest_difference(image.pixels, smooth.pixels, 61 * 47 * channels) <= 8);
      dt_image_destroy(&image);
      free(jpeg);
    }
    free(smooth.pixels);
    free(rough.pixels);
  }
}

/* What EXIF's table says of the stored rows and columns: where the first stored pixel and the last of its row are seen. */
static void test_orientation(void **state) {
  enum { TOP = 0, BOTTOM = 1, LEFT = 0, RIGHT = 1 };
  static const struct {
    int row, column, end_row, end_column; /* of the corner */
  } seen[9] = {[1] = {TOP, LEFT, TOP, RIGHT},       [2] = {TOP, RIGHT, TOP, LEFT},   [3] = {BOTTOM, RIGHT, BOTTOM, LEFT},
               [4] = {BOTTOM, LEFT, BOTTOM, RIGHT}, [5] = {TOP, LEFT, BOTTOM, LEFT}, [6] = {TOP, RIGHT, BOTTOM, RIGHT},
               [7] = {BOTTOM, RIGHT, TOP, RIGHT},   [8] = {BOTTOM, LEFT, TOP, LEFT}};
  dt_image stored = {.width = 32, .height = 16, .channels = 1, .pixels = malloc(32 * 16)};
  for (int i = 0; i < 32 * 16; i++) stored.pixels[i] = i / 32 < 8 ? (i % 32 < 8 ? 250 : i % 32 >= 24 ? 170 : 90) : 10;
  for (int o = 1; o <= 8; o++) {
    size_t bytes;
    uint8_t *jpeg = dt_test_jpeg(&stored, DT_TEST_BASELINE, o, &bytes);
    dt_image image = decode(jpeg, bytes);
    assert_int_equal(image.width, o >= 5 ? 16 : 32);
    const int64_t last = image.width - 1, low = image.height - 1;
    const uint8_t first = image.pixels[(seen[o].row ? low : 0) * image.width + (seen[o].column ? last : 0)];
    const uint8_t end = image.pixels[(seen[o].end_row ? low : 0) * image.width + (seen[o].end_column ? last : 0)];
    if (abs(first - 250) > 8 || abs(end - 170) > 8) fail_msg("orientation %d: corners %d and %d", o, first, end);
    dt_image_destroy(&image);
    free(jpeg);
  }
  free(stored.pixels);
}

/* Two pixels each: their bytes behind the filter byte, and what they are seen as. */
static void test_kinds_of_png(void **state) {
  static const uint8_t palette[] = {1, 2, 3, 40, 50, 60, 7, 8, 9};
  static const struct {
    int type, depth, channels;
    uint8_t row[17], pixels[6];
    size_t row_bytes;
  } cases[] = {
      {0, 1, 1, {0, 0x40}, {0, 255}, 2},
      {0, 2, 1, {0, 0x90}, {170, 85}, 2},
      {0, 4, 1, {0, 0x1f}, {17, 255}, 2},
      {0, 16, 1, {0, 0x12, 0x34, 0xfe, 0xff}, {0x12, 0xfe}, 5},
      {4, 8, 1, {0, 77, 9, 88, 255}, {77, 88}, 5},
      {2, 16, 3, {0, 1, 255, 2, 255, 3, 255, 4, 0, 5, 0, 6, 0}, {1, 2, 3, 4, 5, 6}, 13},
      {6, 8, 3, {0, 1, 2, 3, 0, 4, 5, 6, 255}, {1, 2, 3, 4, 5, 6}, 9},
      {3, 8, 3, {0, 2, 1}, {7, 8, 9, 40, 50, 60}, 3},
      {3, 2, 3, {0, 0x80}, {7, 8, 9, 1, 2, 3}, 2},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    size_t bytes;
    uint8_t *png = dt_test_png_raw(2, 1, cases[i].type, cases[i].depth, cases[i].row, cases[i].row_bytes,
                                   cases[i].type == 3 ? palette : NULL, cases[i].type == 3 ? sizeof palette : 0, &bytes);
    dt_image image = decode(png, bytes);
    assert_int_equal(image.channels, cases[i].channels);
    assert_memory_equal(image.pixels, cases[i].pixels, 2 * (size_t)cases[i].channels);
    dt_image_destroy(&image);
    free(png);
  }
}

static void test_cut_short(void **state) {
  const dt_image picture = dt_test_smooth_picture(40, 30, 3, 2);
  size_t bytes;
  for (int kind = 0; kind < 3; kind++) {
    uint8_t *file = kind == 2 ? dt_test_png(&picture, &bytes) : dt_test_jpeg(&picture, kind, 0, &bytes);
    const size_t end = kind == 2 ? bytes - 12 : bytes; /* a PNG's last chunk holds nothing */
    for (size_t cut = 0; cut < end; cut += 7) {
      uint8_t *part = malloc(cut + 1);
      memcpy(part, file, cut);
      check_refused(part, cut, cut == 0 ? "an empty file" : "");
      free(part);
    }
    free(file);
  }
  free(picture.pixels);
}

static void test_damaged(void **state) {
  const dt_image picture = dt_test_smooth_picture(64, 64, 3, 3);
  size_t bytes;
  uint8_t *png = dt_test_png(&picture, &bytes);
  png[bytes / 2] ^= 1;
  check_refused(png, bytes, "a PNG image that libspng refuses");
  png[bytes / 2] ^= 1;
  uint8_t *animated = malloc(bytes + 20);
  const size_t head = 8 + 25; /* the signature and IHDR */
  memcpy(animated, png, head);
  memcpy(animated + head,
         "\0\0\0\x08"
         "acTL"
         "\0\0\0\1\0\0\0\0"
         "\0\0\0\0",
         20);
  memcpy(animated + head + 20, png + head, bytes - head);
  check_refused(animated, bytes + 20, "an animated PNG image, which is not supported");
  free(animated);
  free(png);
  free(picture.pixels);
  check_refused((const uint8_t *)"hello", 5, "a file that is no image");
  check_refused((const uint8_t *)"GIF89a..", 8, "a GIF file, which is not supported");
  check_refused((const uint8_t *)"RIFF\1\2\3\4WEBPVP8 ", 16, "a WebP file, which is not supported");
  check_refused((const uint8_t *)"\xff\xd8\xff", 3, "cut short");
}

/* What stands beside the pixels is no matter: a zip file behind them, 300 segments of 64 KiB before. */
static void test_other_contents(void **state) {
  enum { SEGMENTS = 300, SEGMENT = 65535 + 2 };
  const dt_image picture = dt_test_smooth_picture(24, 16, 3, 6);
  size_t bytes;
  uint8_t *jpeg = dt_test_jpeg(&picture, DT_TEST_BASELINE, 0, &bytes), *more = calloc(1, bytes + SEGMENTS * SEGMENT + 4);
  memcpy(more, jpeg, 2);
  for (int s = 0; s < SEGMENTS; s++)
    memcpy(more + 2 + s * SEGMENT,
           s % 2 == 0 ? "\xff\xe1\xff\xff"
                        "Exif"
                      : "\xff\xe2\xff\xff"
                        "ICC_",
           8);
  memcpy(more + 2 + SEGMENTS * SEGMENT, jpeg + 2, bytes - 2);
  memcpy(more + SEGMENTS * SEGMENT + bytes, "PK\3\4", 4);
  dt_image plain = decode(jpeg, bytes), other = decode(more, bytes + SEGMENTS * SEGMENT + 4);
  assert_memory_equal(plain.pixels, other.pixels, 24 * 16 * 3);
  dt_image_destroy(&plain);
  dt_image_destroy(&other);
  free(more);
  free(jpeg);
  free(picture.pixels);
}

/* SOF0 that claims a picture of 65535 x 65500 pixels, in 200 bytes; a PNG of the same kind; rows that unpack to too much. */
static void test_claims(void **state) {
  const dt_image picture = dt_test_smooth_picture(16, 16, 1, 4);
  size_t bytes;
  uint8_t *jpeg = dt_test_jpeg(&picture, DT_TEST_BASELINE, 0, &bytes), *sof = memmem(jpeg, bytes, "\xff\xc0", 2);
  assert_non_null(sof);
  memcpy(sof + 5, "\xff\xdc\xff\xdc", 4);
  check_refused(jpeg, bytes, "a JPEG image of 65500 x 65500 pixels in");
  memcpy(sof + 5, "\x10\x00\x10\x00", 4);
  check_refused(jpeg, bytes, "a JPEG image of 4096 x 4096 pixels in");
  free(jpeg);
  const uint8_t row[] = {0, 1, 2};
  uint8_t *png = dt_test_png_raw(2000000, 2000000, 0, 8, row, sizeof row, NULL, 0, &bytes);
  check_refused(png, bytes, "a PNG image of 2000000 x 2000000 pixels");
  free(png);
  png = dt_test_png_raw(0, 5, 0, 8, row, sizeof row, NULL, 0, &bytes);
  check_refused(png, bytes, "");
  free(png);
  uint8_t *zeros = calloc(1, 1 << 22);
  png = dt_test_png_raw(2, 1, 0, 8, zeros, 1 << 22, NULL, 0, &bytes); /* more than the image has: not read */
  dt_image image;
  char why[DT_IMAGE_WHY];
  if (dt_image_decode(png, bytes, &image, why) == DT_OK) dt_image_destroy(&image);
  free(png);
  free(zeros);
  free(picture.pixels);
}

/* The last of an image's scans again and again, whole and well formed: each time all of the image would be gone over. */
static void test_scans(void **state) {
  enum { COPIES = 20000 };
  const dt_image picture = dt_test_smooth_picture(256, 256, 3, 5);
  size_t bytes, last = 0;
  uint8_t *jpeg = dt_test_jpeg(&picture, DT_TEST_SCANS, 0, &bytes);
  dt_image image = decode(jpeg, bytes);
  dt_image_destroy(&image);
  for (size_t i = 0; i + 1 < bytes; i++) {
    if (jpeg[i] == 0xff && jpeg[i + 1] == 0xda) last = i;
  }
  const size_t scan = bytes - 2 - last;
  uint8_t *bomb = malloc(last + COPIES * scan + 2);
  memcpy(bomb, jpeg, last);
  for (int i = 0; i < COPIES; i++) memcpy(bomb + last + (size_t)i * scan, jpeg + last, scan);
  memcpy(bomb + last + COPIES * scan, "\xff\xd9", 2);
  check_refused(bomb, last + COPIES * scan + 2, "a JPEG image of more than 200 scans");
  free(bomb);
  free(jpeg);
  free(picture.pixels);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_other_contents), cmocka_unit_test(test_pillows_numbers), cmocka_unit_test(test_files_keep_pixels),
      cmocka_unit_test(test_orientation),    cmocka_unit_test(test_kinds_of_png),    cmocka_unit_test(test_cut_short),
      cmocka_unit_test(test_damaged),        cmocka_unit_test(test_claims),          cmocka_unit_test(test_scans),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
