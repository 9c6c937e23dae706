/* mixup (Zhang et al., "mixup: beyond empirical risk minimization", 2018) and
 * CutMix (Yun et al., "CutMix: regularization strategy to train strong
 * classifiers with localizable features", 2019).
 *
 * The partner of the sample at place i of a batch of n stands at place (i + s)
 * mod n, s from 1 to n - 1 being drawn for the batch: any rank knows every
 * partner. The share of a sample is drawn for each sample on its own. */
#include "data/mix.h"

#include <math.h>
#include <string.h>

#include "core/config/rows.h"
#include "core/portable_math.h"
#include "data/augment.h"

enum { WHOLE = 1 << 16 };

/* --- draws --- */

enum { BLOCK_CHOICE = 0, BLOCK_BETA = 1, BLOCKS_BETA = 4096 };
static const uint32_t block_shift = 0xffffffffu; /* of a batch, by the place of its first sample */

/* Both numbers of a pair as logarithms, since powers of 1 / alpha leave what a
 * double holds. */
static bool johnk(const dt_rng_block *random, double alpha, double *out) {
  const double x = dt_logarithm(dt_rng_double(random->word[0], random->word[1])) / alpha,
               y = dt_logarithm(dt_rng_double(random->word[2], random->word[3])) / alpha;
  const double larger = x > y ? x : y, apart = x > y ? y - x : x - y;
  const double ratio = apart > -700 ? dt_exponential(apart) : 0; /* of the smaller to the larger */
  if (larger + dt_logarithm(1 + ratio) > 0) return false;
  *out = (x > y ? 1 : ratio) / (1 + ratio);
  return true;
}

/* Uniform numbers, kept as often as their density is of its peak at 1/2. */
static bool from_uniform(const dt_rng_block *random, double alpha, double *out) {
  const double x = dt_rng_double(random->word[0], random->word[1]), much = 4 * x * (1 - x);
  if (much <= 0 || dt_logarithm(dt_rng_double(random->word[2], random->word[3])) > (alpha - 1) * dt_logarithm(much))
    return false;
  *out = x;
  return true;
}

uint32_t dt_draw_beta(double alpha, dt_block_source *block, const void *context) {
  double x = 0.5;
  for (uint32_t i = 0; i < BLOCKS_BETA; i++) {
    const dt_rng_block random = block(context, i);
    if (alpha <= 1 ? johnk(&random, alpha, &x) : from_uniform(&random, alpha, &x)) break;
  }
  return (uint32_t)(x * WHOLE + 0.5);
}

typedef struct place_key {
  uint64_t seed;
  int64_t epoch, place;
} place_key;

static dt_rng_block block_of(const place_key *key, uint32_t number) {
  return dt_rng(key->seed, DT_RNG_MIX, (uint64_t)key->epoch, (uint64_t)key->place, number);
}

static dt_rng_block beta_block(const void *context, uint32_t number) {
  return block_of(context, BLOCK_BETA + number);
}

/* --- rectangles --- */

/* As torchvision's CutMix: half sides are whole, and what leaves the image is
 * cut off. */
static dt_box pasted_box(const dt_mix_plan *plan, int64_t height, int64_t width) {
  const int64_t y = dt_draw_below(plan->middle[0], height), x = dt_draw_below(plan->middle[1], width);
  const int64_t half_y = (int64_t)(0.5 * plan->side * (double)height), half_x = (int64_t)(0.5 * plan->side * (double)width);
  const int64_t top = y > half_y ? y - half_y : 0, left = x > half_x ? x - half_x : 0;
  const int64_t bottom = y + half_y < height ? y + half_y : height, right = x + half_x < width ? x + half_x : width;
  return (dt_box){top, left, bottom - top, right - left};
}

void dt_mix_draw(const dt_choices *mix, uint64_t seed, int64_t epoch, int64_t first, int64_t count, int64_t place,
                 const dt_shape *image, dt_mix_plan *out) {
  const place_key batch = {seed, epoch, first}, own = {seed, epoch, first + place};
  const dt_rng_block random = block_of(&own, BLOCK_CHOICE);
  const dt_choice *choice = &mix->item[dt_draw_below(random.word[0], mix->count)];
  const dt_mix_attr *attr = choice->attr;
  *out = (dt_mix_plan){.share = 1, .pastes = ((const dt_mix *)choice->kind->impl)->pastes};
  if (count < 2 || !dt_draw_chance(random.word[1], attr->p)) return;
  out->mixed = true;
  out->partner = (place + 1 + dt_draw_below(block_of(&batch, block_shift).word[0], count - 1)) % count;
  out->share = dt_draw_beta(attr->alpha, beta_block, &own) * (1.0 / WHOLE);
  if (!out->pastes) return;
  out->side = sqrt(1 - out->share);
  out->middle[0] = random.word[2];
  out->middle[1] = random.word[3];
  const dt_box box = pasted_box(out, image->dim[1], image->dim[2]);
  out->share = 1 - (double)(box.height * box.width) / (double)(image->dim[1] * image->dim[2]);
}

/* --- values --- */

static void paste(const dt_mix_plan *plan, const dt_shape *shape, size_t bytes, uint8_t *own, const uint8_t *other) {
  const int64_t height = shape->dim[1], width = shape->dim[2];
  const dt_box box = pasted_box(plan, height, width);
  for (int64_t c = 0; c < shape->dim[0]; c++) {
    for (int64_t y = box.top; y < box.top + box.height; y++) {
      const size_t at = (size_t)((c * height + y) * width + box.left) * bytes;
      memcpy(own + at, other + at, (size_t)box.width * bytes);
    }
  }
}

/* Rounded to the nearest byte. */
static void mix_bytes(double share, int64_t count, uint8_t *restrict own, const uint8_t *restrict other) {
  const uint32_t much = (uint32_t)(share * WHOLE + 0.5), rest = WHOLE - much;
  for (int64_t i = 0; i < count; i++) own[i] = (uint8_t)((own[i] * much + other[i] * rest + WHOLE / 2) >> 16);
}

static void mix_floats(double share, int64_t count, float *restrict own, const float *restrict other) {
  const float much = (float)share, rest = (float)(1 - share);
  for (int64_t i = 0; i < count; i++) own[i] = much * own[i] + rest * other[i];
}

void dt_mix_values(const dt_mix_plan *plan, const dt_field *field, void *own, const void *other) {
  const int64_t count = dt_shape_count(&field->shape);
  if (!plan->mixed) return;
  if (plan->pastes && field->shape.ndim == 3)
    paste(plan, &field->shape, dt_dtype_bytes(field->dtype), own, other);
  else if (field->dtype == DT_U8)
    mix_bytes(plan->share, count, own, other);
  else
    mix_floats(plan->share, count, own, other);
}

void dt_mix_labels(const dt_mix_plan *plan, int32_t own, int32_t other, int64_t classes, float *out) {
  memset(out, 0, (size_t)classes * sizeof *out);
  out[own] = (float)plan->share;
  if (plan->mixed) out[other] += (float)(1 - plan->share);
}

/* --- the kinds --- */

#define ALPHA_ROW(standard, text) DT_ROW_REAL("alpha", offsetof(dt_mix_attr, alpha), standard, 0, 100, text, .open_min = true)

static const dt_option mixup_options[] = {
    ALPHA_ROW("0.2",
              "The sample's share is drawn from Beta(alpha, alpha): "
              "small ones leave most samples nearly alone."),
    DT_ROW_REAL("p", offsetof(dt_mix_attr, p), "1", 0, 1, "Probability that a sample is mixed."),
    {.name = NULL},
};

static const dt_option cutmix_options[] = {
    ALPHA_ROW("1",
              "The rectangle's part of the area is drawn from Beta(alpha, "
              "alpha), before it is cut where it leaves the image."),
    DT_ROW_REAL("p", offsetof(dt_mix_attr, p), "1", 0, 1, "Probability that a sample is mixed."),
    {.name = NULL},
};

static const dt_mix mixup = {.pastes = false}, cutmix = {.pastes = true};

static const dt_kind mixup_kind = {
    .name = "mixup",
    .doc =
        "Every number is share * its own + (1 - share) * the partner's, and "
        "so are the probabilities of the classes (Zhang et "
        "al., 2018).",
    .options = mixup_options,
    .attr_bytes = sizeof(dt_mix_attr),
    .positional = "alpha",
    .impl = &mixup,
};

static const dt_kind cutmix_kind = {
    .name = "cutmix",
    .doc =
        "A rectangle of the partner's image replaces the sample's own "
        "there, and its part of the area is what the partner's "
        "class counts (Yun et al., 2019).",
    .options = cutmix_options,
    .attr_bytes = sizeof(dt_mix_attr),
    .positional = "alpha",
    .impl = &cutmix,
};

/* clang-format off */
const dt_kind *const dt_mix_kinds[] = {
    &mixup_kind,
    &cutmix_kind,
    NULL,
};
/* clang-format on */
