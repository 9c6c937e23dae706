/* Boxes of a random area and form, and the augmentation that makes such a part of the image the whole of it. */
#include <math.h>
#include <string.h>

#include "core/config/rows.h"
#include "core/portable_math.h"
#include "data/augment.h"

/* --- boxes --- */

enum { TRIES = 10 };

bool dt_draw_box(const dt_augment_key *key, uint32_t first, const dt_box_rule *rule, int64_t height, int64_t width,
                 dt_box *out) {
  const double low = dt_logarithm(rule->ratio[0]), high = dt_logarithm(rule->ratio[1]);
  for (uint32_t t = 0; t < TRIES; t++) {
    const dt_rng_block random = dt_augment_block(key, first + t);
    const double area = (double)(height * width) * dt_draw_between(random.word[0], rule->scale[0], rule->scale[1]);
    const double ratio = dt_exponential(dt_draw_between(random.word[1], low, high));
    const int64_t longer = (int64_t)rint(sqrt(area * ratio)), other = (int64_t)rint(sqrt(area / ratio));
    const int64_t w = rule->upright ? other : longer, h = rule->upright ? longer : other;
    const int64_t room = rule->larger ? 0 : 1;
    if (w > width - room || h > height - room || (rule->larger && (w == 0 || h == 0))) continue;
    *out = (dt_box){.top = dt_draw_below(random.word[2], height - h + 1),
                    .left = dt_draw_below(random.word[3], width - w + 1),
                    .height = h,
                    .width = w};
    return true;
  }
  return false;
}

/* --- resizing a part --- */

enum { BITS = 22 }; /* of a weight, as Pillow has them */

/* What a new pixel is made of: an old one and the one behind it, of the part. */
typedef struct tap {
  int32_t at, weight[2];
} tap;

/* Of a side of `part` pixels that becomes one of `whole`, which is no shorter. */
static tap make_tap(int64_t part, int64_t whole, int64_t i) {
  const double centre = ((double)i + 0.5) * ((double)part / (double)whole);
  int64_t low = (int64_t)(centre - 0.5), high = (int64_t)(centre + 1.5);
  double weight[2] = {0, 0}, sum = 0;
  if (low < 0) low = 0;
  if (high > part) high = part;
  for (int64_t x = low; x < high && x < low + 2; x++) {
    const double far = fabs((double)x - centre + 0.5);
    weight[x - low] = far < 1 ? 1 - far : 0;
    sum += weight[x - low];
  }
  tap made = {.at = (int32_t)low};
  for (int k = 0; k < 2; k++) made.weight[k] = (int32_t)(0.5 + weight[k] / sum * (1 << BITS));
  return made;
}

static inline uint8_t blend(uint8_t a, uint8_t b, const tap *t) {
  const int32_t sum = ((1 << (BITS - 1)) + a * t->weight[0] + b * t->weight[1]) >> BITS;
  return (uint8_t)(sum > 255 ? 255 : sum);
}

/* Rows before columns, rounded in between, as Pillow's resize; a weight of 0 keeps the neighbour within the part. */
static void resize_plane(uint8_t *plane, const dt_box *part, int64_t height, int64_t width, const tap *down, const tap *across,
                         uint8_t *rows) {
  for (int64_t y = 0; y < part->height; y++) {
    const uint8_t *from = plane + (part->top + y) * width + part->left;
    for (int64_t x = 0; x < width; x++) {
      const uint8_t *p = from + across[x].at;
      rows[y * width + x] = blend(p[0], p[across[x].weight[1] > 0], &across[x]);
    }
  }
  for (int64_t y = 0; y < height; y++) {
    const tap t = down[y];
    const uint8_t *a = rows + t.at * width, *b = t.weight[1] > 0 ? a + width : a;
    for (int64_t x = 0; x < width; x++) plane[y * width + x] = blend(a[x], b[x], &t);
  }
}

void dt_image_resize_part(const dt_augment_image *image, const dt_box *part) {
  const int64_t channels = image->shape->dim[0], height = image->shape->dim[1], width = image->shape->dim[2];
  tap *down = image->scratch, *across = down + height;
  uint8_t *rows = (uint8_t *)(across + width);
  for (int64_t y = 0; y < height; y++) down[y] = make_tap(part->height, height, y);
  for (int64_t x = 0; x < width; x++) across[x] = make_tap(part->width, width, x);
  for (int64_t c = 0; c < channels; c++)
    resize_plane(image->pixels + c * height * width, part, height, width, down, across, rows);
}

/* --- the kind --- */

typedef struct resized_crop_attr {
  dt_reals scale, ratio;
  double p;
} resized_crop_attr;

/* Where no box fits: the largest one in the middle whose form is allowed, as torchvision has it. */
static dt_box middle_box(const double *ratio, int64_t height, int64_t width) {
  const double form = (double)width / (double)height;
  dt_box box = {.height = height, .width = width};
  if (form < ratio[0]) box.height = (int64_t)fmax(1, rint((double)width / ratio[0]));
  if (form > ratio[1]) box.width = (int64_t)fmax(1, rint((double)height * ratio[1]));
  box.top = (height - box.height) / 2;
  box.left = (width - box.width) / 2;
  return box;
}

static void resized_crop_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const resized_crop_attr *a = attr;
  const dt_box_rule rule = {.scale = a->scale.value, .ratio = a->ratio.value, .larger = true};
  const int64_t height = image->shape->dim[1], width = image->shape->dim[2];
  dt_box box;
  if (!dt_draw_chance(dt_augment_block(key, 0).word[0], a->p)) return;
  if (!dt_draw_box(key, 1, &rule, height, width, &box)) box = middle_box(a->ratio.value, height, width);
  dt_image_resize_part(image, &box);
}

static dt_status resized_crop_check(const void *attr) {
  const resized_crop_attr *a = attr;
  DT_TRY(dt_check_range(&a->scale, "scale"));
  return dt_check_range(&a->ratio, "ratio");
}

static const dt_option resized_crop_options[] = {
    DT_ROW_REALS("scale", offsetof(resized_crop_attr, scale), "[0.08, 1]", 0, 1,
                 "Least and largest part of the image's area that is taken.", .open_min = true),
    DT_ROW_REALS("ratio", offsetof(resized_crop_attr, ratio), "[0.75, 1.3333333333333333]", 0.01, 100,
                 "Least and largest width / height of the part."),
    DT_ROW_REAL("p", offsetof(resized_crop_attr, p), "1", 0, 1, "Probability."),
    {.name = NULL},
};

static const dt_augment resized_crop = {.change = resized_crop_change};

const dt_kind dt_augment_resized_crop = {
    .name = "resized_crop",
    .doc =
        "Takes a part of a random area and form, and makes it as large as the image, bilinear: torchvision's "
        "RandomResizedCrop.",
    .options = resized_crop_options,
    .attr_bytes = sizeof(resized_crop_attr),
    .positional = "scale",
    .impl = &resized_crop,
    .check = resized_crop_check,
};
