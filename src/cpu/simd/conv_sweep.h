/* Convolution seen from the outputs: forward, and the gradient of the input, are the same sweep over outputs with other taps.
 *
 * Along each axis, output t sums taps j = 0, 1, .. which read input t * step + offset + j * tap_step. The gradient of the
 * input of a convolution with stride s is s such sums an axis (its phases): the inputs with the same remainder of division
 * by s have the same taps, and each is written once, by its owner. */
#ifndef DT_CPU_SIMD_CONV_SWEEP_H
#define DT_CPU_SIMD_CONV_SWEEP_H

#include <stddef.h>

#include "core/program/program.h"
#include "cpu/simd/vec.h"

/* Sanitizers multiply the code of unrolled loops: there every instruction set makes do with small tiles. */
#if defined(DT_ISA_avx512) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CONV_LARGE_TILES
#endif

/* The largest tile of outputs that the registers hold: output channels by places. */
#if defined(CONV_LARGE_TILES)
enum { CONV_CO = 4, CONV_PX = 6 };
#else
enum { CONV_CO = 3, CONV_PX = 2 };
#endif

/* Pieces of at most `most` that count elements are dealt to, evenly. */
static inline int conv_pieces(int count, int most) {
  return (count + most - 1) / most;
}
/* The first element of piece i; of piece `pieces`, the count. */
static inline int conv_piece_first(int count, int pieces, int i) {
  int least = count / pieces, longer = count % pieces;
  return i * least + (i < longer ? i : longer);
}

typedef struct conv_axis {
  int in;                     /* places of the input */
  int out;                    /* outputs of the phase */
  int out_first, out_step;    /* output t stands at place out_first + t * out_step */
  int step, offset, tap_step; /* see above */
  int taps;
} conv_axis;

/* One phase of a layer. Channels are counted within a group. */
typedef struct conv_phase {
  int groups, in_channels, out_channels;
  conv_axis axis[2]; /* height, width */
  const float *w;    /* logical weights at tap (0, 0) of the first group, output and input channel */
  ptrdiff_t w_group, w_out, w_in, w_tap[2];
  float *packed;     /* [tile of output channels][input channel][tap row][tap column][output channel of the tile] */
} conv_phase;

/* Where a block's outputs go. y, addend and mask start at channel `first_channel`, row `first_row` and column `first_column`
 * of the output. */
typedef struct conv_place {
  const float *x;
  float *y;
  const float *addend, *mask, *bias; /* NULL where absent */
  int first_channel, first_row, first_column;
  ptrdiff_t y_channel, y_row; /* floats from one channel and row of y to the next */
  dt_act act;                 /* of y; with a mask, the activation whose derivative at the mask scales y */
} conv_place;

/* Tiles of output channels: the unit in which weights are packed and work is dealt out. */
typedef struct conv_channels {
  int group, first, count; /* channels [first, first + count) of the group */
} conv_channels;

int DT_SIMD(conv_tiles)(const conv_phase *phase); /* of all groups */
conv_channels DT_SIMD(conv_tile_channels)(const conv_phase *phase, int tile);
/* Elements of the packed weights of a phase. */
size_t DT_SIMD(conv_packed_count)(const conv_phase *phase);
void DT_SIMD(conv_pack_tile)(const conv_phase *phase, int tile);
/* The part of a phase's outputs that a sweep computes. */
typedef struct conv_range {
  int tile, tile_end, row, row_end, column, column_end;
} conv_range;

/* Computes a range of the phase's outputs of one block. */
void DT_SIMD(conv_sweep)(const conv_phase *phase, const conv_place *place, const conv_range *range);

#define conv_tiles DT_SIMD(conv_tiles)
#define conv_tile_channels DT_SIMD(conv_tile_channels)
#define conv_packed_count DT_SIMD(conv_packed_count)
#define conv_pack_tile DT_SIMD(conv_pack_tile)
#define conv_sweep DT_SIMD(conv_sweep)

#endif
