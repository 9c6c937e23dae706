/* Resizing as Pillow's resize(BILINEAR) does it, number for number: a new pixel is the mean of the old ones that it covers and
 * their neighbours, weighted by a triangle as wide as two new pixels; weights are whole numbers of 22 bits, rows are
 * resized before columns, and rounded in between. So a network meets the images that it would meet in PyTorch. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "data/image.h"

enum { BITS = 22 };

/* For each of `count` new pixels the old ones that it is made of. */
typedef struct taps {
  int64_t count, most; /* most: room for weights of each */
  int64_t *first, *used;
  int32_t *weight; /* [count][most] */
} taps;

/* A part of a side: `whole` new pixels for [from, to) of `size` old ones, of which those from `first` on are made. */
typedef struct side {
  int64_t size, whole, first, count;
  float from, to;
} side;

static double triangle(double x) {
  x = fabs(x);
  return x < 1 ? 1 - x : 0;
}

static void weigh(const side *s, double scale, int64_t i, double *weight, taps *out) {
  const double wide = scale < 1 ? 1 : scale, centre = (double)s->from + ((double)(s->first + i) + 0.5) * scale;
  int64_t low = (int64_t)(centre - wide + 0.5), high = (int64_t)(centre + wide + 0.5);
  double sum = 0;
  if (low < 0) low = 0;
  if (high > s->size) high = s->size;
  for (int64_t x = low; x < high; x++) sum += weight[x - low] = triangle(((double)x - centre + 0.5) * (1 / wide));
  for (int64_t x = 0; x < high - low; x++)
    out->weight[i * out->most + x] = (int32_t)(0.5 + (sum != 0 ? weight[x] / sum : weight[x]) * (1 << BITS));
  out->first[i] = low;
  out->used[i] = high - low;
}

static void taps_free(taps *t) {
  free(t->first);
  free(t->used);
  free(t->weight);
  *t = (taps){.count = 0};
}

static dt_status taps_make(const side *s, taps *out) {
  const double scale = (double)(s->to - s->from) / (double)s->whole;
  double *weight = NULL;
  *out = (taps){.count = s->count, .most = (int64_t)ceil(scale < 1 ? 1 : scale) * 2 + 1};
  dt_status status;
  DT_TRY_GOTO(done, dt_alloc((size_t)s->count, sizeof *out->first, &out->first));
  DT_TRY_GOTO(done, dt_alloc((size_t)s->count, sizeof *out->used, &out->used));
  DT_TRY_GOTO(done, dt_alloc((size_t)s->count * (size_t)out->most, sizeof *out->weight, &out->weight));
  DT_TRY_GOTO(done, dt_alloc((size_t)out->most, sizeof *weight, &weight));
  for (int64_t i = 0; i < s->count; i++) weigh(s, scale, i, weight, out);
done:
  free(weight);
  if (status != DT_OK) taps_free(out);
  return status;
}

/* The whole is between 0 and 255: weights are 0 or more, and their sum is 1 but for rounding. */
static inline uint8_t round_off(int32_t sum) {
  sum >>= BITS;
  return (uint8_t)(sum > 255 ? 255 : sum);
}

static inline void resize_row(const uint8_t *from, const taps *t, int channels, uint8_t *to) {
  for (int64_t i = 0; i < t->count; i++) {
    const int32_t *weight = t->weight + i * t->most;
    const uint8_t *pixel = from + t->first[i] * channels;
    for (int c = 0; c < channels; c++) {
      int32_t sum = 1 << (BITS - 1);
      for (int64_t k = 0; k < t->used[i]; k++) sum += pixel[k * channels + c] * weight[k];
      to[i * channels + c] = round_off(sum);
    }
  }
}

/* Rows [first, end) of the image, to new rows of across->count pixels. */
static void resize_rows(const dt_image *image, int64_t first, int64_t end, const taps *across, uint8_t *to) {
  const int64_t stride = image->width * image->channels, wide = across->count * image->channels;
  for (int64_t y = first; y < end; y++) {
    const uint8_t *from = image->pixels + y * stride;
    if (image->channels == 1)
      resize_row(from, across, 1, to + (y - first) * wide);
    else
      resize_row(from, across, 3, to + (y - first) * wide);
  }
}

/* A new row: a sum of rows, all columns side by side. */
static void resize_column(const uint8_t *rows, int64_t wide, const int32_t *weight, int64_t used, int32_t *sum, uint8_t *to) {
  for (int64_t i = 0; i < wide; i++) sum[i] = 1 << (BITS - 1);
  for (int64_t k = 0; k < used; k++) {
    const uint8_t *row = rows + k * wide;
    const int32_t w = weight[k];
    for (int64_t i = 0; i < wide; i++) sum[i] += row[i] * w;
  }
  for (int64_t i = 0; i < wide; i++) to[i] = round_off(sum[i]);
}

/* Row y of all channels, one plane each; a grey image fills all of them alike. */
static void put_row(const uint8_t *row, int channels, const dt_image_fit *fit, int64_t y, uint8_t *to) {
  const int64_t plane = fit->height * fit->width;
  for (int c = 0; c < fit->channels; c++) {
    uint8_t *out = to + c * plane + y * fit->width;
    for (int64_t x = 0; x < fit->width; x++) out[x] = row[x * channels + (channels > 1 ? c : 0)];
  }
}

static dt_status resize(const dt_image *image, const dt_image_fit *fit, const taps *across, const taps *down, uint8_t *to) {
  const int64_t wide = across->count * image->channels, last = down->count - 1;
  const int64_t first = down->first[0], end = down->first[last] + down->used[last];
  uint8_t *rows = NULL, *row = NULL;
  int32_t *sum = NULL;
  dt_status status;
  DT_TRY_GOTO(done, dt_alloc((size_t)(end - first), (size_t)wide, &rows));
  DT_TRY_GOTO(done, dt_alloc((size_t)wide, 1, &row));
  DT_TRY_GOTO(done, dt_alloc((size_t)wide, sizeof *sum, &sum));
  resize_rows(image, first, end, across, rows);
  for (int64_t y = 0; y < down->count; y++) {
    resize_column(rows + (down->first[y] - first) * wide, wide, down->weight + y * down->most, down->used[y], sum, row);
    put_row(row, image->channels, fit, y, to);
  }
done:
  free(sum);
  free(row);
  free(rows);
  return status;
}

/* Half of what is left over on a side; an odd rest goes where torchvision's centre crop puts it, to even. */
static int64_t middle(int64_t whole, int64_t part) {
  const int64_t rest = whole - part, half = rest / 2;
  return rest % 2 != 0 && half % 2 != 0 ? half + 1 : half;
}

static int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/* The shorter side becomes fit->resize; as torchvision's Resize rounds the longer one. */
static void crop_sides(const dt_image *image, const dt_image_fit *fit, side *across, side *down) {
  const int64_t shorter = image->width < image->height ? image->width : image->height;
  across->whole = larger(fit->resize * image->width / shorter, fit->width);
  down->whole = larger(fit->resize * image->height / shorter, fit->height);
  across->first = middle(across->whole, fit->width);
  down->first = middle(down->whole, fit->height);
}

/* The largest part in the middle that has the sample's form, as Pillow's ImageOps.fit. */
static void cover_sides(const dt_image *image, const dt_image_fit *fit, side *across, side *down) {
  const double form = (double)fit->width / (double)fit->height, w = (double)image->width, h = (double)image->height;
  double part_w = w, part_h = h;
  if (w / h > form) part_w = form * h;
  if (w / h < form) part_h = w / form;
  const double left = (w - part_w) * 0.5, top = (h - part_h) * 0.5;
  across->from = (float)left;
  across->to = (float)(left + part_w);
  down->from = (float)top;
  down->to = (float)(top + part_h);
}

/* Luma of RGB, as ITU-R 601 weighs it, in place. */
static void make_luma(dt_image *image) {
  const int64_t pixels = image->width * image->height;
  for (int64_t i = 0; i < pixels; i++) {
    const uint8_t *p = image->pixels + 3 * i;
    image->pixels[i] = (uint8_t)((p[0] * 19595u + p[1] * 38470u + p[2] * 7471u + 0x8000u) >> 16);
  }
  image->channels = 1;
}

dt_status dt_image_sample(dt_image *image, const dt_image_fit *fit, uint8_t *to) {
  side x = {.size = image->width, .whole = fit->width, .count = fit->width, .to = (float)image->width};
  side y = {.size = image->height, .whole = fit->height, .count = fit->height, .to = (float)image->height};
  taps across = {0}, down = {0};
  if (fit->channels == 1 && image->channels == 3) make_luma(image);
  (fit->resize > 0 ? crop_sides : cover_sides)(image, fit, &x, &y);
  DT_TRY(taps_make(&x, &across));
  dt_status status = taps_make(&y, &down);
  if (status == DT_OK) status = resize(image, fit, &across, &down, to);
  taps_free(&across);
  taps_free(&down);
  return status;
}
