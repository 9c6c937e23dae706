/* Pooling over a window of KH x KW, channel by channel.
 *
 *   max:  y = the first largest pixel under the window in scan order; its place r*KW + s goes to aux. Padding never wins.
 *         dx receives dy at the argmax.
 *   mean: y = (sum of the pixels under the window) / (KH*KW), padding counting as zeros; dx receives dy / (KH*KW) at each. */
#include <math.h>

#include "cpu/reference.h"

typedef struct pool_problem {
  dt_reference_image x, y;
  dt_window window;
} pool_problem;

static pool_problem problem_of(const dt_reference_sample *at, dt_arg x, dt_arg y) {
  return (pool_problem){
      .x = dt_reference_image_of(at->run, at->instr, x),
      .y = dt_reference_image_of(at->run, at->instr, y),
      .window = at->instr->pool.window,
  };
}

/* Index in a channel of x of the window's place k at output (p, q); -1 in the padding. */
static int64_t pixel_under(const pool_problem *c, int64_t p, int64_t q, int64_t k) {
  const dt_window *w = &c->window;
  int64_t row = p * w->stride[0] - w->pad[0] + k / w->kernel[1] * w->dilation[0];
  int64_t column = q * w->stride[1] - w->pad[1] + k % w->kernel[1] * w->dilation[1];
  bool inside = row >= 0 && row < c->x.height && column >= 0 && column < c->x.width;
  return inside ? row * c->x.width + column : -1;
}

static int64_t window_places(const pool_problem *c) {
  return (int64_t)c->window.kernel[0] * c->window.kernel[1];
}

/* The first largest of the window. A NaN wins, so that it is not lost from sight. */
static int64_t find_max(const pool_problem *c, const double *x, int64_t p, int64_t q) {
  int64_t argmax = -1;
  double best = 0;
  for (int64_t k = 0; k < window_places(c); k++) {
    int64_t i = pixel_under(c, p, q, k);
    if (i < 0) continue;
    if (argmax < 0 || x[i] > best || isnan(x[i])) {
      argmax = k;
      best = x[i];
    }
  }
  DT_ASSERT(argmax >= 0 && argmax < 256);
  return argmax;
}

static double find_mean(const pool_problem *c, const double *x, int64_t p, int64_t q) {
  double sum = 0;
  for (int64_t k = 0; k < window_places(c); k++) {
    int64_t i = pixel_under(c, p, q, k);
    if (i >= 0) sum += x[i];
  }
  return sum / (double)window_places(c);
}

static void pool_forward(const dt_reference_sample *at) {
  pool_problem c = problem_of(at, DT_ARG_X, DT_ARG_Y);
  const double *x = dt_reference_value(at, DT_ARG_X);
  double *y = dt_reference_value(at, DT_ARG_Y);
  uint8_t *aux = dt_reference_index(at, DT_ARG_AUX);
  int64_t element = 0;
  for (int64_t channel = 0; channel < c.y.channels; channel++, x += c.x.height * c.x.width) {
    for (int64_t p = 0; p < c.y.height; p++) {
      for (int64_t q = 0; q < c.y.width; q++, element++) {
        if (at->instr->pool.average) {
          y[element] = find_mean(&c, x, p, q);
          continue;
        }
        int64_t argmax = find_max(&c, x, p, q);
        y[element] = x[pixel_under(&c, p, q, argmax)];
        if (aux != NULL) aux[element] = (uint8_t)argmax;
      }
    }
  }
}

/* dx of the window at (p, q) that the mean spreads over. */
static void spread_mean(const pool_problem *c, double dy, int64_t p, int64_t q, double *dx) {
  for (int64_t k = 0; k < window_places(c); k++) {
    int64_t i = pixel_under(c, p, q, k);
    if (i >= 0) dx[i] += dy / (double)window_places(c);
  }
}

static void pool_backward(const dt_reference_sample *at) {
  pool_problem c = problem_of(at, DT_ARG_DX, DT_ARG_DY);
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  const uint8_t *aux = dt_reference_index(at, DT_ARG_AUX);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  for (int64_t i = 0; i < c.x.channels * c.x.height * c.x.width; i++) dx[i] = 0;
  int64_t element = 0;
  for (int64_t channel = 0; channel < c.y.channels; channel++, dx += c.x.height * c.x.width) {
    for (int64_t p = 0; p < c.y.height; p++) {
      for (int64_t q = 0; q < c.y.width; q++, element++) {
        if (at->instr->pool.average)
          spread_mean(&c, dy[element], p, q, dx);
        else
          dx[pixel_under(&c, p, q, aux[element])] += dy[element];
      }
    }
  }
}

dt_status dt_reference_pool_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return dt_reference_map(run, instr, micro, DT_ARG_Y, pool_forward);
}

dt_status dt_reference_pool_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, pool_backward);
}
