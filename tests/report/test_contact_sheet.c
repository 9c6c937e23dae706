/* A contact sheet, read back by the library's decoder. */
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "report/contact_sheet.h"
#include "support/files.h"
#include "support/unit.h"

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

/* The file as [height][width][3]. Returns new (free). */
static uint8_t *read_png(const char *path, uint32_t *width, uint32_t *height) {
  FILE *file = fopen(path, "rb");
  spng_ctx *png = spng_ctx_new(0);
  struct spng_ihdr header;
  size_t bytes;
  assert_non_null(file);
  assert_int_equal(spng_set_png_file(png, file), 0);
  assert_int_equal(spng_get_ihdr(png, &header), 0);
  assert_int_equal(spng_decoded_image_size(png, SPNG_FMT_RGB8, &bytes), 0);
  uint8_t *pixels = malloc(bytes);
  assert_int_equal(spng_decode_image(png, pixels, bytes, SPNG_FMT_RGB8, 0), 0);
  spng_ctx_free(png);
  fclose(file);
  *width = header.width;
  *height = header.height;
  return pixels;
}

/* Images of 2 x 3 pixels, each shown as 21 x 21, between borders of 4 white ones; colours differ from place to place. */
static void check_sheet(int channels) {
  enum { HEIGHT = 2, WIDTH = 3, SCALE = 64 / 3, GAP = 4, ROWS = 2, COLUMNS = 3 };
  const dt_shape shape = {3, {channels, HEIGHT, WIDTH}};
  dt_contact_sheet sheet;
  char path[DT_TEST_PATH + 16];
  uint8_t image[3 * HEIGHT * WIDTH];
  assert_int_equal(dt_contact_sheet_create(&shape, ROWS, COLUMNS, &sheet), DT_OK);
  for (int place = 0; place < ROWS * COLUMNS; place++) {
    for (int i = 0; i < channels * HEIGHT * WIDTH; i++) image[i] = (uint8_t)(40 * place + 2 * i);
    dt_contact_sheet_put(&sheet, place / COLUMNS, place % COLUMNS, image);
  }
  snprintf(path, sizeof path, "%s/sheet.png", dir);
  assert_int_equal(dt_contact_sheet_write(&sheet, path), DT_OK);
  dt_contact_sheet_destroy(&sheet);
  uint32_t width, height;
  uint8_t *found = read_png(path, &width, &height);
  assert_int_equal(width, GAP + COLUMNS * (SCALE * WIDTH + GAP));
  assert_int_equal(height, GAP + ROWS * (SCALE * HEIGHT + GAP));
  for (uint32_t y = 0; y < height; y++) {
    for (uint32_t x = 0; x < width; x++) {
      const uint32_t row = y / (SCALE * HEIGHT + GAP), column = x / (SCALE * WIDTH + GAP);
      const uint32_t dy = y % (SCALE * HEIGHT + GAP), dx = x % (SCALE * WIDTH + GAP);
      for (uint32_t c = 0; c < 3; c++) {
        const uint32_t plane = channels == 3 ? c : 0;
        const uint32_t pixel = plane * HEIGHT * WIDTH + (dy - GAP) / SCALE * WIDTH + (dx - GAP) / SCALE;
        const uint32_t expected = dy < GAP || dx < GAP ? 255 : 40 * (row * COLUMNS + column) + 2 * pixel;
        assert_int_equal(found[(y * width + x) * 3 + c], expected);
      }
    }
  }
  free(found);
}

static void test_sheet(void **state) {
  check_sheet(1);
  check_sheet(3);
  check_sheet(2);
}

static void test_no_place(void **state) {
  const dt_shape shape = {3, {1, 1, 1}};
  dt_contact_sheet sheet;
  assert_int_equal(dt_contact_sheet_create(&shape, 1, 1, &sheet), DT_OK);
  assert_int_equal(dt_contact_sheet_write(&sheet, "/no/such/folder/sheet.png"), DT_IO);
  assert_non_null(strstr(dt_error_text(), "/no/such/folder/sheet.png: could not be made: No such file or directory"));
  dt_error_clear();
  assert_int_equal(dt_contact_sheet_write(&sheet, "/dev/full"), DT_IO);
  assert_int_equal(access("/dev/full", F_OK), 0); /* removed by root, it would be gone for all */
  dt_contact_sheet_destroy(&sheet);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_sheet), cmocka_unit_test(test_no_place)};
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
