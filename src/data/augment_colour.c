/* The augmentation of colours: torchvision's ColorJitter. */
#include <stdio.h>

#include "core/config/rows.h"
#include "data/augment.h"

/* In the order in which torchvision numbers them. */
enum { BRIGHTNESS, CONTRAST, SATURATION, HUE, PARTS };

typedef struct colour_attr {
  dt_reals part[PARTS];
  double p;
} colour_attr;

static void (*const change_part[PARTS])(const dt_augment_image *image, double factor) = {
    [BRIGHTNESS] = dt_image_brightness,
    [CONTRAST] = dt_image_contrast,
    [SATURATION] = dt_image_saturation,
    [HUE] = dt_image_hue,
};
static const char *const part_name[PARTS] = {"brightness", "contrast", "saturation", "hue"};

/* What a part is drawn from: one number stands for as much to both sides of what changes nothing. */
static void range_of(const colour_attr *attr, int part, double *low, double *high) {
  const dt_reals *given = &attr->part[part];
  const double middle = part == HUE ? 0 : 1;
  *low = *high = middle;
  if (given->count == 1) {
    *low = middle - given->value[0];
    *high = middle + given->value[0];
    if (part != HUE && *low < 0) *low = 0;
  } else if (given->count == 2) {
    *low = given->value[0];
    *high = given->value[1];
  }
}

static bool changes(const colour_attr *attr, int part) {
  const double middle = part == HUE ? 0 : 1;
  double low, high;
  range_of(attr, part, &low, &high);
  return low != middle || high != middle;
}

/* The parts in an order of their own, each of the 24 as likely as another. */
static void draw_order(uint32_t word, int order[PARTS]) {
  int64_t which = dt_draw_below(word, 24);
  for (int i = 0; i < PARTS; i++) order[i] = i;
  for (int left = PARTS; left > 1; left--) {
    const int last = left - 1, chosen = (int)(which % left), kept = order[last];
    which /= left;
    order[last] = order[chosen];
    order[chosen] = kept;
  }
}

static void colour_change(const void *attr, const dt_augment_key *key, dt_augment_image *image) {
  const colour_attr *a = attr;
  const dt_rng_block random = dt_augment_block(key, 0), factor = dt_augment_block(key, 1);
  int order[PARTS];
  if (!image->is_input || !dt_draw_chance(random.word[0], a->p)) return;
  draw_order(random.word[1], order);
  for (int i = 0; i < PARTS; i++) {
    const int part = order[i];
    double low, high;
    range_of(a, part, &low, &high);
    if (changes(a, part)) change_part[part](image, dt_draw_between(factor.word[part], low, high));
  }
}

static dt_status check_part(const colour_attr *attr, int part) {
  const dt_reals *given = &attr->part[part];
  DT_REQUIRE(given->count <= 2, DT_USAGE, "found %d numbers in \"%s\", expected one, or two: [least, most]", given->count,
             part_name[part]);
  if (given->count == 2) DT_TRY(dt_check_range(given, part_name[part]));
  DT_REQUIRE(given->count != 1 || given->value[0] >= 0, DT_USAGE, "found %g in \"%s\", expected 0 or more, or [least, most]",
             given->value[0], part_name[part]);
  return DT_OK;
}

static dt_status colour_check(const void *attr) {
  bool any = false;
  for (int part = 0; part < PARTS; part++) {
    DT_TRY(check_part(attr, part));
    any |= changes(attr, part);
  }
  DT_REQUIRE(any, DT_USAGE, "found nothing to change, expected a brightness, contrast, saturation or hue");
  return DT_OK;
}

static void colour_refuse(const void *attr, const dt_shape *shape, char why[DT_AUGMENT_WHY]) {
  const colour_attr *a = attr;
  const bool coloured = changes(a, SATURATION) || changes(a, HUE);
  const long long channels = shape->dim[0];
  if (coloured && channels != 3)
    snprintf(why, DT_AUGMENT_WHY, "found %lld channel%s, expected 3 for %s", channels, channels == 1 ? "" : "s",
             changes(a, SATURATION) ? "saturation" : "hue");
  else if (channels != 1 && channels != 3)
    snprintf(why, DT_AUGMENT_WHY, "found %lld channels, expected 1 or 3", channels);
}

static const dt_option colour_options[] = {
    DT_ROW_REALS(
        "brightness", offsetof(colour_attr, part[BRIGHTNESS]), "", 0, 1000,
        "Every number times a factor, uniform in [least, most]; x stands for [max(0, 1 - x), 1 + x], as it does below."),
    DT_ROW_REALS("contrast", offsetof(colour_attr, part[CONTRAST]), "", 0, 1000,
                 "The distance from the mean grey times such a factor."),
    DT_ROW_REALS("saturation", offsetof(colour_attr, part[SATURATION]), "", 0, 1000,
                 "The distance from the pixel's own grey times such a factor."),
    DT_ROW_REALS("hue", offsetof(colour_attr, part[HUE]), "", -0.5, 0.5,
                 "Turns around the circle of colours, uniform in [least, most] within -0.5 to 0.5; x stands for [-x, x].",
                 .unit = "turns"),
    DT_ROW_REAL("p", offsetof(colour_attr, p), "1", 0, 1, "Probability."),
    {.name = NULL},
};

static const dt_augment colour = {.change = colour_change, .refuse = colour_refuse};

const dt_kind dt_augment_colour = {
    .name = "colour",
    .doc =
        "Changes brightness, contrast, saturation and hue of what inputs read, in a random order: torchvision's ColorJitter.",
    .options = colour_options,
    .attr_bytes = sizeof(colour_attr),
    .impl = &colour,
    .check = colour_check,
};
