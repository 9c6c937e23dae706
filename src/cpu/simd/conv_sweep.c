/* Cuts the outputs of a phase into tiles whose places have the same taps inside the input, and runs conv_tile on each.
 *
 * Padding costs nothing: an output near the border has a shorter range of taps, and the outputs between two changes of that
 * range, down and across, form a rectangle. Rectangles are tiled along their longer side, so that the columns at the left
 * and right border fill registers just as rows do. Rows go in bands, all channels of a band before the next, so that a band
 * of the input stays in the cache. */
#include "cpu/simd/conv_sweep.h"

#include "cpu/simd/conv_tile.h"

enum { CONV_BAND = 2 * CONV_PX };

static int conv_min(int a, int b) {
  return a < b ? a : b;
}
int conv_tiles(const conv_phase *phase) {
  return phase->groups * conv_pieces(phase->out_channels, CONV_CO);
}

conv_channels conv_tile_channels(const conv_phase *phase, int tile) {
  int pieces = conv_pieces(phase->out_channels, CONV_CO), piece = tile % pieces;
  int first = conv_piece_first(phase->out_channels, pieces, piece);
  return (conv_channels){tile / pieces, first, conv_piece_first(phase->out_channels, pieces, piece + 1) - first};
}

static size_t conv_tap_weights(const conv_phase *phase) {
  return (size_t)phase->in_channels * (size_t)phase->axis[0].taps * (size_t)phase->axis[1].taps;
}

size_t conv_packed_count(const conv_phase *phase) {
  return (size_t)phase->groups * (size_t)phase->out_channels * conv_tap_weights(phase);
}

static float *conv_tile_weights(const conv_phase *phase, conv_channels channels) {
  size_t channel = (size_t)channels.group * (size_t)phase->out_channels + (size_t)channels.first;
  return phase->packed + channel * conv_tap_weights(phase);
}

void conv_pack_tile(const conv_phase *phase, int tile) {
  conv_channels channels = conv_tile_channels(phase, tile);
  float *to = conv_tile_weights(phase, channels);
  const float *from = phase->w + channels.group * phase->w_group + channels.first * phase->w_out;
  for (int in = 0; in < phase->in_channels; in++) {
    for (int row = 0; row < phase->axis[0].taps; row++) {
      for (int column = 0; column < phase->axis[1].taps; column++) {
        const float *w = from + in * phase->w_in + row * phase->w_tap[0] + column * phase->w_tap[1];
        for (int c = 0; c < channels.count; c++) *to++ = w[c * phase->w_out];
      }
    }
  }
}

/* The taps of output t that lie inside the input: [*first, *end). */
static void conv_taps_inside(const conv_axis *a, int t, int *first, int *end) {
  int place = t * a->step + a->offset;
  *first = place >= 0 ? 0 : (-place + a->tap_step - 1) / a->tap_step;
  *end = place >= a->in ? 0 : conv_min(a->taps, (a->in - 1 - place) / a->tap_step + 1);
  if (*first >= *end) *first = *end = 0;
}

/* The end of the run of outputs that starts at t and has the same taps inside, at most `limit`. */
static int conv_run_end(const conv_axis *a, int t, int limit, int *first, int *end) {
  conv_taps_inside(a, t, first, end);
  if (a->taps == 0) return limit;
  if (*first == 0 && *end == a->taps) {
    int last = (a->in - 1 - a->offset - (a->taps - 1) * a->tap_step) / a->step;
    return conv_min(limit, last + 1);
  }
  for (t++; t < limit; t++) {
    int next_first, next_end;
    conv_taps_inside(a, t, &next_first, &next_end);
    if (next_first != *first || next_end != *end) break;
  }
  return t;
}

/* The tile's sums take a long activation from memory, in place. */
static void conv_tile_long_act(const conv_tile *t, int co, int px) {
  for (int c = 0; c < co; c++) {
    for (int p = 0; p < px; p++) {
      ptrdiff_t at = c * t->y_channel + p * t->y_px;
      v16 v = v16_load(t->y + at);
      v16_store(t->y + at, t->mask != NULL ? act_gradient(&t->act, v, v16_load(t->mask + at)) : act_value(&t->act, v));
    }
  }
}

#define CONV_TILE(CO, PX)                                                                    \
  static void conv_tile_##CO##_##PX(const conv_tile *t) {                                    \
    v16 acc[(CO) * (PX)];                                                                    \
    conv_tile_expect(t, CO, PX);                                                             \
    conv_tile_sum(t, acc, CO, PX);                                                           \
    conv_tile_finish(t, acc, CO, PX);                                                        \
  }
#if defined(CONV_LARGE_TILES)
#define CONV_TILES(CO) CONV_TILE(CO, 1) CONV_TILE(CO, 2) CONV_TILE(CO, 3) CONV_TILE(CO, 4) CONV_TILE(CO, 5) CONV_TILE(CO, 6)
#define CONV_ROW(CO) \
  {conv_tile_##CO##_1, conv_tile_##CO##_2, conv_tile_##CO##_3, conv_tile_##CO##_4, conv_tile_##CO##_5, conv_tile_##CO##_6}
CONV_TILES(1) CONV_TILES(2) CONV_TILES(3) CONV_TILES(4)
static conv_tile_fn *const conv_tile_table[CONV_CO][CONV_PX] = {CONV_ROW(1), CONV_ROW(2), CONV_ROW(3), CONV_ROW(4)};
#else
#define CONV_TILES(CO) CONV_TILE(CO, 1) CONV_TILE(CO, 2)
#define CONV_ROW(CO) {conv_tile_##CO##_1, conv_tile_##CO##_2}
CONV_TILES(1) CONV_TILES(2) CONV_TILES(3)
static conv_tile_fn *const conv_tile_table[CONV_CO][CONV_PX] = {CONV_ROW(1), CONV_ROW(2), CONV_ROW(3)};
#endif

/* What the tiles of one sweep and one tile of channels share. */
typedef struct conv_line {
  const conv_phase *phase;
  const conv_place *place;
  conv_channels channels;
  conv_tile tile;     /* filled in but for what depends on the place */
  const float *x, *w; /* of the group's and tile's first channel */
  ptrdiff_t y;        /* of the tile's first channel, row 0 and column 0 of the phase, from place->y */
} conv_line;

static conv_line conv_line_start(const conv_phase *phase, const conv_place *place, int tile) {
  const conv_axis *h = &phase->axis[0], *w = &phase->axis[1];
  conv_line line = {.phase = phase, .place = place, .channels = conv_tile_channels(phase, tile)};
  ptrdiff_t plane = (ptrdiff_t)h->in * w->in * 16;
  int channel = line.channels.group * phase->out_channels + line.channels.first;
  line.x = place->x + (ptrdiff_t)line.channels.group * phase->in_channels * plane;
  line.w = conv_tile_weights(phase, line.channels);
  line.y = (channel - place->first_channel) * place->y_channel + (h->out_first - place->first_row) * place->y_row +
           (ptrdiff_t)(w->out_first - place->first_column) * 16;
  line.tile = (conv_tile){.x_channel = plane,
                          .x_row = (ptrdiff_t)h->tap_step * w->in * 16,
                          .x_column = (ptrdiff_t)w->tap_step * 16,
                          .w_channel = (ptrdiff_t)h->taps * w->taps * line.channels.count,
                          .w_row = (ptrdiff_t)w->taps * line.channels.count,
                          .channels = phase->in_channels,
                          .y_channel = place->y_channel,
                          .bias = place->bias != NULL ? place->bias + channel : NULL,
                          .act = place->act};
  return line;
}

/* A rectangle of outputs with the same taps inside. */
typedef struct conv_rectangle {
  int row, row_end, column, column_end;
  int tap_row, tap_row_end, tap_column, tap_column_end;
} conv_rectangle;

static void conv_run_tile(conv_line *line, const float *x, ptrdiff_t y, int px) {
  const conv_place *place = line->place;
  conv_tile *t = &line->tile;
  int count = line->channels.count;
  t->x = x;
  t->y = place->y + y;
  if (place->addend != NULL) t->addend = place->addend + y;
  if (place->mask != NULL) t->mask = place->mask + y;
  conv_tile_table[count - 1][px - 1](t);
  if (act_is_long(&t->act)) conv_tile_long_act(t, count, px);
}

static void conv_run_rectangle(conv_line *line, const conv_rectangle *r) {
  const conv_axis *h = &line->phase->axis[0], *w = &line->phase->axis[1];
  conv_tile *t = &line->tile;
  int height = r->row_end - r->row, width = r->column_end - r->column;
  ptrdiff_t x_down = (ptrdiff_t)h->step * w->in * 16, x_across = (ptrdiff_t)w->step * 16;
  ptrdiff_t y_down = h->out_step * line->place->y_row, y_across = (ptrdiff_t)w->out_step * 16;
  bool across = width >= height || width >= CONV_PX;
  int length = across ? width : height, lines = across ? height : width;
  int pieces = conv_pieces(length, CONV_PX), least = length / pieces, longer = length % pieces;
  ptrdiff_t x_line = across ? x_down : x_across, y_line = across ? y_down : y_across;
  ptrdiff_t x_row = (ptrdiff_t)r->row * h->step + h->offset + (ptrdiff_t)r->tap_row * h->tap_step;
  ptrdiff_t x_column = (ptrdiff_t)r->column * w->step + w->offset + (ptrdiff_t)r->tap_column * w->tap_step;
  const float *x_first = line->x + (x_row * w->in + x_column) * 16;
  ptrdiff_t y_first = line->y + r->row * y_down + r->column * y_across;
  t->x_px = across ? x_across : x_down;
  t->y_px = across ? y_across : y_down;
  t->w = line->w + r->tap_row * t->w_row + r->tap_column * line->channels.count;
  t->rows = r->tap_row_end - r->tap_row;
  t->columns = r->tap_column_end - r->tap_column;
  for (int i = 0; i < lines; i++, x_first += x_line, y_first += y_line) {
    const float *x = x_first;
    ptrdiff_t y = y_first;
    for (int piece = 0; piece < pieces; piece++) {
      int px = piece < longer ? least + 1 : least;
      conv_run_tile(line, x, y, px);
      x += px * t->x_px;
      y += px * t->y_px;
    }
  }
}

static void conv_run_band(conv_line *line, const conv_range *range, int row_first, int row_end) {
  const conv_axis *h = &line->phase->axis[0], *w = &line->phase->axis[1];
  conv_rectangle r;
  for (r.row = row_first; r.row < row_end; r.row = r.row_end) {
    r.row_end = conv_run_end(h, r.row, row_end, &r.tap_row, &r.tap_row_end);
    for (r.column = range->column; r.column < range->column_end; r.column = r.column_end) {
      r.column_end = conv_run_end(w, r.column, range->column_end, &r.tap_column, &r.tap_column_end);
      conv_run_rectangle(line, &r);
    }
  }
}

void conv_sweep(const conv_phase *phase, const conv_place *place, const conv_range *range) {
  for (int row = range->row; row < range->row_end; row += CONV_BAND) {
    for (int tile = range->tile; tile < range->tile_end; tile++) {
      conv_line line = conv_line_start(phase, place, tile);
      conv_run_band(&line, range, row, conv_min(range->row_end, row + CONV_BAND));
    }
  }
}
