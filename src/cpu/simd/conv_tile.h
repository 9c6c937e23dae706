/* The heart of convolution forward and backward: a tile of outputs, kept in registers while the sum runs.
 *
 * A tile is CO output channels by PX output places of one block of 16 samples; all its places have the same taps inside the
 * input. Each output is the sum over (input channel, tap row, tap column) in this order, by fma from zero, in the runs of
 * sums.h; taps that fall into the padding are left out. Then + bias, + addend, and the activation, or times the derivative at
 * the mask. The size of a tile never changes a bit, so every instruction set chooses what its registers hold. */
#ifndef DT_CPU_SIMD_CONV_TILE_H
#define DT_CPU_SIMD_CONV_TILE_H

#include <stddef.h>

#include "core/program/program.h"
#include "cpu/simd/act.h"
#include "cpu/simd/conv_sweep.h"
#include "cpu/simd/sums.h"

typedef struct conv_tile {
  const float *x;                 /* first channel, first tap inside the input, of the first place */
  ptrdiff_t x_channel, x_row, x_column, x_px; /* floats from one channel, tap row, tap column, place to the next */
  const float *w;                 /* packed [channel][tap row][tap column][CO] at the first tap */
  ptrdiff_t w_channel, w_row;
  int channels, rows, columns;    /* of the sum */
  float *y;                       /* first output channel of the first place */
  const float *addend, *mask;     /* the same places as y, or NULL */
  ptrdiff_t y_channel, y_px;
  const float *bias;              /* of the first output channel, or NULL */
  dt_act act;                     /* applied to y, or, with a mask, the one that the mask went through */
} conv_tile;

typedef void conv_tile_fn(const conv_tile *t);

/* What follows the sum. Long activations take the finished sums from memory. */
VEC void conv_tile_finish(const conv_tile *t, v16 *acc, const int CO, const int PX) {
  if (t->bias != NULL) {
#pragma GCC unroll 8
    for (int c = 0; c < CO; c++) {
      v16 bias = v16_set1(t->bias[c]);
#pragma GCC unroll 8
      for (int p = 0; p < PX; p++) acc[c * PX + p] = v16_add(acc[c * PX + p], bias);
    }
  }
  if (t->addend != NULL) {
#pragma GCC unroll 8
    for (int c = 0; c < CO; c++) {
#pragma GCC unroll 8
      for (int p = 0; p < PX; p++) {
        acc[c * PX + p] = v16_add(acc[c * PX + p], v16_load(t->addend + c * t->y_channel + p * t->y_px));
      }
    }
  }
  bool relu = t->act.kind == DT_ACT_RELU;
  if (relu && t->mask == NULL) {
#pragma GCC unroll 32
    for (int i = 0; i < CO * PX; i++) acc[i] = act_relu(acc[i]);
  }
  if (relu && t->mask != NULL) {
#pragma GCC unroll 8
    for (int c = 0; c < CO; c++) {
#pragma GCC unroll 8
      for (int p = 0; p < PX; p++) {
        v16 mask = v16_load(t->mask + c * t->y_channel + p * t->y_px);
        acc[c * PX + p] = act_relu_gradient(acc[c * PX + p], mask);
      }
    }
  }
#pragma GCC unroll 8
  for (int c = 0; c < CO; c++) {
#pragma GCC unroll 8
    for (int p = 0; p < PX; p++) v16_store(t->y + c * t->y_channel + p * t->y_px, acc[c * PX + p]);
  }
}

/* Asks for the lines that the tile will write, so that they are there when the sum is done. */
VEC void conv_tile_expect(const conv_tile *t, const int CO, const int PX) {
#pragma GCC unroll 8
  for (int c = 0; c < CO; c++) {
#pragma GCC unroll 8
    for (int p = 0; p < PX; p++) __builtin_prefetch(t->y + c * t->y_channel + p * t->y_px, 1);
  }
}

/* A part of a tile's sum: channels [channel, channel + channels), tap rows [row, row + rows). */
typedef struct conv_run {
  int channel, channels, row, rows;
} conv_run;

/* The run of the sum behind this one (sums.h); false behind the last. Whole channels while their taps are one run, else whole
 * tap rows. */
static inline bool conv_run_next(const conv_tile *t, conv_run *run) {
  int channel_taps = t->rows * t->columns;
  if (channel_taps <= SUM_RUN) {
    run->channel += run->channels;
    run->channels = SUM_RUN / channel_taps;
    run->rows = t->rows;
  } else {
    run->row += run->rows;
    if (run->row >= t->rows || run->channels == 0) {
      run->channel += run->channels;
      run->row = 0;
    }
    run->channels = 1;
    run->rows = t->columns < SUM_RUN ? SUM_RUN / t->columns : 1;
    if (run->rows > t->rows - run->row) run->rows = t->rows - run->row;
  }
  if (run->channels > t->channels - run->channel) run->channels = t->channels - run->channel;
  return run->channel < t->channels;
}

VEC void conv_run_sum(const conv_tile *t, const conv_run *run, v16 *acc, const int CO, const int PX) {
#pragma GCC unroll 32
  for (int i = 0; i < CO * PX; i++) acc[i] = v16_zero();
  const float *xc = t->x + run->channel * t->x_channel + run->row * t->x_row;
  const float *wc = t->w + run->channel * t->w_channel + run->row * t->w_row;
  for (int channel = 0; channel < run->channels; channel++, xc += t->x_channel, wc += t->w_channel) {
    const float *xr = xc, *wr = wc;
    for (int row = 0; row < run->rows; row++, xr += t->x_row, wr += t->w_row) {
      const float *x = xr, *w = wr;
      for (int column = 0; column < t->columns; column++, x += t->x_column, w += CO) {
        v16 px[CONV_PX];
#pragma GCC unroll 8
        for (int p = 0; p < PX; p++) px[p] = v16_load(x + p * t->x_px);
#pragma GCC unroll 8
        for (int c = 0; c < CO; c++) {
          v16 weight = v16_set1(w[c]);
#pragma GCC unroll 8
          for (int p = 0; p < PX; p++) acc[c * PX + p] = v16_fma(weight, px[p], acc[c * PX + p]);
        }
      }
    }
  }
}

VEC void conv_tile_sum(const conv_tile *t, v16 *acc, const int CO, const int PX) {
  conv_run run = {.channels = t->channels, .rows = t->rows};
  if ((int64_t)t->channels * t->rows * t->columns <= SUM_RUN) {
    conv_run_sum(t, &run, acc, CO, PX);
    return;
  }
  run_sums runs;
  run = (conv_run){.channels = 0};
  conv_run_next(t, &run);
  for (bool first = true, more = true; more; first = false) {
    conv_run_sum(t, &run, acc, CO, PX);
    more = conv_run_next(t, &run);
    runs_leave(&runs, acc, 1, CO * PX, 0, first, !more);
  }
}

#endif
