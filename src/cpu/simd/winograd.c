/* Winograd convolution: weights are transformed once a call, then each thread takes strips of tiles through three steps in its
 * own scratch, which the second-level cache holds: patches to frequencies, products at each frequency, frequencies to outputs.
 *
 * The product at a frequency is the sum over input channels, ascending, by fma from zero; the transforms are the sequences
 * of operations written here. Neither the size of a strip nor that of a register tile changes a bit. */
#include "cpu/simd/winograd.h"

#include "cpu/simd/act.h"

/* The largest register tile: output channels by image tiles. Weights are packed for WINOGRAD_CO channels at a time. */
#if defined(CONV_LARGE_TILES)
enum { WINOGRAD_CO = 4, WINOGRAD_PX = 4 };
#else
enum { WINOGRAD_CO = 2, WINOGRAD_PX = 2 };
#endif

/* Tiles of a strip, and the bytes of frequencies that a strip should stay within, which leave room in a cache of 1 MiB. */
enum { STRIP_LEAST = 4, STRIP_MOST = 8, STRIP_BYTES = 600 << 10 };

typedef struct winograd_job {
  const conv_phase *phase;
  const conv_place *place; /* of block 0 */
  int groups;              /* of WINOGRAD_CO output channels */
  int tiles_across, tiles; /* of the image */
  int strips;              /* of the image */
  int strip;               /* most tiles of one */
  ptrdiff_t x_plane, x_block, y_block;
  /* Floats from one frequency to the next. The odd cache line keeps a tile's frequencies apart in the first-level cache. */
  ptrdiff_t patch_step, product_step;
  float *scratch; /* [thread][patches, products] */
} winograd_job;

/* One tile of a strip. */
typedef struct winograd_tile {
  int row, column;                                 /* of the first output */
  int rows, columns;                               /* outputs inside the image */
  ptrdiff_t patch[WINOGRAD_PATCH][WINOGRAD_PATCH]; /* of each place from the channel's first; -1 in the padding */
} winograd_tile;

static int winograd_groups(const conv_phase *phase) {
  return conv_pieces(phase->out_channels, WINOGRAD_CO);
}

static int winograd_strip(const conv_phase *phase) {
  int tile = WINOGRAD_FREQUENCIES * (phase->in_channels + phase->out_channels) * 16 * (int)sizeof(float);
  int fits = STRIP_BYTES / tile;
  return fits < STRIP_LEAST ? STRIP_LEAST : fits > STRIP_MOST ? STRIP_MOST : fits;
}

/* Floats from one frequency to the next where each has `channels` by `strip` vectors. */
static ptrdiff_t frequency_step(int channels, int strip) {
  return ((ptrdiff_t)channels * strip + 1) * 16;
}

static size_t scratch_count(const conv_phase *phase, int strip) {
  int out_channels = winograd_groups(phase) * WINOGRAD_CO;
  return WINOGRAD_FREQUENCIES * (size_t)(frequency_step(phase->in_channels, strip) + frequency_step(out_channels, strip));
}

static size_t weights_count(const conv_phase *phase) {
  return (size_t)WINOGRAD_FREQUENCIES * (size_t)winograd_groups(phase) * WINOGRAD_CO * (size_t)phase->in_channels;
}

/* Whole cache lines, so that what follows the weights is aligned. */
static size_t weights_room(const conv_phase *phase) {
  return (weights_count(phase) + 15) / 16 * 16;
}

size_t winograd_work(const conv_phase *phase, int threads) {
  size_t scratch = (size_t)threads * scratch_count(phase, winograd_strip(phase));
  return (weights_room(phase) + scratch) * sizeof(float);
}

/* G g, in double: the products are few, and their rounding would stand in every output. */
static void weight_line(const double g[3], double u[WINOGRAD_PATCH]) {
  double even = g[0] + g[2], far = g[0] + 4 * g[2];
  u[0] = g[0] / 4;
  u[1] = -(even + g[1]) / 6;
  u[2] = -(even - g[1]) / 6;
  u[3] = (far + 2 * g[1]) / 24;
  u[4] = (far - 2 * g[1]) / 24;
  u[5] = g[2];
}

/* G g G^T of one kernel; to[f * step] is frequency f. */
static void weight_transform(const conv_phase *phase, const float *w, float *to, size_t step) {
  double half[3][WINOGRAD_PATCH]; /* [tap column][frequency row] */
  for (int column = 0; column < 3; column++) {
    double g[3];
    for (int row = 0; row < 3; row++) g[row] = w[row * phase->w_tap[0] + column * phase->w_tap[1]];
    weight_line(g, half[column]);
  }
  for (int row = 0; row < WINOGRAD_PATCH; row++) {
    double u[WINOGRAD_PATCH];
    weight_line((const double[3]){half[0][row], half[1][row], half[2][row]}, u);
    for (int column = 0; column < WINOGRAD_PATCH; column++, to += step) *to = (float)u[column];
  }
}

/* Packs one group of output channels: [frequency][group][input channel][channel of the group], zeros past the last channel. */
static void weights_task(void *context, int index, int thread) {
  const winograd_job *job = context;
  const conv_phase *phase = job->phase;
  size_t step = weights_count(phase) / WINOGRAD_FREQUENCIES;
  float *to = phase->packed + (ptrdiff_t)index * phase->in_channels * WINOGRAD_CO;
  for (int in = 0; in < phase->in_channels; in++) {
    for (int c = 0; c < WINOGRAD_CO; c++, to++) {
      int out = index * WINOGRAD_CO + c;
      if (out < phase->out_channels) {
        weight_transform(phase, phase->w + out * phase->w_out + in * phase->w_in, to, step);
      } else {
        for (int f = 0; f < WINOGRAD_FREQUENCIES; f++) to[(size_t)f * step] = 0;
      }
    }
  }
}

static winograd_tile tile_make(const winograd_job *job, int index) {
  const conv_axis *h = &job->phase->axis[0], *w = &job->phase->axis[1];
  winograd_tile t = {.row = index / job->tiles_across * WINOGRAD_OUTPUT, .column = index % job->tiles_across * WINOGRAD_OUTPUT};
  t.rows = h->out - t.row < WINOGRAD_OUTPUT ? h->out - t.row : WINOGRAD_OUTPUT;
  t.columns = w->out - t.column < WINOGRAD_OUTPUT ? w->out - t.column : WINOGRAD_OUTPUT;
  for (int r = 0; r < WINOGRAD_PATCH; r++) {
    for (int c = 0; c < WINOGRAD_PATCH; c++) {
      int row = t.row + h->offset + r, column = t.column + w->offset + c;
      bool inside = row >= 0 && row < h->in && column >= 0 && column < w->in;
      t.patch[r][c] = inside ? ((ptrdiff_t)row * w->in + column) * 16 : -1;
    }
  }
  return t;
}

/* B^T d */
VEC void patch_line(const v16 *d, v16 *v) {
  v16 two = v16_set1(2), four = v16_set1(4), minus_four = v16_set1(-4), minus_five = v16_set1(-5);
  v16 even = v16_fma(minus_four, d[2], d[4]), odd = v16_fma(minus_four, d[1], d[3]);
  v16 near = v16_sub(d[4], d[2]), slope = v16_mul(two, v16_sub(d[3], d[1]));
  v[0] = v16_fma(four, d[0], v16_fma(minus_five, d[2], d[4]));
  v[1] = v16_add(even, odd);
  v[2] = v16_sub(even, odd);
  v[3] = v16_add(near, slope);
  v[4] = v16_sub(near, slope);
  v[5] = v16_fma(four, d[1], v16_fma(minus_five, d[3], d[5]));
}

/* A^T m */
VEC void output_line(const v16 *m, v16 *y) {
  v16 sum = v16_add(m[1], m[2]), difference = v16_sub(m[1], m[2]);
  v16 far_sum = v16_add(m[3], m[4]), far_difference = v16_sub(m[3], m[4]);
  y[0] = v16_add(v16_add(m[0], sum), far_sum);
  y[1] = v16_fma(v16_set1(2), far_difference, difference);
  y[2] = v16_fma(v16_set1(4), far_sum, sum);
  y[3] = v16_add(v16_fma(v16_set1(8), far_difference, difference), m[5]);
}

/* B^T d B of one channel of a tile; to[f * step] is frequency f. */
static void patch_transform(const winograd_tile *t, const float *x, float *to, ptrdiff_t step) {
  v16 half[WINOGRAD_PATCH][WINOGRAD_PATCH]; /* [frequency row][column] */
  for (int c = 0; c < WINOGRAD_PATCH; c++) {
    v16 d[WINOGRAD_PATCH], v[WINOGRAD_PATCH];
#pragma GCC unroll 6
    for (int r = 0; r < WINOGRAD_PATCH; r++) d[r] = t->patch[r][c] >= 0 ? v16_load(x + t->patch[r][c]) : v16_zero();
    patch_line(d, v);
#pragma GCC unroll 6
    for (int r = 0; r < WINOGRAD_PATCH; r++) half[r][c] = v[r];
  }
  for (int r = 0; r < WINOGRAD_PATCH; r++) {
    v16 v[WINOGRAD_PATCH];
    patch_line(half[r], v);
#pragma GCC unroll 6
    for (int c = 0; c < WINOGRAD_PATCH; c++, to += step) v16_store(to, v[c]);
  }
}

/* Patches of a strip: [frequency][input channel][tile]. */
static void strip_patches(const winograd_job *job, const winograd_tile *tiles, int count, const float *x, float *patches) {
  for (int in = 0; in < job->phase->in_channels; in++) {
    for (int t = 0; t < count; t++) {
      patch_transform(&tiles[t], x + in * job->x_plane, patches + ((ptrdiff_t)in * job->strip + t) * 16, job->patch_step);
    }
  }
}

/* PX tiles of WINOGRAD_CO output channels at one frequency. `strip` floats lie between channels. */
VEC void product_tile(const float *w, const float *patches, float *products, ptrdiff_t strip, int channels, const int PX) {
  v16 acc[WINOGRAD_CO * WINOGRAD_PX];
#pragma GCC unroll 32
  for (int i = 0; i < WINOGRAD_CO * PX; i++) acc[i] = v16_zero();
  for (int in = 0; in < channels; in++, w += WINOGRAD_CO, patches += strip) {
    v16 px[WINOGRAD_PX];
#pragma GCC unroll 8
    for (int p = 0; p < PX; p++) px[p] = v16_load(patches + p * 16);
#pragma GCC unroll 8
    for (int c = 0; c < WINOGRAD_CO; c++) {
      v16 weight = v16_set1(w[c]);
#pragma GCC unroll 8
      for (int p = 0; p < PX; p++) acc[c * PX + p] = v16_fma(weight, px[p], acc[c * PX + p]);
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < WINOGRAD_CO; c++) {
#pragma GCC unroll 8
    for (int p = 0; p < PX; p++) v16_store(products + c * strip + p * 16, acc[c * PX + p]);
  }
}

typedef void product_fn(const float *w, const float *patches, float *products, ptrdiff_t strip, int channels);

#define PRODUCT(PX)                                                                                                \
  static void product_##PX(const float *w, const float *patches, float *products, ptrdiff_t strip, int channels) { \
    product_tile(w, patches, products, strip, channels, PX);                                                       \
  }
PRODUCT(1)
PRODUCT(2)
#if defined(CONV_LARGE_TILES)
PRODUCT(3)
PRODUCT(4)
static product_fn *const product_table[WINOGRAD_PX] = {product_1, product_2, product_3, product_4};
#else
static product_fn *const product_table[WINOGRAD_PX] = {product_1, product_2};
#endif

/* Products of a strip: [frequency][output channel][tile]. */
static void strip_products(const winograd_job *job, int count, const float *patches, float *products) {
  int channels = job->phase->in_channels, pieces = conv_pieces(count, WINOGRAD_PX);
  ptrdiff_t strip = (ptrdiff_t)job->strip * 16;
  const float *w = job->phase->packed;
  for (int f = 0; f < WINOGRAD_FREQUENCIES; f++, patches += job->patch_step, products += job->product_step) {
    float *to = products;
    for (int group = 0; group < job->groups; group++, w += channels * WINOGRAD_CO, to += WINOGRAD_CO * strip) {
      for (int piece = 0; piece < pieces; piece++) {
        int first = conv_piece_first(count, pieces, piece), end = conv_piece_first(count, pieces, piece + 1);
        product_table[end - first - 1](w, patches + first * 16, to + first * 16, strip, channels);
      }
    }
  }
}

/* What follows the sum, but for long activations. */
VEC v16 output_finish(const conv_place *place, v16 y, v16 bias, ptrdiff_t at) {
  y = v16_add(y, bias);
  if (place->addend != NULL) y = v16_add(y, v16_load(place->addend + at));
  if (place->act.kind != DT_ACT_RELU) return y;
  return place->mask != NULL ? act_relu_gradient(y, v16_load(place->mask + at)) : act_relu(y);
}

/* The outputs of a tile take a long activation from memory, in place. */
static void output_long_act(const winograd_tile *t, const conv_place *place, ptrdiff_t at) {
  for (int r = 0; r < t->rows; r++, at += place->y_row) {
    for (int c = 0; c < t->columns; c++) {
      ptrdiff_t here = at + c * 16;
      v16 y = v16_load(place->y + here);
      y = place->mask != NULL ? act_gradient(&place->act, y, v16_load(place->mask + here)) : act_value(&place->act, y);
      v16_store(place->y + here, y);
    }
  }
}

/* Asks for the lines that the tile will write, so that they are there when the transform is done. */
VEC void output_expect(const winograd_tile *t, const conv_place *place, ptrdiff_t at) {
  for (int r = 0; r < t->rows; r++) {
    for (int c = 0; c < t->columns; c++) __builtin_prefetch(place->y + at + r * place->y_row + c * 16, 1);
  }
}

/* A^T m A of one channel of a tile and what follows; m[f * step] is frequency f, `at` the first output's place. */
static void output_transform(const winograd_tile *t, const conv_place *place, const float *m, ptrdiff_t step, v16 bias,
                             ptrdiff_t at) {
  v16 half[WINOGRAD_OUTPUT][WINOGRAD_PATCH]; /* [row][frequency column] */
  output_expect(t, place, at);
  for (int c = 0; c < WINOGRAD_PATCH; c++, m += step) {
    v16 line[WINOGRAD_PATCH], y[WINOGRAD_OUTPUT];
#pragma GCC unroll 6
    for (int r = 0; r < WINOGRAD_PATCH; r++) line[r] = v16_load(m + r * WINOGRAD_PATCH * step);
    output_line(line, y);
#pragma GCC unroll 4
    for (int r = 0; r < WINOGRAD_OUTPUT; r++) half[r][c] = y[r];
  }
  for (int r = 0; r < t->rows; r++) {
    v16 y[WINOGRAD_OUTPUT];
    ptrdiff_t here = at + r * place->y_row;
    output_line(half[r], y);
    for (int c = 0; c < t->columns; c++, here += 16) v16_store(place->y + here, output_finish(place, y[c], bias, here));
  }
  if (act_is_long(&place->act)) output_long_act(t, place, at);
}

static void strip_outputs(const winograd_job *job, const winograd_tile *tiles, int count, const float *products, ptrdiff_t y) {
  const conv_place *place = job->place;
  for (int out = 0; out < job->phase->out_channels; out++, y += place->y_channel) {
    v16 bias = place->bias != NULL ? v16_set1(place->bias[out]) : v16_zero();
    for (int t = 0; t < count; t++) {
      ptrdiff_t at = y + tiles[t].row * place->y_row + (ptrdiff_t)tiles[t].column * 16;
      output_transform(&tiles[t], place, products + ((ptrdiff_t)out * job->strip + t) * 16, job->product_step, bias, at);
    }
  }
}

static void strip_task(void *context, int index, int thread) {
  const winograd_job *job = context;
  int block = index / job->strips, strip = index % job->strips;
  int first = conv_piece_first(job->tiles, job->strips, strip);
  int count = conv_piece_first(job->tiles, job->strips, strip + 1) - first;
  float *patches = job->scratch + (size_t)thread * scratch_count(job->phase, job->strip);
  float *products = patches + WINOGRAD_FREQUENCIES * job->patch_step;
  winograd_tile tiles[STRIP_MOST];
  for (int t = 0; t < count; t++) tiles[t] = tile_make(job, first + t);
  strip_patches(job, tiles, count, job->place->x + block * job->x_block, patches);
  strip_products(job, count, patches, products);
  strip_outputs(job, tiles, count, products, block * job->y_block);
}

void winograd_run(dt_threads *threads, const conv_phase *phase, const conv_place *place, int blocks) {
  const conv_axis *h = &phase->axis[0], *w = &phase->axis[1];
  winograd_job job = {.phase = phase, .place = place, .groups = winograd_groups(phase)};
  job.tiles_across = conv_pieces(w->out, WINOGRAD_OUTPUT);
  job.tiles = job.tiles_across * conv_pieces(h->out, WINOGRAD_OUTPUT);
  /* Short strips where there are few tiles, so that every thread has work to the end. */
  int most = winograd_strip(phase), dealt = blocks * job.tiles / (2 * dt_threads_count(threads));
  job.strips = conv_pieces(job.tiles, dealt < 1 ? 1 : dealt < most ? dealt : most);
  job.strip = conv_pieces(job.tiles, job.strips);
  job.x_plane = (ptrdiff_t)h->in * w->in * 16;
  job.x_block = phase->in_channels * job.x_plane;
  job.y_block = phase->out_channels * place->y_channel;
  job.patch_step = frequency_step(phase->in_channels, job.strip);
  job.product_step = frequency_step(job.groups * WINOGRAD_CO, job.strip);
  job.scratch = phase->packed + weights_room(phase);
  dt_threads_run(threads, job.groups, weights_task, &job);
  dt_threads_run(threads, blocks * job.strips, strip_task, &job);
}
