/* What augmentations are made of: draws, and functions that change an image [C, H, W] of bytes by given numbers. A test
 * compares these with torchvision's. */
#ifndef DT_DATA_AUGMENT_H
#define DT_DATA_AUGMENT_H

#include "core/augment.h"

extern const dt_kind dt_augment_rotate;       /* augment_geometry.c */
extern const dt_kind dt_augment_scale;        /* likewise */
extern const dt_kind dt_augment_resized_crop; /* augment_crop.c */
extern const dt_kind dt_augment_colour;       /* augment_colour.c */
extern const dt_kind dt_augment_erase;        /* augment_erase.c */
extern const dt_kind dt_augment_cutout;       /* likewise */
extern const dt_kind dt_augment_randaugment;  /* augment_randaugment.c */

/* --- draws --- */

/* Block `number` of a sample at its place; what is drawn from one changes nothing of the others. */
dt_rng_block dt_augment_block(const dt_augment_key *key, uint32_t number);
/* True with probability p. */
bool dt_draw_chance(uint32_t word, double p);
/* Uniform in [low, high). */
double dt_draw_between(uint32_t word, double low, double high);
/* Uniform in [0, count), to within 2^-32 * count. */
int64_t dt_draw_below(uint32_t word, int64_t count);

/* A part of an image. */
typedef struct dt_box {
  int64_t top, left, height, width;
} dt_box;

/* A box whose area is a fraction within `scale` of the image's and whose width / height, or height / width where `upright`, is
 * within `ratio`, uniform in its logarithm, as torchvision draws it in up to ten tries; `larger`: the box may be as large as
 * the image. False where none fits. Draws blocks `first` to first + 9. */
typedef struct dt_box_rule {
  const double *scale, *ratio; /* [2] */
  bool upright, larger;
} dt_box_rule;
bool dt_draw_box(const dt_augment_key *key, uint32_t first, const dt_box_rule *rule, int64_t height, int64_t width,
                 dt_box *out);

/* A range as options write it: two numbers, low first. In `check`s; raises DT_USAGE. */
dt_status dt_check_range(const dt_reals *range, const char *name);

/* --- geometry --- */

/* Where in the old image a pixel of the new one lies: x' = a x + b y + c, y' = d x + e y + f, in pixels from the first one's
 * centre. */
typedef struct dt_affine {
  double a, b, c, d, e, f;
} dt_affine;

/* Turned by so many degrees against the clock, and made so many times as large, about the middle. */
dt_affine dt_affine_turn(const dt_shape *shape, double degrees, double factor);
/* Bilinear; what lies outside is 0. */
void dt_image_transform(const dt_augment_image *image, const dt_affine *map);
/* The part, resized to the image's size with Pillow's BILINEAR numbers. */
void dt_image_resize_part(const dt_augment_image *image, const dt_box *part);

/* --- colours --- */

/* Of 1 or 3 channels; saturation and hue change nothing of one. Factors as torchvision's adjust_* take them. */
void dt_image_brightness(const dt_augment_image *image, double factor);
void dt_image_contrast(const dt_augment_image *image, double factor);
void dt_image_saturation(const dt_augment_image *image, double factor);
void dt_image_hue(const dt_augment_image *image, double turn);
void dt_image_sharpness(const dt_augment_image *image, double factor);
void dt_image_posterize(const dt_augment_image *image, int bits);
void dt_image_solarize(const dt_augment_image *image, double threshold);
void dt_image_autocontrast(const dt_augment_image *image);
void dt_image_equalize(const dt_augment_image *image);

/* Operation `op` of RandAugment, of `signs` many, at a magnitude from 0 to 30; negative: to the other side. */
int dt_randaugment_ops(void);
void dt_image_randaugment(const dt_augment_image *image, int op, int64_t magnitude, bool negative);

#endif
