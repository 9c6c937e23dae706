/* Pooling over windows: the largest pixel (the first in scan order; a NaN wins) or the mean with padding counted as zeros.
 * A task is one channel of one block. The common 2 x 2 window with stride 2 has loops of its own. */
#include "cpu/simd/common.h"

enum { SHORT_WINDOW = 16 }; /* places whose mean floats give as exactly as they can show it, to a unit or two */

typedef struct pooling {
  dt_window window;
  int64_t h, w, out_h, out_w; /* of the unpooled and the pooled plane */
  const float *x;             /* forward: unpooled */
  float *y;                   /* forward: pooled */
  uint8_t *index;             /* argmax, [planes][out_h][out_w][16]; NULL where nobody asks */
  const float *dy, *addend, *mask;
  float *dx;
  float share; /* 1 / (KH*KW) */
  dt_act act;
} pooling;

/* Place k of the window at output (p, q) in the plane of x, in vectors; -1 in the padding. */
VEC int64_t place_under(const pooling *c, int64_t p, int64_t q, int k) {
  const dt_window *win = &c->window;
  int64_t row = p * win->stride[0] - win->pad[0] + (int64_t)(k / win->kernel[1]) * win->dilation[0];
  int64_t column = q * win->stride[1] - win->pad[1] + (int64_t)(k % win->kernel[1]) * win->dilation[1];
  bool inside = row >= 0 && row < c->h && column >= 0 && column < c->w;
  return inside ? row * c->w + column : -1;
}

VEC int window_places(const pooling *c) {
  return c->window.kernel[0] * c->window.kernel[1];
}

/* a stands before b in scan order: whether b takes its place. */
VEC m16 wins(v16 b, v16 a) {
  return m16_from_bits(m16_bits(v16_gt(b, a)) | (uint16_t)~m16_bits(v16_eq(b, b)));
}

VEC void max_at(const pooling *c, const float *x, int64_t p, int64_t q, float *y, uint8_t *index) {
  v16 best = v16_zero(), argmax = v16_zero();
  bool any = false;
  for (int k = 0; k < window_places(c); k++) {
    int64_t place = place_under(c, p, q, k);
    if (place < 0) continue;
    v16 a = v16_load(x + place * 16);
    m16 better = any ? wins(a, best) : m16_from_bits(0xffff);
    best = v16_select(better, a, best);
    argmax = v16_select(better, v16_set1((float)k), argmax);
    any = true;
  }
  v16_store(y, best);
  if (index != NULL) v16_store_u8(index, argmax);
}

/* Of a window of more places than SHORT_WINDOW, in doubles: the mean of an image of equal pixels is that pixel. */
VEC void mean_wide_at(const pooling *c, const float *x, int64_t p, int64_t q, float *y) {
  w16 sum = w16_zero();
  for (int k = 0; k < window_places(c); k++) {
    int64_t place = place_under(c, p, q, k);
    if (place >= 0) sum = w16_add_load(sum, x + place * 16);
  }
  v16_store(y, w16_scale(sum, 1.0 / window_places(c)));
}

VEC void mean_at(const pooling *c, const float *x, int64_t p, int64_t q, float *y) {
  v16 sum = v16_zero();
  for (int k = 0; k < window_places(c); k++) {
    int64_t place = place_under(c, p, q, k);
    if (place >= 0) sum = v16_add(sum, v16_load(x + place * 16));
  }
  v16_store(y, v16_mul(sum, v16_set1(c->share)));
}

static void max_plane(void *context, int plane, int thread) {
  const pooling *c = context;
  const float *x = c->x + plane * c->h * c->w * 16;
  int64_t out = plane * c->out_h * c->out_w;
  for (int64_t p = 0; p < c->out_h; p++) {
    for (int64_t q = 0; q < c->out_w; q++, out++) {
      max_at(c, x, p, q, c->y + out * 16, c->index != NULL ? c->index + out * 16 : NULL);
    }
  }
}

static void max_plane_2x2(void *context, int plane, int thread) {
  const pooling *c = context;
  int64_t out = plane * c->out_h * c->out_w;
  for (int64_t p = 0; p < c->out_h; p++) {
    const float *above = c->x + (plane * c->h + 2 * p) * c->w * 16, *below = above + c->w * 16;
    for (int64_t q = 0; q < c->out_w; q++, out++, above += 32, below += 32) {
      v16 candidate[4] = {v16_load(above), v16_load(above + 16), v16_load(below), v16_load(below + 16)};
      v16 best = candidate[0], argmax = v16_zero();
#pragma GCC unroll 3
      for (int k = 1; k < 4; k++) {
        m16 better = wins(candidate[k], best);
        best = v16_select(better, candidate[k], best);
        argmax = v16_select(better, v16_set1((float)k), argmax);
      }
      v16_store(c->y + out * 16, best);
      if (c->index != NULL) v16_store_u8(c->index + out * 16, argmax);
    }
  }
}

static void mean_plane(void *context, int plane, int thread) {
  const pooling *c = context;
  const float *x = c->x + plane * c->h * c->w * 16;
  float *y = c->y + plane * c->out_h * c->out_w * 16;
  for (int64_t p = 0; p < c->out_h; p++) {
    for (int64_t q = 0; q < c->out_w; q++, y += 16) {
      if (window_places(c) > SHORT_WINDOW)
        mean_wide_at(c, x, p, q, y);
      else
        mean_at(c, x, p, q, y);
    }
  }
}

VEC void spread_at(const pooling *c, v16 dy, v16 argmax, int64_t p, int64_t q, float *dx) {
  for (int k = 0; k < window_places(c); k++) {
    int64_t place = place_under(c, p, q, k);
    if (place < 0) continue;
    v16 part = dy;
    if (c->index != NULL) part = v16_select(v16_eq(argmax, v16_set1((float)k)), dy, v16_zero());
    v16_store(dx + place * 16, v16_add(v16_load(dx + place * 16), part));
  }
}

static void backward_plane(void *context, int plane, int thread) {
  const pooling *c = context;
  int64_t first = plane * c->h * c->w * 16, out = plane * c->out_h * c->out_w;
  float *dx = c->dx + first;
  memset(dx, 0, (size_t)(c->h * c->w * 16) * sizeof *dx);
  for (int64_t p = 0; p < c->out_h; p++) {
    for (int64_t q = 0; q < c->out_w; q++, out++) {
      v16 dy = v16_load(c->dy + out * 16);
      if (c->index != NULL) {
        spread_at(c, dy, v16_load_u8(c->index + out * 16), p, q, dx);
      } else {
        spread_at(c, v16_mul(dy, v16_set1(c->share)), v16_zero(), p, q, dx);
      }
    }
  }
  if (c->addend == NULL && c->mask == NULL) return;
  for (int64_t i = 0; i < c->h * c->w * 16; i += 16) {
    v16_store(dx + i, gradient_finish(&c->act, v16_load(dx + i), at(c->addend, first + i), at(c->mask, first + i)));
  }
}

static void backward_plane_2x2(void *context, int plane, int thread) {
  const pooling *c = context;
  int64_t out = plane * c->out_h * c->out_w;
  for (int64_t p = 0; p < c->out_h; p++) {
    int64_t above = (plane * c->h + 2 * p) * c->w * 16, below = above + c->w * 16;
    for (int64_t q = 0; q < c->out_w; q++, out++, above += 32, below += 32) {
      v16 dy = v16_load(c->dy + out * 16), argmax = v16_load_u8(c->index + out * 16);
      const int64_t place[4] = {above, above + 16, below, below + 16};
#pragma GCC unroll 4
      for (int k = 0; k < 4; k++) {
        v16 g = v16_select(v16_eq(argmax, v16_set1((float)k)), dy, v16_zero());
        v16_store(c->dx + place[k], gradient_finish(&c->act, g, at(c->addend, place[k]), at(c->mask, place[k])));
      }
    }
  }
}

static bool is_2x2(const pooling *c) {
  const dt_window *w = &c->window;
  bool two = true;
  for (int i = 0; i < 2; i++) two = two && w->kernel[i] == 2 && w->stride[i] == 2 && w->pad[i] == 0 && w->dilation[i] == 1;
  return two;
}

static pooling pooling_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, dt_arg unpooled, dt_arg pooled) {
  const dt_shape *x = arg_shape(run, instr, unpooled), *y = arg_shape(run, instr, pooled);
  pooling c = {.window = instr->pool.window, .h = x->dim[1], .w = x->dim[2], .out_h = y->dim[1], .out_w = y->dim[2]};
  c.share = 1.0f / (float)window_places(&c);
  if (!instr->pool.average) c.index = (uint8_t *)dt_cpu_arg(run, instr, micro, DT_ARG_AUX);
  return c;
}

dt_status DT_SIMD(dt_cpu_pool_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  pooling c = pooling_of(run, instr, micro, DT_ARG_X, DT_ARG_Y);
  c.x = dt_cpu_arg(run, instr, micro, DT_ARG_X);
  c.y = dt_cpu_arg(run, instr, micro, DT_ARG_Y);
  dt_task *task = instr->pool.average ? mean_plane : is_2x2(&c) ? max_plane_2x2 : max_plane;
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro) * (int)arg_shape(run, instr, DT_ARG_X)->dim[0], task, &c);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_pool_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  pooling c = pooling_of(run, instr, micro, DT_ARG_DX, DT_ARG_DY);
  c.dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY);
  c.dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX);
  c.addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND);
  c.mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK);
  c.act = instr->act;
  /* Odd planes have pixels under no window, which the short loop would leave unwritten. */
  bool covered = c.h == 2 * c.out_h && c.w == 2 * c.out_w;
  dt_task *task = !instr->pool.average && is_2x2(&c) && covered ? backward_plane_2x2 : backward_plane;
  dt_threads_run(run_threads(run), micro_batch_blocks(run, micro) * (int)arg_shape(run, instr, DT_ARG_DX)->dim[0], task, &c);
  return DT_OK;
}
