/* Odd and broken JPEG files of several programs, each as libjpeg-turbo's djpeg found it: size, mean of each channel, or that it
 * is refused. Of those that djpeg complains of, whatever could be missing pixels is refused here. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/image.h"
#include "support/unit.h"

enum { LINE = 1024, FILE_MAX = 1 << 20, COLUMNS = 13 };

static char folder[LINE];

static size_t read_file(const char *name, uint8_t *to) {
  char path[2 * LINE];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *file = fopen(path, "rb");
  assert_non_null(file);
  const size_t count = fread(to, 1, FILE_MAX, file);
  fclose(file);
  return count;
}

/* djpeg complains, but of bytes between the segments or of Adobe's marker. */
static bool is_harmless(const char *name) {
  static const char *const names[] = {"pil_jpeg_ff00_header.jpg", "pil_junk_jpeg_header.jpg", "pil_photoshop-200dpi-broken.jpg",
                                      "pil_truncated_app14.jpg"};
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
    if (strcmp(name, names[i]) == 0) return true;
  }
  return false;
}

static void check_means(const char *name, const dt_image *image, const char *means) {
  const int64_t pixels = image->width * image->height;
  for (int c = 0; c < image->channels; c++) {
    double sum = 0;
    char *end;
    const double expected = strtod(means, &end);
    for (int64_t i = 0; i < pixels; i++) sum += image->pixels[i * image->channels + c];
    if (sum / (double)pixels < expected - 1 || sum / (double)pixels > expected + 1)
      fail_msg("%s: found mean %g in channel %d, expected %g", name, sum / (double)pixels, c, expected);
    means = *end == ',' ? end + 1 : end;
  }
}

static void check_file(char *const column[COLUMNS], uint8_t *room) {
  const char *name = column[0];
  const bool inside_is_png = strcmp(name, "gen_png_inside.jpg") == 0; /* which djpeg does not read */
  const bool whole = strcmp(column[2], "ok") == 0 || is_harmless(name) || inside_is_png;
  dt_image image;
  char why[DT_IMAGE_WHY] = "";
  const dt_status status = dt_image_decode(room, read_file(name, room), &image, why);
  if (status != (whole ? DT_OK : DT_DATA)) fail_msg("%s: status %d, %s", name, status, why);
  if (status != DT_OK) {
    assert_true(why[0] != '\0');
    return;
  }
  const bool lies = column[11][0] >= '5' && column[11][0] <= '8'; /* EXIF's orientation */
  if (!inside_is_png) {
    assert_int_equal(image.width, atoi(column[lies ? 4 : 3]));
    assert_int_equal(image.height, atoi(column[lies ? 3 : 4]));
    assert_int_equal(image.channels, column[5][0] == '1' ? 1 : 3);
    check_means(name, &image, column[12]);
  }
  dt_image_destroy(&image);
}

static void test_as_djpeg(void **state) {
  char path[2 * LINE], line[LINE];
  uint8_t *room = malloc(FILE_MAX);
  int files = 0;
  snprintf(path, sizeof path, "%s/expected.tsv", folder);
  FILE *table = fopen(path, "r");
  assert_non_null(fgets(line, sizeof line, table));
  while (fgets(line, sizeof line, table) != NULL) {
    char *column[COLUMNS], *at = line;
    for (int c = 0; c < COLUMNS; c++) assert_non_null(column[c] = strsep(&at, "\t"));
    check_file(column, room);
    files++;
  }
  fclose(table);
  free(room);
  assert_true(files > 60);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_as_djpeg)};
  const char *data = getenv("DTRAIN_DATA");
  snprintf(folder, sizeof folder, "%s/images/odd-jpeg", data != NULL ? data : "");
  char path[2 * LINE];
  snprintf(path, sizeof path, "%s/expected.tsv", folder);
  FILE *table = fopen(path, "r");
  if (table == NULL) {
    printf("SKIP: data.odd_jpeg, there is no $DTRAIN_DATA/images/odd-jpeg\n");
    return 77;
  }
  fclose(table);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
