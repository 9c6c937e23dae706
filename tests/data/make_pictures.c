/* make_pictures DIR [BROKEN]: folders DIR/train and DIR/eval with three classes of images each, for a test that runs the
 * program itself; with BROKEN, three of train's are cut short. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/files.h"
#include "support/pictures.h"

enum { CLASSES = 3, TRAIN = 15, EVAL = 5 };

static dt_status put(const char *dir, const char *set, int class, int i, bool cut) {
  char path[2 * DT_TEST_PATH], name[32];
  const dt_image image = dt_test_smooth_picture(40 + i, 36 + 2 * class, i % 5 == 4 ? 1 : 3, (unsigned)(class * 100 + i));
  size_t bytes;
  uint8_t *file = i % 2 == 0 ? dt_test_png(&image, &bytes) : dt_test_jpeg(&image, i % 3, i % 9, &bytes);
  snprintf(path, sizeof path, "%s/%s", dir, set);
  mkdir(path, 0700);
  snprintf(path, sizeof path, "%s/%s/kind%d", dir, set, class);
  mkdir(path, 0700);
  snprintf(name, sizeof name, "%02d.%s", i, i % 2 == 0 ? "png" : "jpg");
  const dt_status status = dt_test_write_file(path, name, file, cut ? bytes / 2 : bytes);
  free(file);
  free(image.pixels);
  return status;
}

int main(int argc, char **argv) {
  if (argc < 2 || argc > 3) {
    fprintf(stderr, "usage: make_pictures DIR [BROKEN]\n");
    return 2;
  }
  dt_status status = DT_OK;
  for (int class = 0; class < CLASSES && status == DT_OK; class ++) {
    for (int i = 0; i < TRAIN && status == DT_OK; i++) status = put(argv[1], "train", class, i, argc > 2 && i == 4 * class + 1);
    for (int i = 0; i < EVAL && status == DT_OK; i++) status = put(argv[1], "eval", class, 50 + i, false);
  }
  if (status != DT_OK) fprintf(stderr, "make_pictures: %s\n", dt_error_text());
  return dt_status_exit_code(status);
}
