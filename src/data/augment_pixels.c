/* Changes of colours, with the numbers that torchvision makes of tensors of bytes: the same formulas in the same order, in
 * floats, which no compiler of this project contracts. */
#include <stdbool.h>
#include <string.h>

#include "data/augment.h"

static int64_t plane_of(const dt_augment_image *image) {
  return image->shape->dim[1] * image->shape->dim[2];
}

/* What lies beyond a byte is cut off, and a fraction dropped. */
static inline uint8_t to_byte(float value) {
  const float least = value > 0 ? value : 0;
  return (uint8_t)(int32_t)(least < 255 ? least : 255);
}

/* factor * byte + (1 - factor) * other, as torchvision's _blend. */
static inline float blend(uint8_t byte, float other, float factor, float rest) {
  return factor * (float)byte + rest * other;
}

static void look_up(uint8_t *bytes, int64_t count, const uint8_t *table) {
  for (int64_t i = 0; i < count; i++) bytes[i] = table[bytes[i]];
}

/* All bytes are blended with the same number. */
static void blend_with(const dt_augment_image *image, float other, double factor) {
  uint8_t table[256];
  const float rest = (float)(1 - factor);
  for (int i = 0; i < 256; i++) table[i] = to_byte(blend((uint8_t)i, other, (float)factor, rest));
  look_up(image->pixels, dt_shape_count(image->shape), table);
}

/* Luma of a pixel, as torchvision's rgb_to_grayscale. */
static inline uint8_t luma(uint8_t r, uint8_t g, uint8_t b) {
  return (uint8_t)(int32_t)(0.2989f * (float)r + 0.587f * (float)g + 0.114f * (float)b);
}

void dt_image_brightness(const dt_augment_image *image, double factor) {
  blend_with(image, 0, factor);
}

void dt_image_contrast(const dt_augment_image *image, double factor) {
  const int64_t plane = plane_of(image);
  const uint8_t *r = image->pixels, *g = r + plane, *b = g + plane;
  uint64_t sum = 0;
  if (image->shape->dim[0] == 1) {
    for (int64_t i = 0; i < plane; i++) sum += r[i];
  } else {
    for (int64_t i = 0; i < plane; i++) sum += luma(r[i], g[i], b[i]);
  }
  blend_with(image, (float)sum / (float)plane, factor);
}

void dt_image_saturation(const dt_augment_image *image, double factor) {
  const int64_t plane = plane_of(image);
  const float share = (float)factor, rest = (float)(1 - factor);
  uint8_t *restrict r = image->pixels, *restrict g = r + plane, *restrict b = g + plane;
  if (image->shape->dim[0] == 1) return;
  for (int64_t i = 0; i < plane; i++) {
    const float grey = (float)luma(r[i], g[i], b[i]);
    r[i] = to_byte(blend(r[i], grey, share, rest));
    g[i] = to_byte(blend(g[i], grey, share, rest));
    b[i] = to_byte(blend(b[i], grey, share, rest));
  }
}

/* --- hue ---
 *
 * Everything is computed of every pixel and chosen from afterwards, so that a compiler can take several pixels at once. */

static inline float unit(float x) {
  const float least = x > 0 ? x : 0;
  return least < 1 ? least : 1;
}

/* Times six. Of a colour of that value and chroma; of grey anything. */
static inline float hue_of(float r, float g, float b, float value, float chroma) {
  const float divisor = chroma > 0 ? chroma : 1;
  const float far_r = (value - r) / divisor, far_g = (value - g) / divisor, far_b = (value - b) / divisor;
  const float of_r = far_b - far_g, of_g = 2 + far_r - far_b, of_b = 4 + far_g - far_r;
  return value == r ? of_r : value == g ? of_g : of_b;
}

/* From below 0 or from 1 on back into [0, 1). */
static inline float wrap(float h) {
  const float up = h < 0 ? 1 : 0, down = h >= 1 ? -1 : 0;
  return h + (up + down);
}

static inline uint8_t unit_to_byte(float x) {
  return (uint8_t)(int32_t)(x * 255.999f);
}

static void turn_hues(float turn, int64_t count, uint8_t *restrict red, uint8_t *restrict green, uint8_t *restrict blue) {
  for (int64_t i = 0; i < count; i++) {
    const float r = (float)red[i] / 255, g = (float)green[i] / 255, b = (float)blue[i] / 255;
    const float larger = r > g ? r : g, smaller = r < g ? r : g;
    const float v = larger > b ? larger : b, chroma = v - (smaller < b ? smaller : b);
    const float s = chroma / (chroma > 0 ? v : 1);
    const float h = wrap(wrap(hue_of(r, g, b, v, chroma) / 6 + 1) + turn), sixths = h * 6;
    const int32_t whole = (int32_t)sixths, sector = whole < 6 ? whole : 0;
    const float f = sixths - (float)whole;
    const float p = unit(v * (1 - s)), q = unit(v * (1 - s * f)), t = unit(v * (1 - s * (1 - f)));
    const float r0 = sector == 1 ? q : v, r1 = sector == 4 ? t : p, g0 = sector == 0 ? t : v, g1 = sector == 3 ? q : p,
                b0 = sector == 2 ? t : p, b1 = sector == 5 ? q : v;
    red[i] = unit_to_byte(sector >= 2 && sector <= 4 ? r1 : r0);
    green[i] = unit_to_byte(sector >= 3 ? g1 : g0);
    blue[i] = unit_to_byte(sector >= 3 ? b1 : b0);
  }
}

void dt_image_hue(const dt_augment_image *image, double turn) {
  const int64_t plane = plane_of(image);
  uint8_t *pixels = image->pixels;
  if (image->shape->dim[0] == 3) turn_hues((float)turn, plane, pixels, pixels + plane, pixels + 2 * plane);
}

/* --- sharpness --- */

/* The mean of nine pixels, of which the middle one counts five times, rounded: 13 is odd, so none lies in between. */
static inline int blurred(const uint8_t *p, int64_t width) {
  const uint8_t *a = p - width, *b = p + width;
  const int sum = a[-1] + a[0] + a[1] + p[-1] + 5 * p[0] + p[1] + b[-1] + b[0] + b[1];
  return (2 * sum + 13) / 26;
}

/* The outermost pixels stay. */
static void sharpen_plane(const uint8_t *from, int64_t height, int64_t width, float share, float rest, uint8_t *restrict to) {
  for (int64_t y = 1; y < height - 1; y++) {
    for (int64_t x = 1; x < width - 1; x++) {
      const int64_t i = y * width + x;
      to[i] = to_byte(blend(from[i], (float)blurred(from + i, width), share, rest));
    }
  }
}

void dt_image_sharpness(const dt_augment_image *image, double factor) {
  const int64_t height = image->shape->dim[1], width = image->shape->dim[2], plane = plane_of(image);
  const float share = (float)factor, rest = (float)(1 - factor);
  if (height <= 2 || width <= 2) return;
  for (int64_t c = 0; c < image->shape->dim[0]; c++) {
    uint8_t *pixels = image->pixels + c * plane;
    memcpy(image->scratch, pixels, (size_t)plane);
    /* The border is blended with itself, which may lose one by rounding down. */
    for (int64_t i = 0; i < plane; i++) pixels[i] = to_byte(blend(pixels[i], (float)pixels[i], share, rest));
    sharpen_plane(image->scratch, height, width, share, rest, pixels);
  }
}

/* --- tables --- */

void dt_image_posterize(const dt_augment_image *image, int bits) {
  const uint8_t mask = (uint8_t)(0xff00 >> bits);
  const int64_t count = dt_shape_count(image->shape);
  for (int64_t i = 0; i < count; i++) image->pixels[i] &= mask;
}

void dt_image_solarize(const dt_augment_image *image, double threshold) {
  uint8_t table[256];
  for (int i = 0; i < 256; i++) table[i] = (uint8_t)(i >= threshold ? 255 - i : i);
  look_up(image->pixels, dt_shape_count(image->shape), table);
}

void dt_image_autocontrast(const dt_augment_image *image) {
  const int64_t plane = plane_of(image);
  for (int64_t c = 0; c < image->shape->dim[0]; c++) {
    uint8_t *pixels = image->pixels + c * plane, least = 255, most = 0, table[256];
    for (int64_t i = 0; i < plane; i++) {
      least = pixels[i] < least ? pixels[i] : least;
      most = pixels[i] > most ? pixels[i] : most;
    }
    if (least == most) continue;
    const float scale = 255.0f / (float)(most - least);
    for (int i = 0; i < 256; i++) table[i] = to_byte((float)(i - least) * scale);
    look_up(pixels, plane, table);
  }
}

/* The table of one channel; false where it stays as it is. */
static bool equalizing_table(const uint8_t *pixels, int64_t count, uint8_t table[256]) {
  int64_t seen[256] = {0}, before = 0;
  int last = 255;
  for (int64_t i = 0; i < count; i++) seen[pixels[i]]++;
  while (seen[last] == 0) last--;
  const int64_t step = (count - seen[last]) / 255;
  if (step == 0) return false;
  for (int i = 0; i < 256; i++) {
    const int64_t value = (before + step / 2) / step;
    table[i] = (uint8_t)(value < 255 ? value : 255);
    before += seen[i];
  }
  return true;
}

void dt_image_equalize(const dt_augment_image *image) {
  const int64_t plane = plane_of(image);
  uint8_t table[256];
  for (int64_t c = 0; c < image->shape->dim[0]; c++) {
    uint8_t *pixels = image->pixels + c * plane;
    if (equalizing_table(pixels, plane, table)) look_up(pixels, plane, table);
  }
}
