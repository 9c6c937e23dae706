/* The arithmetic of the emulated cuDNN: convolutions over NHWC tensors in any of the three directions, plainly.
 *
 * Operands are widened to float once and laid side by side: x and y as [N, H, W, C], the filter as [R, S, C / groups, K]
 * (forward, and for its gradient) or [K, R, S, C / groups] (backward data), so that the innermost loop always runs over
 * neighbours. Every sum is taken in one order, which depends on the shape alone, except by the engine that is made not to. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cudnn_backend.h"
#include "emulator.h"

static int64_t count_of(const cudnn_tensor *t) {
  return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

/* The output is summed in memory of the same kind, and a filter also stands there transposed. */
int64_t cudnn_operand_count(const cudnn_problem *problem) {
  return count_of(&problem->x) + 2 * count_of(&problem->w) + count_of(&problem->y);
}

static char *place(const cudnn_tensor *t, const void *base, int64_t n, int64_t h, int64_t w) {
  return (char *)base + (n * t->stride[0] + h * t->stride[2] + w * t->stride[3]) * element_bytes(t->type);
}

/* to[N, H, W, C] = the tensor, as the engine reads it. */
static void widen(const cudnn_tensor *t, const void *from, bool tf32, float *to) {
  for (int64_t n = 0; n < t->dim[0]; n++) {
    for (int64_t h = 0; h < t->dim[2]; h++) {
      for (int64_t w = 0; w < t->dim[3]; w++, to += t->dim[1]) {
        element_read(t->type, place(t, from, n, h, w), t->dim[1], to);
        if (tf32 && t->type == ELEMENT_F32) element_round_tf32(to, t->dim[1]);
      }
    }
  }
}

static void scale(float *value, int64_t count, float factor) {
  for (int64_t i = 0; factor != 1 && i < count; i++) value[i] *= factor;
}

/* The tensor = from[N, H, W, C] + beta * the tensor, rounded. */
static void narrow(const cudnn_tensor *t, float *from, float beta, void *to) {
  float *before = NULL;
  if (beta != 0) {
    before = malloc((size_t)t->dim[1] * sizeof *before);
    if (!before) emulator_fail("cudnn: out of host memory");
  }
  for (int64_t n = 0; n < t->dim[0]; n++) {
    for (int64_t h = 0; h < t->dim[2]; h++) {
      for (int64_t w = 0; w < t->dim[3]; w++, from += t->dim[1]) {
        if (before) {
          element_read(t->type, place(t, to, n, h, w), t->dim[1], before);
          for (int64_t c = 0; c < t->dim[1]; c++) from[c] += beta * before[c];
        }
        element_write(t->type, from, t->dim[1], place(t, to, n, h, w));
      }
    }
  }
  free(before);
}

/* Between [K, R, S, C] and [R, S, C, K]: to[column][row] = from[row][column]. */
static void transpose(const float *from, int64_t rows, int64_t columns, float *to) {
  for (int64_t r = 0; r < rows; r++) {
    for (int64_t c = 0; c < columns; c++) to[c * rows + r] = from[r * columns + c];
  }
}

static inline void add_scaled(float *restrict into, const float *restrict from, float factor, int64_t count) {
  for (int64_t i = 0; i < count; i++) into[i] += factor * from[i];
}

/* One place of the filter over one place of the output: which place of the input it meets, and where in the filter. */
typedef struct meeting {
  int64_t input; /* index of x's [N, H, W] */
  int64_t tap;   /* index of w's [R, S] */
} meeting;

/* All meetings of output place (n, p, q), in the order of the filter from `first` on; their count. */
static int64_t meetings_of(const cudnn_problem *p, int64_t n, int64_t row, int64_t column, int64_t first, meeting *out) {
  int64_t taps = p->w.dim[2] * p->w.dim[3], count = 0;
  for (int64_t i = 0; i < taps; i++) {
    int64_t tap = (first + i) % taps, r = tap / p->w.dim[3], s = tap % p->w.dim[3];
    int64_t h = row * p->stride[0] - p->pad[0] + r * p->dilation[0], w = column * p->stride[1] - p->pad[1] + s * p->dilation[1];
    if (h < 0 || h >= p->x.dim[2] || w < 0 || w >= p->x.dim[3]) continue;
    out[count++] = (meeting){(n * p->x.dim[2] + h) * p->x.dim[3] + w, p->flipped ? taps - 1 - tap : tap};
  }
  return count;
}

/* Widened operands; the one that is the output is being summed. */
typedef struct operands {
  float *x;                    /* [N, H, W, C] */
  float *w;                    /* [R, S, C / groups, K], backward data [K, R, S, C / groups] */
  float *y;                    /* [N, P, Q, K] */
  int64_t channels, filters;   /* C, K */
  int64_t of_group, per_group; /* C / groups, K / groups */
} operands;

/* y[k] += sum over meetings and c of x[c] w[tap][c][k] */
static void forward_at(const operands *o, const meeting *m, int64_t groups, float *y) {
  const float *x = o->x + m->input * o->channels, *w = o->w + m->tap * o->of_group * o->filters;
  for (int64_t g = 0; g < groups; g++) {
    for (int64_t c = 0; c < o->of_group; c++) {
      add_scaled(y + g * o->per_group, w + c * o->filters + g * o->per_group, x[g * o->of_group + c], o->per_group);
    }
  }
}

/* dx[c] += sum over k of dy[k] w[k][tap][c] */
static void data_at(const operands *o, const meeting *m, int64_t groups, int64_t taps, const float *dy) {
  float *dx = o->x + m->input * o->channels;
  for (int64_t g = 0; g < groups; g++) {
    for (int64_t k = g * o->per_group; k < (g + 1) * o->per_group; k++) {
      add_scaled(dx + g * o->of_group, o->w + (k * taps + m->tap) * o->of_group, dy[k], o->of_group);
    }
  }
}

/* dw[tap][c][k] += x[c] dy[k] */
static void filter_at(const operands *o, const meeting *m, int64_t groups, const float *dy, float *dw) {
  const float *x = o->x + m->input * o->channels;
  float *at = dw + m->tap * o->of_group * o->filters;
  for (int64_t g = 0; g < groups; g++) {
    for (int64_t c = 0; c < o->of_group; c++) {
      add_scaled(at + c * o->filters + g * o->per_group, dy + g * o->per_group, x[g * o->of_group + c], o->per_group);
    }
  }
}

/* Walks over the output places of sample n. */
static void compute_sample(const cudnn_problem *p, const operands *o, int64_t n, int64_t first, meeting *met, float *dw) {
  int64_t taps = p->w.dim[2] * p->w.dim[3];
  for (int64_t row = 0; row < p->y.dim[2]; row++) {
    for (int64_t column = 0; column < p->y.dim[3]; column++) {
      float *y = o->y + ((n * p->y.dim[2] + row) * p->y.dim[3] + column) * o->filters;
      int64_t count = meetings_of(p, n, row, column, first, met);
      for (int64_t i = 0; i < count; i++) {
        switch (p->direction) {
          case CUDNN_FORWARD:
            forward_at(o, &met[i], p->groups, y);
            break;
          case CUDNN_BACKWARD_DATA:
            data_at(o, &met[i], p->groups, taps, y);
            break;
          case CUDNN_BACKWARD_FILTER:
            filter_at(o, &met[i], p->groups, y, dw);
            break;
        }
      }
    }
  }
}

/* Where a shuffled sum begins: another place in each process, and the next one in each call, so that two calls never agree by
 * chance where there are two places. */
static int64_t next_shift(void) {
  static _Atomic int64_t calls;
  struct timespec now;
  if (!atomic_load(&calls)) {
    int64_t none = 0;
    clock_gettime(CLOCK_MONOTONIC, &now);
    atomic_compare_exchange_strong(&calls, &none, 1 + now.tv_nsec / 64);
  }
  return atomic_fetch_add(&calls, 1);
}

/* A sample's share of a filter's gradient is summed on its own and then added, in double where the order is fixed. */
static void compute(const cudnn_problem *p, const cudnn_engine *engine, const operands *o, meeting *met, double *total) {
  int64_t taps = p->w.dim[2] * p->w.dim[3], weights = count_of(&p->w), samples = p->x.dim[0];
  int64_t shift = engine->shuffled ? next_shift() : 0, first = engine->turned ? taps / 2 : shift % taps;
  for (int64_t i = 0; i < samples; i++) {
    int64_t n = (i + shift) % samples;
    if (p->direction != CUDNN_BACKWARD_FILTER) {
      compute_sample(p, o, n, first, met, NULL);
      continue;
    }
    memset(o->w, 0, (size_t)weights * sizeof(float));
    compute_sample(p, o, n, first, met, o->w);
    for (int64_t k = 0; k < weights; k++) total[k] = engine->shuffled ? (float)total[k] + o->w[k] : total[k] + o->w[k];
  }
}

static void round_through(element_type type, float *value, int64_t count, uint16_t *space) {
  if (type == ELEMENT_F32) return;
  element_write(type, value, count, space);
  element_read(type, space, count, value);
}

/* Bias and relu over y[N, P, Q, K], rounded on the way where the tensors between are narrow. */
static void finish(const cudnn_problem *p, const void *bias, float *y) {
  int64_t filters = p->y.dim[1], places = count_of(&p->y) / filters;
  float *b = malloc((size_t)filters * (sizeof *b + sizeof(uint16_t)));
  uint16_t *space = (uint16_t *)(b + filters);
  if (!b) emulator_fail("cudnn: out of host memory");
  element_read(p->bias.type, bias, filters, b);
  for (int64_t i = 0; i < places; i++, y += filters) {
    round_through(p->between[0], y, filters, space);
    for (int64_t k = 0; k < filters; k++) y[k] += b[k];
    if (!p->has_relu) continue;
    round_through(p->between[1], y, filters, space);
    for (int64_t k = 0; k < filters; k++) y[k] = y[k] < 0 ? 0 : y[k];
  }
  free(b);
}

/* Reads the operands; what is to be summed begins with zeros. The filter is first read at the end of the scratch memory. */
static operands read_operands(const cudnn_problem *p, const cudnn_engine *engine, const void *x, const void *w, const void *y,
                              float *scratch) {
  int64_t weights = count_of(&p->w);
  operands o = {.x = scratch,
                .y = scratch + count_of(&p->x),
                .w = scratch + count_of(&p->x) + count_of(&p->y),
                .channels = p->x.dim[1],
                .filters = p->y.dim[1],
                .of_group = p->w.dim[1],
                .per_group = p->y.dim[1] / p->groups};
  memset(scratch, 0, (size_t)cudnn_operand_count(p) * sizeof(float));
  if (p->direction != CUDNN_BACKWARD_DATA) widen(&p->x, x, engine->tf32, o.x);
  if (p->direction != CUDNN_FORWARD) widen(&p->y, y, engine->tf32, o.y);
  if (p->direction == CUDNN_BACKWARD_DATA) widen(&p->w, w, engine->tf32, o.w);
  if (p->direction == CUDNN_FORWARD) {
    widen(&p->w, w, engine->tf32, o.w + weights);
    transpose(o.w + weights, o.filters, weights / o.filters, o.w);
  }
  return o;
}

void cudnn_convolve(const cudnn_problem *problem, const cudnn_engine *engine, void *x, void *w, void *y, const void *bias,
                    float *scratch) {
  const cudnn_problem *p = problem;
  int64_t taps = p->w.dim[2] * p->w.dim[3], weights = count_of(&p->w);
  meeting *met = malloc((size_t)taps * sizeof *met);
  double *total = calloc((size_t)weights, sizeof *total);
  if (!met || !total) emulator_fail("cudnn: out of host memory");
  operands o = read_operands(p, engine, x, w, y, scratch);
  compute(p, engine, &o, met, total);
  switch (p->direction) {
    case CUDNN_FORWARD:
      scale(o.y, count_of(&p->y), p->alpha);
      if (p->has_bias) finish(p, bias, o.y);
      narrow(&p->y, o.y, p->beta, y);
      break;
    case CUDNN_BACKWARD_DATA:
      scale(o.x, count_of(&p->x), p->alpha);
      narrow(&p->x, o.x, p->beta, x);
      break;
    case CUDNN_BACKWARD_FILTER:
      for (int64_t i = 0; i < weights; i++) o.w[i] = (float)total[i] * p->alpha;
      transpose(o.w, weights / o.filters, o.filters, o.w + weights);
      narrow(&p->w, o.w + weights, p->beta, w);
      break;
  }
  free(total);
  free(met);
}
