#include "support/digits.h"

#include <stdlib.h>

#include "core/rng.h"
#include "support/files.h"

enum { ROWS = 7, COLUMNS = 5, SEED = 20 };

/* One bit for each dot, the left column in the highest. */
static const uint8_t glyph[10][ROWS] = {
    {0x0E, 0x11, 0x13, 0x15, 0x19, 0x11, 0x0E}, {0x04, 0x0C, 0x04, 0x04, 0x04, 0x04, 0x0E},
    {0x0E, 0x11, 0x01, 0x02, 0x04, 0x08, 0x1F}, {0x1F, 0x02, 0x04, 0x02, 0x01, 0x11, 0x0E},
    {0x02, 0x06, 0x0A, 0x12, 0x1F, 0x02, 0x02}, {0x1F, 0x10, 0x1E, 0x01, 0x01, 0x11, 0x0E},
    {0x06, 0x08, 0x10, 0x1E, 0x11, 0x11, 0x0E}, {0x1F, 0x01, 0x02, 0x04, 0x08, 0x08, 0x08},
    {0x0E, 0x11, 0x11, 0x0E, 0x11, 0x11, 0x0E}, {0x0E, 0x11, 0x11, 0x0F, 0x01, 0x02, 0x0C},
};

static int below(uint32_t word, int limit) {
  return (int)((uint64_t)word * (uint64_t)limit >> 32);
}

/* Draws one digit somewhere in the picture, with ink and noise of its own. Returns its label. */
static uint8_t draw(int set, int sample, int size, uint8_t *picture) {
  const dt_rng_block choice = dt_rng(SEED, DT_RNG_INIT, (uint64_t)set, (uint64_t)sample, 0);
  const int label = below(choice.word[0], 10), ink = 120 + below(choice.word[3], 100);
  const int height = size * 3 / 4, width = size * 9 / 16;
  const int top = below(choice.word[1], size - height + 1), left = below(choice.word[2], size - width + 1);
  for (int i = 0; i < size * size; i++) {
    const int y = i / size - top, x = i % size - left;
    const bool inside = y >= 0 && y < height && x >= 0 && x < width;
    const bool dot = inside && glyph[label][y * ROWS / height] >> (COLUMNS - 1 - x * COLUMNS / width) & 1;
    const dt_rng_block noise = dt_rng(SEED, DT_RNG_INIT, (uint64_t)set, (uint64_t)sample, 1 + (uint32_t)(i / 4));
    picture[i] = (uint8_t)((dot ? ink : 0) + below(noise.word[i % 4], 36));
  }
  return (uint8_t)label;
}

static dt_status write_idx(const char *dir, const char *name, const uint32_t *dim, int ndim, const uint8_t *body,
                           size_t bytes) {
  uint8_t *file;
  size_t file_bytes = 0;
  DT_TRY(dt_test_idx(dim, ndim, body, bytes, &file, &file_bytes));
  const dt_status status = dt_test_write_file(dir, name, file, file_bytes);
  free(file);
  return status;
}

static dt_status write_set(const char *dir, int set, int count, int size, const char *images_name, const char *labels_name) {
  const size_t picture_bytes = (size_t)(size * size);
  const uint32_t dim[] = {(uint32_t)count, (uint32_t)size, (uint32_t)size};
  dt_status status;
  uint8_t *pictures = NULL, *labels = NULL;
  DT_TRY_GOTO(done, dt_alloc((size_t)count, picture_bytes, &pictures));
  DT_TRY_GOTO(done, dt_alloc((size_t)count, 1, &labels));
  for (int i = 0; i < count; i++) labels[i] = draw(set, i, size, pictures + (size_t)i * picture_bytes);
  DT_TRY_GOTO(done, write_idx(dir, images_name, dim, 3, pictures, (size_t)count * picture_bytes));
  DT_TRY_GOTO(done, write_idx(dir, labels_name, dim, 1, labels, (size_t)count));
done:
  free(labels);
  free(pictures);
  return status;
}

dt_status dt_test_write_digits(const char *dir, int train, int eval, int size) {
  DT_REQUIRE(size >= 10 && train > 0 && eval > 0, DT_USAGE, "found size %d, %d and %d pictures, expected 10, 1 and 1 or more",
             size, train, eval);
  DT_TRY(write_set(dir, 0, train, size, "train-images-idx3-ubyte", "train-labels-idx1-ubyte"));
  return write_set(dir, 1, eval, size, "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte");
}
