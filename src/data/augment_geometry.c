/* Augmentations that turn and stretch an image: rotate, scale. */
#include <string.h>

#include "core/config/rows.h"
#include "core/portable_math.h"
#include "data/augment.h"

/* --- bilinear --- */

/* Rows and columns of zeros around the copy that is read from: one before the first pixel, two behind the last, so that the
 * neighbours of whatever is not outside are there. */
enum { BEFORE = 1, AROUND = 3 };

/* For each pixel of a row of the new image its upper left neighbour in the padded copy, and how far it is from it. */
typedef struct row_map {
  int64_t *at;
  float *across, *down;
} row_map;

static row_map divide_scratch(const dt_augment_image *image, uint8_t **padded) {
  const int64_t width = image->shape->dim[2];
  row_map row = {.at = image->scratch};
  row.across = (float *)(row.at + width);
  row.down = row.across + width;
  *padded = (uint8_t *)(row.down + width);
  return row;
}

static void pad_copy(const dt_augment_image *image, uint8_t *padded) {
  const int64_t channels = image->shape->dim[0], height = image->shape->dim[1], width = image->shape->dim[2],
                stride = width + AROUND;
  memset(padded, 0, (size_t)(channels * (height + AROUND) * stride));
  for (int64_t c = 0; c < channels; c++) {
    uint8_t *plane = padded + (c * (height + AROUND) + BEFORE) * stride + BEFORE;
    for (int64_t y = 0; y < height; y++) memcpy(plane + y * stride, image->pixels + (c * height + y) * width, (size_t)width);
  }
}

/* A place in the padded copy; what is farther outside is all the same. */
static inline double clamp(double place, double most) {
  const double least = place > 0 ? place : 0;
  return least < most ? least : most;
}

static void map_row(const dt_affine *map, int64_t y, int64_t height, int64_t width, const row_map *out) {
  const double x0 = map->b * (double)y + map->c + BEFORE, y0 = map->e * (double)y + map->f + BEFORE;
  const double most_x = (double)(width + BEFORE), most_y = (double)(height + BEFORE);
  for (int64_t x = 0; x < width; x++) {
    const double across = clamp(map->a * (double)x + x0, most_x), down = clamp(map->d * (double)x + y0, most_y);
    const int32_t left = (int32_t)across, top = (int32_t)down;
    out->at[x] = top * (width + AROUND) + left;
    out->across[x] = (float)(across - left);
    out->down[x] = (float)(down - top);
  }
}

enum { PIECE = 64 }; /* pixels of a row that are fetched, then computed together */

/* Both pixels of a pair are one read. */
static inline int32_t pair_at(const uint8_t *p) {
  return p[0] | p[1] << 8;
}

static inline float between(int32_t pair, float far) {
  const float left = (float)(pair & 255), right = (float)(pair >> 8);
  return left + far * (right - left);
}

static void draw_row(const uint8_t *plane, const row_map *row, int64_t width, uint8_t *to) {
  const int64_t stride = width + AROUND;
  int32_t top[PIECE], bottom[PIECE];
  for (int64_t first = 0; first < width; first += PIECE) {
    const int64_t count = width - first < PIECE ? width - first : PIECE;
    const float *across = row->across + first, *down = row->down + first;
    for (int64_t x = 0; x < count; x++) {
      const uint8_t *p = plane + row->at[first + x];
      top[x] = pair_at(p);
      bottom[x] = pair_at(p + stride);
    }
    for (int64_t x = 0; x < count; x++) {
      const float above = between(top[x], across[x]), below = between(bottom[x], across[x]);
      to[first + x] = (uint8_t)(int32_t)(above + down[x] * (below - above) + 0.5f);
    }
  }
}

void dt_image_transform(const dt_augment_image *image, const dt_affine *map) {
  const int64_t channels = image->shape->dim[0], height = image->shape->dim[1], width = image->shape->dim[2];
  uint8_t *padded;
  const row_map row = divide_scratch(image, &padded);
  pad_copy(image, padded);
  for (int64_t y = 0; y < height; y++) {
    map_row(map, y, height, width, &row);
    for (int64_t c = 0; c < channels; c++)
      draw_row(padded + c * (height + AROUND) * (width + AROUND), &row, width, image->pixels + (c * height + y) * width);
  }
}

dt_affine dt_affine_turn(const dt_shape *shape, double degrees, double factor) {
  const double middle_y = (double)(shape->dim[1] - 1) / 2, middle_x = (double)(shape->dim[2] - 1) / 2;
  const double turns = degrees / 360;
  double sine, cosine;
  dt_circle(turns < 0 ? turns + 1 : turns, &sine, &cosine);
  dt_affine map = {.a = cosine / factor, .b = -sine / factor, .d = sine / factor, .e = cosine / factor};
  map.c = middle_x - map.a * middle_x - map.b * middle_y;
  map.f = middle_y - map.d * middle_x - map.e * middle_y;
  return map;
}

/* --- the kinds --- */

typedef struct rotate_attr {
  double degrees, p;
} rotate_attr;

typedef struct scale_attr {
  dt_reals range;
  double p;
} scale_attr;

static void rotate_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const rotate_attr *a = attr;
  const dt_rng_block random = dt_augment_block(key, 0);
  if (!dt_draw_chance(random.word[0], a->p)) return;
  const dt_affine map = dt_affine_turn(image->shape, dt_draw_between(random.word[1], -a->degrees, a->degrees), 1);
  dt_image_transform(image, &map);
}

static void scale_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const scale_attr *a = attr;
  const dt_rng_block random = dt_augment_block(key, 0);
  if (!dt_draw_chance(random.word[0], a->p)) return;
  const dt_affine map = dt_affine_turn(image->shape, 0, dt_draw_between(random.word[1], a->range.value[0], a->range.value[1]));
  dt_image_transform(image, &map);
}

static dt_status scale_check(const void *attr) {
  return dt_check_range(&((const scale_attr *)attr)->range, "range");
}

static const dt_option rotate_options[] = {
    DT_ROW_REAL("degrees", offsetof(rotate_attr, degrees), "15", 0, 180,
                "The angle is uniform between this many to one side and to the other.", .unit = "degrees"),
    DT_ROW_REAL("p", offsetof(rotate_attr, p), "1", 0, 1, "Probability."),
    {.name = NULL},
};

static const dt_option scale_options[] = {
    DT_ROW_REALS("range", offsetof(scale_attr, range), "[0.8, 1.2]", 0.01, 100,
                 "Least and largest factor; the factor is uniform between them."),
    DT_ROW_REAL("p", offsetof(scale_attr, p), "1", 0, 1, "Probability."),
    {.name = NULL},
};

static const dt_augment rotate = {.change = rotate_change}, scale = {.change = scale_change};

const dt_kind dt_augment_rotate = {
    .name = "rotate",
    .doc = "Turns the image about its middle, bilinear; zeros come in at the corners.",
    .options = rotate_options,
    .attr_bytes = sizeof(rotate_attr),
    .positional = "degrees",
    .impl = &rotate,
};

const dt_kind dt_augment_scale = {
    .name = "scale",
    .doc = "Makes what the image shows smaller or larger about its middle, bilinear; zeros come in around what is smaller.",
    .options = scale_options,
    .attr_bytes = sizeof(scale_attr),
    .positional = "range",
    .impl = &scale,
    .check = scale_check,
};
