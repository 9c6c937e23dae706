/* Augmentations of images in bytes. Each draws from its own block, so that leaving one out or putting one in changes no other.
 */
#include <string.h>

#include "core/config/rows.h"
#include "data/data.h"

typedef struct augment_attr {
  int64_t pixels;
} augment_attr;

/* A whole number in [-limit, limit], each as likely as the other to within 2^-32 * (2 limit + 1). */
static int64_t draw_offset(uint32_t word, int64_t limit) {
  return (int64_t)((uint64_t)word * (uint64_t)(2 * limit + 1) >> 32) - limit;
}

/* to[y][x] = from[y + dy][x + dx], 0 outside. */
static void augment_plane(const uint8_t *from, int64_t height, int64_t width, int64_t dy, int64_t dx, uint8_t *to) {
  const int64_t first = dx < 0 ? -dx : 0, end = dx > 0 ? width - dx : width;
  for (int64_t y = 0; y < height; y++) {
    uint8_t *row = to + y * width;
    memset(row, 0, (size_t)width);
    if (y + dy < 0 || y + dy >= height || first >= end) continue;
    memcpy(row + first, from + (y + dy) * width + first + dx, (size_t)(end - first));
  }
}

static void mirror_rows(uint8_t *sample, int64_t rows, int64_t width) {
  for (int64_t y = 0; y < rows; y++) {
    uint8_t *row = sample + y * width;
    for (int64_t left = 0, right = width - 1; left < right; left++, right--) {
      const uint8_t swapped = row[left];
      row[left] = row[right];
      row[right] = swapped;
    }
  }
}

dt_augmentation dt_augmentation_draw(const dt_choices *augment, uint64_t seed, int64_t epoch, int64_t index, int i) {
  const dt_choice *choice = &augment->item[i];
  const dt_augment *functions = choice->kind->impl;
  return functions->draw(choice->attr, dt_rng(seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)index, (uint32_t)i));
}

void dt_augmentation_apply(dt_augmentation move, const dt_shape *shape, uint8_t *sample, uint8_t *scratch) {
  const int64_t channels = shape->dim[0], height = shape->dim[1], width = shape->dim[2], plane = height * width;
  if (move.flip) mirror_rows(sample, channels * height, width);
  if (move.dy == 0 && move.dx == 0) return;
  memcpy(scratch, sample, (size_t)(channels * plane));
  for (int64_t c = 0; c < channels; c++) {
    augment_plane(scratch + c * plane, height, width, move.dy, move.dx, sample + c * plane);
  }
}

/* Shift, and the random crop of the padded image, which shows the same pixels. */
static dt_augmentation shift_draw(const void *attr, dt_rng_block random) {
  const int64_t limit = ((const augment_attr *)attr)->pixels;
  return (dt_augmentation){.dy = (int16_t)draw_offset(random.word[0], limit),
                           .dx = (int16_t)draw_offset(random.word[1], limit)};
}

static int64_t shift_reach(const void *attr) {
  return ((const augment_attr *)attr)->pixels;
}

static dt_augmentation flip_draw(const void *attr, dt_rng_block random) {
  return (dt_augmentation){.flip = (int32_t)(random.word[0] >> 31)};
}

static const dt_option shift_options[] = {
    DT_ROW_INT("max", offsetof(augment_attr, pixels), NULL, 0, 4096, "Largest shift in each direction.", .unit = "pixels"),
    {.name = NULL},
};

static const dt_option crop_options[] = {
    DT_ROW_INT("pad", offsetof(augment_attr, pixels), "4", 0, 4096,
               "Zeros put around the image before it is cropped back to its size.", .unit = "pixels"),
    {.name = NULL},
};

static const dt_augment shift = {.draw = shift_draw, .reach = shift_reach}, flip = {.draw = flip_draw};

static const dt_kind shift_kind = {
    .name = "shift",
    .doc = "Moves the image by a random number of pixels, each direction on its own; zeros come in at the edges.",
    .options = shift_options,
    .attr_bytes = sizeof(augment_attr),
    .positional = "max",
    .impl = &shift,
};

static const dt_kind flip_kind = {
    .name = "flip",
    .doc = "Mirrors left and right with probability 1/2.",
    .impl = &flip,
};

static const dt_kind crop_kind = {
    .name = "crop",
    .doc = "Pads with zeros and crops a random window of the image's own size.",
    .options = crop_options,
    .attr_bytes = sizeof(augment_attr),
    .positional = "pad",
    .impl = &shift,
};

/* clang-format off */
const dt_kind *const dt_augment_kinds[] = {
    &shift_kind,
    &flip_kind,
    &crop_kind,
    NULL,
};
/* clang-format on */
