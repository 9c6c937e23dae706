/* The table of augmentations, and its moves. Each augmentation draws from blocks of its own place in the list, so that leaving
 * one out or putting one in changes no other but by its place. */
#include "data/augment.h"

#include <stdio.h>
#include <string.h>

#include "core/config/rows.h"
#include "core/numbers.h"
#include "data/data.h"

typedef struct move_attr {
  int64_t pixels;
} move_attr;

typedef struct flip_attr {
  int axis; /* index in axis_names */
  double p;
} flip_attr;

/* --- draws --- */

enum { PLACE_BITS = 8 };

dt_rng_block dt_augment_block(const dt_augment_key *key, uint32_t number) {
  DT_ASSERT(key->place >> PLACE_BITS == 0 && number >> (32 - PLACE_BITS) == 0);
  const uint32_t block = number << PLACE_BITS | (uint32_t)key->place;
  return dt_rng(key->seed, DT_RNG_AUGMENT, (uint64_t)key->epoch, (uint64_t)key->sample, block);
}

bool dt_draw_chance(uint32_t word, double p) {
  return (double)word >= (1 - p) * 0x1p32;
}

double dt_draw_between(uint32_t word, double low, double high) {
  return low + (high - low) * ((double)word * 0x1p-32);
}

int64_t dt_draw_below(uint32_t word, int64_t count) {
  return (int64_t)((uint64_t)word * (uint64_t)count >> 32);
}

dt_status dt_check_range(const dt_reals *range, const char *name) {
  DT_REQUIRE(range->count == 2, DT_USAGE, "found %d number%s in \"%s\", expected two: [least, most]", range->count,
             dt_plural(range->count), name);
  DT_REQUIRE(range->value[0] <= range->value[1], DT_USAGE, "found %g before %g in \"%s\", expected [least, most]",
             range->value[0], range->value[1], name);
  return DT_OK;
}

/* --- moves --- */

/* to[y][x] = from[y + dy][x + dx], 0 outside. */
static void move_plane(const uint8_t *from, int64_t height, int64_t width, int64_t dy, int64_t dx, uint8_t *to) {
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

static void mirror_columns(uint8_t *plane, int64_t height, int64_t width) {
  for (int64_t top = 0, bottom = height - 1; top < bottom; top++, bottom--) {
    uint8_t *a = plane + top * width, *b = plane + bottom * width;
    for (int64_t x = 0; x < width; x++) {
      const uint8_t swapped = a[x];
      a[x] = b[x];
      b[x] = swapped;
    }
  }
}

void dt_augmentation_apply(dt_augmentation move, const dt_shape *shape, uint8_t *sample, uint8_t *scratch) {
  const int64_t channels = shape->dim[0], height = shape->dim[1], width = shape->dim[2], plane = height * width;
  if (move.flip & DT_FLIP_HORIZONTAL) mirror_rows(sample, channels * height, width);
  for (int64_t c = 0; c < channels && (move.flip & DT_FLIP_VERTICAL); c++) mirror_columns(sample + c * plane, height, width);
  if (move.dy == 0 && move.dx == 0) return;
  memcpy(scratch, sample, (size_t)(channels * plane));
  for (int64_t c = 0; c < channels; c++) move_plane(scratch + c * plane, height, width, move.dy, move.dx, sample + c * plane);
}

/* --- the list --- */

static const dt_augment *functions_of(const dt_choices *augment, int i) {
  return augment->item[i].kind->impl;
}

dt_augmentation dt_augmentation_draw(const dt_choices *augment, const dt_augment_key *key) {
  return functions_of(augment, key->place)->draw(augment->item[key->place].attr, dt_augment_block(key, 0));
}

void dt_augment_apply(const dt_choices *augment, const dt_augment_key *key, dt_augment_image *image) {
  const dt_augment *functions = functions_of(augment, key->place);
  if (functions->draw != NULL) {
    dt_augmentation_apply(dt_augmentation_draw(augment, key), image->shape, image->pixels, image->scratch);
  } else {
    functions->change(augment->item[key->place].attr, key, image);
  }
}

int64_t dt_augment_scratch_bytes(const dt_choices *augment, const dt_shape *shape) {
  enum { ALIGNMENT = 64, SIDE = 3, TABLES = 24 };
  const int64_t height = shape->dim[1], width = shape->dim[2];
  int64_t bytes = dt_shape_count(shape);
  if (augment->count == 0) return 0;
  if (!dt_augment_only_moves(augment)) {
    bytes = dt_count_multiply(shape->dim[0], dt_count_multiply(height + SIDE, width + SIDE));
    bytes = dt_count_add(bytes, dt_count_multiply(TABLES, height + width));
  }
  return dt_count_add(bytes, ALIGNMENT) / ALIGNMENT * ALIGNMENT;
}

/* --- the kinds of moves --- */

/* A whole number in [-limit, limit]. */
static int64_t draw_offset(uint32_t word, int64_t limit) {
  return dt_draw_below(word, 2 * limit + 1) - limit;
}

/* Shift, and the random crop of the padded image, which shows the same pixels. */
static dt_augmentation shift_draw(const void *attr, dt_rng_block random) {
  const int64_t limit = ((const move_attr *)attr)->pixels;
  return (dt_augmentation){.dy = (int16_t)draw_offset(random.word[0], limit),
                           .dx = (int16_t)draw_offset(random.word[1], limit)};
}

dt_status dt_augment_find_image(const dt_dataset *dataset, const dt_spec *spec, int *out) {
  for (int i = 0; i < spec->model.inputs.count; i++) {
    const int f = dt_dataset_find(dataset, dt_spec_input_field(spec, i));
    const dt_ints *declared = &dt_spec_input(spec, i)->shape;
    if (f < 0 || !dt_field_is_image(&dataset->fields.field[f])) continue;
    const dt_shape *found = &dataset->fields.field[f].shape;
    bool same = declared->count == found->ndim;
    for (int d = 0; same && d < found->ndim; d++) same = declared->value[d] == found->dim[d];
    char text[DT_SHAPE_TEXT];
    DT_REQUIRE(same, DT_DATA, "%s: found images of %s, expected the shape of the model's input %s", dataset->source,
               dt_shape_text(found, text), spec->model.inputs.name[i]);
    *out = f;
    return DT_OK;
  }
  *out = -1;
  return DT_OK;
}

/* An image that is moved by its own size is gone. */
static void shift_refuse(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  const int64_t reach = ((const move_attr *)attr)->pixels, height = shape->dim[1], width = shape->dim[2];
  const int64_t least = height < width ? height : width;
  if (reach < least) return;
  snprintf(why, DT_AUGMENT_WHY,
           "found %lld pixels, expected fewer than %lld: an image of %lld x %lld may be moved out of sight", (long long)reach,
           (long long)least, (long long)height, (long long)width);
}

static dt_augmentation flip_draw(const void *attr, dt_rng_block random) {
  const flip_attr *a = attr;
  return (dt_augmentation){.flip = dt_draw_chance(random.word[0], a->p) ? 1 << a->axis : 0};
}

static const char *const axis_names[] = {"horizontal", "vertical", NULL}; /* in the order of the bits of dt_augmentation.flip */

static const dt_option shift_options[] = {
    DT_ROW_INT("max", offsetof(move_attr, pixels), NULL, 0, 4096, "Largest shift in each direction.", .unit = "pixels"),
    {.name = NULL},
};

static const dt_option flip_options[] = {
    DT_ROW_ENUM("axis", offsetof(flip_attr, axis), "horizontal", axis_names,
                "horizontal: left and right change places; vertical: top and bottom."),
    DT_ROW_REAL("p", offsetof(flip_attr, p), "0.5", 0, 1, "Probability."),
    {.name = NULL},
};

static const dt_option crop_options[] = {
    DT_ROW_INT("pad", offsetof(move_attr, pixels), "4", 0, 4096,
               "Zeros put around the image before it is cropped back to its size.", .unit = "pixels"),
    {.name = NULL},
};

static const dt_augment shift = {.draw = shift_draw, .refuse = shift_refuse}, flip = {.draw = flip_draw};

static const dt_kind shift_kind = {
    .name = "shift",
    .doc = "Moves the image by a random number of pixels, each direction on its own; zeros come in at the edges.",
    .options = shift_options,
    .attr_bytes = sizeof(move_attr),
    .positional = "max",
    .impl = &shift,
};

static const dt_kind flip_kind = {
    .name = "flip",
    .doc = "Mirrors left and right, or top and bottom, with a probability.",
    .options = flip_options,
    .attr_bytes = sizeof(flip_attr),
    .positional = "axis",
    .impl = &flip,
};

static const dt_kind crop_kind = {
    .name = "crop",
    .doc = "Pads with zeros and crops a random window of the image's own size.",
    .options = crop_options,
    .attr_bytes = sizeof(move_attr),
    .positional = "pad",
    .impl = &shift,
};

/* clang-format off */
const dt_kind *const dt_augment_kinds[] = {
    &shift_kind,
    &flip_kind,
    &crop_kind,
    &dt_augment_rotate,
    &dt_augment_scale,
    &dt_augment_resized_crop,
    &dt_augment_colour,
    &dt_augment_erase,
    &dt_augment_cutout,
    &dt_augment_randaugment,
    NULL,
};
/* clang-format on */
