/* RandAugment (Cubuk et al., "RandAugment: practical automated data augmentation with a reduced search space", 2020), with the
 * operations and magnitudes of torchvision. */
#include <stdio.h>
#include <string.h>

#include "core/config/rows.h"
#include "data/augment.h"

enum { MAGNITUDES = 31 };

typedef struct randaugment_attr {
  int64_t ops, magnitude;
} randaugment_attr;

/* --- magnitudes --- */

/* The place of a magnitude between 0 and `most`, in floats as torch.linspace has it. */
static double linear(int64_t magnitude, double most) {
  const float step = (float)most / (MAGNITUDES - 1);
  if (magnitude < MAGNITUDES / 2) return step * (float)magnitude;
  return (float)most - step * (float)(MAGNITUDES - 1 - magnitude);
}

static double factor_of(int64_t magnitude, bool negative) {
  const double much = linear(magnitude, 0.9);
  return 1 + (negative ? -much : much);
}

/* --- geometry --- */

/* About the corner of the image, where no pixel's centre is. */
static void shear_x(const dt_augment_image *image, int64_t magnitude, bool negative) {
  const double much = linear(magnitude, 0.3), shear = negative ? -much : much;
  const dt_affine map = {.a = 1, .b = shear, .c = shear / 2, .e = 1};
  dt_image_transform(image, &map);
}

static void shear_y(const dt_augment_image *image, int64_t magnitude, bool negative) {
  const double much = linear(magnitude, 0.3), shear = negative ? -much : much;
  const dt_affine map = {.a = 1, .d = shear, .e = 1, .f = shear / 2};
  dt_image_transform(image, &map);
}

/* Whole pixels of 150 / 331 of the side at most. */
static int64_t distance(int64_t magnitude, bool negative, int64_t side) {
  const int64_t pixels = (int64_t)linear(magnitude, 150.0 / 331.0 * (double)side);
  return negative ? -pixels : pixels;
}

static void translate_x(const dt_augment_image *image, int64_t magnitude, bool negative) {
  const dt_affine map = {.a = 1, .e = 1, .c = -(double)distance(magnitude, negative, image->shape->dim[2])};
  dt_image_transform(image, &map);
}

static void translate_y(const dt_augment_image *image, int64_t magnitude, bool negative) {
  const dt_affine map = {.a = 1, .e = 1, .f = -(double)distance(magnitude, negative, image->shape->dim[1])};
  dt_image_transform(image, &map);
}

static void rotate(const dt_augment_image *image, int64_t magnitude, bool negative) {
  const double degrees = linear(magnitude, 30);
  const dt_affine map = dt_affine_turn(image->shape, negative ? -degrees : degrees, 1);
  dt_image_transform(image, &map);
}

/* --- colours --- */

static void brightness(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_brightness(image, factor_of(magnitude, negative));
}

static void colour(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_saturation(image, factor_of(magnitude, negative));
}

static void contrast(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_contrast(image, factor_of(magnitude, negative));
}

static void sharpness(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_sharpness(image, factor_of(magnitude, negative));
}

/* From 8 bits to 4. */
static void posterize(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_posterize(image, (int)(8 - (2 * 4 * magnitude + MAGNITUDES - 1) / (2 * (MAGNITUDES - 1))));
}

static void solarize(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_solarize(image, 255 - 8.5 * (double)magnitude);
}

static void autocontrast(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_autocontrast(image);
}

static void equalize(const dt_augment_image *image, int64_t magnitude, bool negative) {
  dt_image_equalize(image);
}

/* --- the operations --- */

static const struct operation {
  void (*change)(const dt_augment_image *image, int64_t magnitude, bool negative); /* NULL: identity */
  bool geometry;                                                                   /* of targets too */
} operations[] = {
    {NULL, false},      {shear_x, true},     {shear_y, true},       {translate_x, true}, {translate_y, true},
    {rotate, true},     {brightness, false}, {colour, false},       {contrast, false},   {sharpness, false},
    {posterize, false}, {solarize, false},   {autocontrast, false}, {equalize, false},
};

int dt_randaugment_ops(void) {
  return (int)(sizeof operations / sizeof *operations);
}

void dt_image_randaugment(const dt_augment_image *image, int op, int64_t magnitude, bool negative) {
  const struct operation *chosen = &operations[op];
  if (chosen->change != NULL && (image->is_input || chosen->geometry)) chosen->change(image, magnitude, negative);
}

static void randaugment_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const randaugment_attr *a = attr;
  for (int64_t i = 0; i < a->ops; i++) {
    const dt_rng_block random = dt_augment_block(key, (uint32_t)i);
    const int op = (int)dt_draw_below(random.word[0], dt_randaugment_ops());
    dt_image_randaugment(image, op, a->magnitude, random.word[1] >> 31 != 0);
  }
}

static void randaugment_refuse(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  const long long channels = shape->dim[0];
  if (channels != 1 && channels != 3) snprintf(why, DT_AUGMENT_WHY, "found %lld channels, expected 1 or 3", channels);
}

static const dt_option randaugment_options[] = {
    DT_ROW_INT("ops", offsetof(randaugment_attr, ops), "2", 1, 16, "Operations on a sample, one after another."),
    DT_ROW_INT("magnitude", offsetof(randaugment_attr, magnitude), "9", 0, MAGNITUDES - 1, "How strong each of them is."),
    {.name = NULL},
};

static const dt_augment randaugment = {.change = randaugment_change, .refuse = randaugment_refuse};

const dt_kind dt_augment_randaugment = {
    .name = "randaugment",
    .doc =
        "Operations drawn from identity, shear and translate in either direction, rotate, brightness, color, contrast, "
        "sharpness, posterize, solarize, autocontrast and equalize, all of one strength, to one side or the other: "
        "torchvision's RandAugment, but bilinear (Cubuk et al., 2020). On grey images color changes nothing.",
    .options = randaugment_options,
    .attr_bytes = sizeof(randaugment_attr),
    .positional = "magnitude",
    .impl = &randaugment,
};
