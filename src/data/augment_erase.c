/* Augmentations that hide a part of what an input reads: erase (Zhong et al., "Random erasing data augmentation", 2017) and
 * cutout (DeVries and Taylor, "Improved regularization of convolutional neural networks with cutout", 2017). */
#include <stdio.h>
#include <string.h>

#include "core/config/rows.h"
#include "data/augment.h"

typedef enum fill { FILL_ZERO, FILL_MEAN, FILL_NOISE } fill;
static const char *const fill_names[] = {[FILL_ZERO] = "zero", [FILL_MEAN] = "mean", [FILL_NOISE] = "noise", NULL};
static const char fill_doc[] =
    "What takes the part's place: the byte 0; the mean of the image, each channel's own; or a random byte for each number.";

typedef struct erase_attr {
  double p;
  dt_reals scale, ratio;
  int fill;
} erase_attr;

typedef struct cutout_attr {
  int64_t size;
  double p;
  int fill;
} cutout_attr;

static uint8_t mean_of(const uint8_t *plane, int64_t count) {
  uint64_t sum = (uint64_t)count / 2;
  for (int64_t i = 0; i < count; i++) sum += plane[i];
  return (uint8_t)(sum / (uint64_t)count);
}

/* Bytes from blocks 16 on, as many blocks as the row needs. */
static void fill_noise(uint8_t *to, int64_t count, const dt_augment_key *key, uint32_t *block) {
  enum { FIRST = 16, BYTES = sizeof(dt_rng_block) };
  for (int64_t i = 0; i < count; i += BYTES) {
    const dt_rng_block random = dt_augment_block(key, FIRST + (*block)++);
    for (int64_t k = 0; k < BYTES && i + k < count; k++) to[i + k] = (uint8_t)(random.word[k / 4] >> 8 * (k % 4));
  }
}

static void erase_box(const dt_augment_image *image, const dt_augment_key *key, const dt_box *box, int with) {
  const int64_t channels = image->shape->dim[0], height = image->shape->dim[1], width = image->shape->dim[2];
  uint32_t block = 0;
  for (int64_t c = 0; c < channels; c++) {
    uint8_t *plane = image->pixels + c * height * width;
    const int value = with == FILL_MEAN ? mean_of(plane, height * width) : 0;
    for (int64_t y = box->top; y < box->top + box->height; y++) {
      uint8_t *to = plane + y * width + box->left;
      if (with == FILL_NOISE)
        fill_noise(to, box->width, key, &block);
      else
        memset(to, value, (size_t)box->width);
    }
  }
}

static void erase_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const erase_attr *a = attr;
  const dt_box_rule rule = {.scale = a->scale.value, .ratio = a->ratio.value, .upright = true};
  dt_box box;
  if (!image->is_input || !dt_draw_chance(dt_augment_block(key, 0).word[0], a->p)) return;
  if (dt_draw_box(key, 1, &rule, image->shape->dim[1], image->shape->dim[2], &box)) erase_box(image, key, &box, a->fill);
}

/* The middle of the square is any pixel, so that a part of the square may lie outside, as in the paper. */
static void cutout_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const cutout_attr *a = attr;
  const int64_t height = image->shape->dim[1], width = image->shape->dim[2];
  const dt_rng_block random = dt_augment_block(key, 0);
  if (!image->is_input || !dt_draw_chance(random.word[0], a->p)) return;
  dt_box box = {.top = dt_draw_below(random.word[1], height) - a->size / 2,
                .left = dt_draw_below(random.word[2], width) - a->size / 2};
  int64_t bottom = box.top + a->size, right = box.left + a->size;
  if (box.top < 0) box.top = 0;
  if (box.left < 0) box.left = 0;
  if (bottom > height) bottom = height;
  if (right > width) right = width;
  box.height = bottom - box.top;
  box.width = right - box.left;
  erase_box(image, key, &box, a->fill);
}

static dt_status erase_check(const void *attr) {
  const erase_attr *a = attr;
  DT_TRY(dt_check_range(&a->scale, "scale"));
  return dt_check_range(&a->ratio, "ratio");
}

/* Noise has 2^24 blocks a sample, of which a row of a channel takes whole ones. */
static void refuse_noise(int with, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  enum { MOST = 1 << 23 };
  if (with == FILL_NOISE && dt_shape_count(shape) > MOST)
    snprintf(why, DT_AUGMENT_WHY, "found an image of %lld bytes, expected at most %d to fill with noise",
             (long long)dt_shape_count(shape), MOST);
}

static void erase_refuse(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  refuse_noise(((const erase_attr *)attr)->fill, shape, why);
}

static void cutout_refuse(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  const cutout_attr *a = attr;
  const int64_t height = shape->dim[1], width = shape->dim[2], least = height < width ? height : width;
  if (a->size >= 2 * least)
    snprintf(why, DT_AUGMENT_WHY, "found %lld pixels, expected fewer than %lld: nothing of an image of %lld x %lld may be left",
             (long long)a->size, (long long)(2 * least), (long long)height, (long long)width);
  else
    refuse_noise(a->fill, shape, why);
}

static const dt_option erase_options[] = {
    DT_ROW_REAL("p", offsetof(erase_attr, p), "0.5", 0, 1, "Probability."),
    DT_ROW_REALS("scale", offsetof(erase_attr, scale), "[0.02, 0.33]", 0, 1,
                 "Least and largest part of the image's area that is erased."),
    DT_ROW_REALS("ratio", offsetof(erase_attr, ratio), "[0.3, 3.3]", 0.01, 100,
                 "Least and largest height / width of the part."),
    DT_ROW_ENUM("fill", offsetof(erase_attr, fill), "zero", fill_names, fill_doc),
    {.name = NULL},
};

static const dt_option cutout_options[] = {
    DT_ROW_INT("size", offsetof(cutout_attr, size), "8", 1, 8192, "Side of the square.", .unit = "pixels"),
    DT_ROW_REAL("p", offsetof(cutout_attr, p), "1", 0, 1, "Probability."),
    DT_ROW_ENUM("fill", offsetof(cutout_attr, fill), "zero", fill_names, fill_doc),
    {.name = NULL},
};

static const dt_augment erase = {.change = erase_change, .refuse = erase_refuse},
                        cutout = {.change = cutout_change, .refuse = cutout_refuse};

const dt_kind dt_augment_erase = {
    .name = "erase",
    .doc =
        "Erases a rectangle of a random area, form and place in what inputs read: torchvision's RandomErasing (Zhong et al., "
        "2017).",
    .options = erase_options,
    .attr_bytes = sizeof(erase_attr),
    .positional = "p",
    .impl = &erase,
    .check = erase_check,
};

const dt_kind dt_augment_cutout = {
    .name = "cutout",
    .doc =
        "Erases a square around a random pixel in what inputs read; a part of the square may lie outside the image (DeVries "
        "and Taylor, 2017).",
    .options = cutout_options,
    .attr_bytes = sizeof(cutout_attr),
    .positional = "size",
    .impl = &cutout,
};
