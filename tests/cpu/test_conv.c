/* Convolution kernels of the cpu device against plain loops over one sample and one element at a time, which sum by fmaf in
 * the order that the kernels promise: so every bit is compared, on every instruction set and number of threads. Only
 * sigmoid and tanh, which the oracle takes from libm, and the shapes that Winograd's algorithm serves are compared within a
 * tolerance. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/tree.h"
#include "cpu/cpu.h"
#include "support/unit.h"

typedef struct conv_case {
  int in[3], out; /* C, H, W; output channels */
  dt_conv_op op;
  int shards, slots, filled; /* filled: samples in the last shard */
  dt_act_kind act;
  bool bias, addend, mask, pool;
  bool winograd; /* y and dx come from transforms, which round otherwise than the loops */
} conv_case;

#define WINDOW(kh, kw, sh, sw, ph, pw, dh, dw)                                                 \
  {                                                                                            \
    .ndim = 2, .kernel = {kh, kw}, .stride = {sh, sw}, .pad = {ph, pw}, .dilation = { dh, dw } \
  }
#define SQUARE(k, s, p) WINDOW(k, k, s, s, p, p, 1, 1)

static const conv_case cases[] = {
    /* LeNet */
    {{1, 12, 12}, 20, {SQUARE(5, 1, 0), 1}, 1, 16, 16, .act = DT_ACT_RELU, .bias = true, .pool = true},
    {{5, 9, 9}, 10, {SQUARE(5, 1, 0), 1}, 2, 5, 3, .act = DT_ACT_RELU, .bias = true, .pool = true},
    {{20, 6, 6}, 9, {SQUARE(5, 1, 0), 1}, 1, 8, 8, .act = DT_ACT_NONE, .bias = true, .mask = true},
    /* ResNet */
    {{3, 8, 8}, 16, {SQUARE(3, 1, 1), 1}, 2, 20, 17, .act = DT_ACT_RELU},
    {{8, 8, 8}, 8, {SQUARE(3, 1, 1), 1}, 1, 16, 9, .act = DT_ACT_RELU, .addend = true, .mask = true},
    {{8, 8, 8}, 12, {SQUARE(3, 2, 1), 1}, 1, 16, 16, .act = DT_ACT_NONE, .addend = true},
    {{8, 8, 8}, 12, {SQUARE(1, 2, 0), 1}, 1, 4, 4, .act = DT_ACT_NONE, .addend = true},
    {{16, 4, 4}, 16, {SQUARE(3, 1, 1), 1}, 4, 3, 1, .act = DT_ACT_RELU, .mask = true, .winograd = true},
    /* Winograd: whole and ragged tiles, every padding, channels that fill no register tile, few tiles and many */
    {{12, 8, 8}, 16, {SQUARE(3, 1, 1), 1}, 1, 32, 32, .act = DT_ACT_NONE, .addend = true, .winograd = true},
    {{18, 7, 9}, 19, {SQUARE(3, 1, 1), 1}, 1, 20, 17, .act = DT_ACT_RELU, .bias = true, .mask = true, .winograd = true},
    {{17, 9, 7}, 16, {SQUARE(3, 1, 0), 1}, 2, 5, 3, .act = DT_ACT_RELU, .addend = true, .mask = true, .winograd = true},
    {{16, 6, 5}, 21, {SQUARE(3, 1, 2), 1}, 1, 16, 9, .act = DT_ACT_RELU, .bias = true, .addend = true, .winograd = true},
    {{16, 6, 5}, 16, {SQUARE(3, 1, 3), 1}, 1, 16, 9, .act = DT_ACT_NONE, .bias = true, .winograd = true},
    {{16, 4, 9}, 17, {WINDOW(3, 3, 1, 1, 9, 5, 1, 1), 1}, 1, 5, 4, .act = DT_ACT_RELU, .mask = true, .winograd = true},
    {{16, 7, 14}, 16, {WINDOW(3, 3, 1, 1, 2, 0, 1, 1), 1}, 1, 3, 3, .act = DT_ACT_TANH, .mask = true, .winograd = true},
    {{16, 21, 17}, 40, {SQUARE(3, 1, 1), 1}, 1, 3, 3, .act = DT_ACT_SIGMOID, .bias = true, .winograd = true},
    /* and what it leaves alone: fewer channels, groups, strides, dilation, an image too small for its tiles */
    {{16, 2, 2}, 16, {SQUARE(3, 1, 1), 1}, 1, 16, 16, .act = DT_ACT_RELU, .mask = true},
    {{16, 8, 8}, 11, {SQUARE(3, 1, 1), 1}, 1, 4, 4, .act = DT_ACT_NONE, .bias = true},
    {{16, 9, 9}, 16, {SQUARE(3, 2, 1), 1}, 1, 4, 4, .act = DT_ACT_NONE},
    {{16, 9, 9}, 16, {SQUARE(5, 2, 2), 1}, 1, 4, 4, .act = DT_ACT_NONE},
    {{16, 9, 9}, 16, {WINDOW(3, 3, 1, 1, 2, 2, 2, 2), 1}, 1, 4, 4, .act = DT_ACT_NONE},
    {{32, 5, 5}, 32, {SQUARE(3, 1, 1), 2}, 1, 4, 4, .act = DT_ACT_NONE},
    /* kernels, strides, padding */
    {{1, 1, 1}, 1, {SQUARE(1, 1, 0), 1}, 1, 1, 1, .act = DT_ACT_NONE},
    {{1, 5, 5}, 1, {SQUARE(3, 1, 1), 1}, 1, 1, 1, .act = DT_ACT_NONE, .bias = true},
    {{3, 7, 5}, 5, {SQUARE(3, 1, 0), 1}, 1, 7, 7, .act = DT_ACT_NONE, .bias = true},
    {{3, 7, 5}, 5, {SQUARE(3, 1, 2), 1}, 1, 7, 7, .act = DT_ACT_RELU, .bias = true, .mask = true},
    {{3, 5, 7}, 5, {SQUARE(1, 1, 0), 1}, 1, 17, 17, .act = DT_ACT_RELU, .bias = true, .addend = true},
    {{5, 4, 4}, 7, {SQUARE(1, 1, 1), 1}, 1, 16, 16, .act = DT_ACT_NONE},
    {{3, 9, 9}, 6, {SQUARE(2, 2, 0), 1}, 1, 6, 6, .act = DT_ACT_RELU, .mask = true},
    {{3, 9, 9}, 6, {SQUARE(2, 3, 0), 1}, 1, 6, 6, .act = DT_ACT_NONE, .bias = true},
    {{3, 9, 9}, 2, {SQUARE(3, 3, 1), 1}, 1, 6, 6, .act = DT_ACT_NONE, .addend = true},
    {{2, 11, 11}, 3, {SQUARE(4, 3, 2), 1}, 1, 6, 6, .act = DT_ACT_NONE},
    {{2, 11, 11}, 3, {SQUARE(5, 2, 2), 1}, 1, 6, 6, .act = DT_ACT_RELU, .mask = true},
    {{2, 13, 13}, 3, {SQUARE(7, 2, 3), 1}, 1, 3, 3, .act = DT_ACT_NONE, .bias = true},
    {{1, 13, 13}, 2, {SQUARE(8, 1, 3), 1}, 1, 3, 3, .act = DT_ACT_NONE},
    {{1, 14, 14}, 2, {SQUARE(11, 4, 2), 1}, 1, 3, 3, .act = DT_ACT_NONE},
    {{2, 3, 3}, 3, {SQUARE(3, 1, 0), 1}, 1, 4, 4, .act = DT_ACT_NONE},
    {{2, 3, 3}, 3, {SQUARE(5, 1, 2), 1}, 1, 4, 4, .act = DT_ACT_NONE, .bias = true},
    {{2, 2, 2}, 3, {SQUARE(5, 1, 2), 1}, 1, 4, 4, .act = DT_ACT_RELU, .mask = true},
    {{2, 2, 2}, 3, {SQUARE(3, 1, 3), 1}, 1, 4, 4, .act = DT_ACT_NONE},
    {{2, 3, 4}, 3, {SQUARE(3, 1, 7), 1}, 1, 4, 4, .act = DT_ACT_RELU, .bias = true, .addend = true},
    {{3, 4, 3}, 5, {SQUARE(1, 2, 3), 1}, 1, 17, 17, .act = DT_ACT_NONE, .mask = true},
    {{2, 5, 4}, 3, {WINDOW(2, 3, 3, 2, 5, 9, 2, 3), 1}, 1, 5, 5, .act = DT_ACT_RELU, .mask = true, .addend = true},
    {{4, 3, 3}, 6, {SQUARE(2, 1, 4), 2}, 1, 5, 5, .act = DT_ACT_NONE, .bias = true, .pool = true},
    {{2, 1, 9}, 4, {WINDOW(1, 3, 1, 1, 0, 1, 1, 1), 1}, 1, 5, 5, .act = DT_ACT_NONE},
    {{2, 9, 1}, 4, {WINDOW(3, 1, 2, 1, 1, 0, 1, 1), 1}, 1, 5, 5, .act = DT_ACT_NONE},
    {{2, 8, 6}, 4, {WINDOW(3, 2, 1, 2, 1, 0, 1, 1), 1}, 1, 5, 5, .act = DT_ACT_NONE, .bias = true},
    {{2, 8, 6}, 4, {WINDOW(2, 5, 2, 1, 0, 2, 1, 1), 1}, 1, 5, 5, .act = DT_ACT_RELU, .mask = true, .addend = true},
    {{2, 6, 6}, 4, {SQUARE(1, 3, 0), 1}, 1, 5, 5, .act = DT_ACT_NONE, .addend = true, .mask = true},
    /* dilation */
    {{2, 9, 9}, 3, {WINDOW(3, 3, 1, 1, 2, 2, 2, 2), 1}, 1, 5, 5, .act = DT_ACT_NONE},
    {{2, 9, 9}, 3, {WINDOW(3, 3, 2, 2, 2, 2, 2, 2), 1}, 1, 5, 5, .act = DT_ACT_RELU, .mask = true},
    {{2, 11, 11}, 3, {WINDOW(3, 3, 2, 2, 3, 1, 3, 3), 1}, 1, 5, 5, .act = DT_ACT_NONE, .bias = true},
    {{2, 12, 12}, 3, {WINDOW(3, 2, 4, 3, 1, 2, 2, 5), 1}, 1, 5, 5, .act = DT_ACT_NONE},
    {{2, 4, 4}, 3, {WINDOW(3, 3, 1, 1, 4, 4, 4, 4), 1}, 1, 5, 5, .act = DT_ACT_NONE},
    /* groups */
    {{4, 5, 5}, 4, {SQUARE(3, 1, 1), 4}, 1, 5, 5, .act = DT_ACT_NONE, .bias = true},
    {{4, 5, 5}, 8, {SQUARE(3, 2, 1), 4}, 1, 5, 5, .act = DT_ACT_RELU, .mask = true},
    {{6, 5, 5}, 10, {SQUARE(3, 1, 1), 2}, 2, 5, 5, .act = DT_ACT_NONE, .bias = true, .addend = true},
    {{15, 4, 4}, 21, {SQUARE(1, 1, 0), 3}, 1, 5, 5, .act = DT_ACT_NONE},
    /* activations, pools, odd sizes, many blocks */
    {{3, 6, 6}, 5, {SQUARE(3, 1, 1), 1}, 1, 16, 11, .act = DT_ACT_SIGMOID, .bias = true, .mask = true},
    {{3, 6, 6}, 5, {SQUARE(3, 1, 1), 1}, 1, 16, 11, .act = DT_ACT_TANH, .addend = true, .mask = true},
    {{3, 6, 6}, 5, {SQUARE(3, 1, 1), 1}, 1, 16, 11, .act = DT_ACT_TANH, .bias = true, .pool = true},
    {{3, 7, 7}, 5, {SQUARE(3, 1, 1), 1}, 1, 16, 16, .act = DT_ACT_NONE, .bias = true, .pool = true},
    {{4, 9, 5}, 6, {SQUARE(3, 2, 1), 2}, 1, 16, 16, .act = DT_ACT_RELU, .pool = true},
    {{1, 4, 135}, 2, {SQUARE(3, 1, 1), 1}, 1, 2, 2, .act = DT_ACT_RELU, .pool = true},
    {{1, 5, 5}, 3, {SQUARE(3, 1, 1), 1}, 1, 100, 100, .act = DT_ACT_NONE, .bias = true},
    {{1, 5, 5}, 3, {SQUARE(3, 1, 1), 1}, 8, 40, 33, .act = DT_ACT_NONE, .bias = true},
    {{3, 5, 5}, 23, {SQUARE(3, 1, 1), 1}, 1, 100, 97, .act = DT_ACT_RELU, .mask = true},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* The buffers of one case; each tensor of the oracle is [place in the micro-batch][shape]. */
enum { X, W, B, Y, AUX, ADDEND, DY, DX, DX_ADDEND, MASK, DW, DB, WORK_FWD, WORK_DGRAD, WORK_WGRAD, BUFFERS };

typedef struct tensor {
  dt_shape shape;
  size_t count; /* per sample */
  float *value; /* [samples or 1][shape] */
} tensor;

typedef struct problem {
  const conv_case *c;
  int samples, out[3];
  tensor t[BUFFERS];
  uint8_t *argmax;
} problem;

/* Numbers in [-1, 1) from a linear congruence: all bits of the mantissa are in use. */
static float next_number(uint32_t *state) {
  *state = *state * 1664525u + 1013904223u;
  return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static tensor tensor_make(int samples, dt_shape shape, uint32_t *seed) {
  tensor t = {.shape = shape, .count = (size_t)dt_shape_count(&shape)};
  t.value = calloc(t.count * (size_t)samples, sizeof(float));
  assert_non_null(t.value);
  for (size_t i = 0; seed != NULL && i < t.count * (size_t)samples; i++) t.value[i] = next_number(seed);
  return t;
}

static int sample_filled(const conv_case *c, int sample) {
  return sample % c->slots < (sample / c->slots == c->shards - 1 ? c->filled : c->slots);
}

static problem problem_make(const conv_case *c) {
  problem p = {.c = c, .samples = c->shards * c->slots, .out = {c->out}};
  const dt_window *w = &c->op.window;
  uint32_t seed = 1;
  for (int a = 0; a < 2; a++) {
    p.out[1 + a] = (c->in[1 + a] + 2 * w->pad[a] - w->dilation[a] * (w->kernel[a] - 1) - 1) / w->stride[a] + 1;
  }
  int half = c->pool ? 2 : 1;
  dt_shape in = {3, {c->in[0], c->in[1], c->in[2]}}, out = {3, {p.out[0], p.out[1], p.out[2]}};
  dt_shape y = {3, {p.out[0], p.out[1] / half, p.out[2] / half}};
  dt_shape weight = {4, {c->out, c->in[0] / c->op.groups, w->kernel[0], w->kernel[1]}}, bias = {1, {c->out}};
  const dt_shape shapes[BUFFERS] = {[X] = in,   [W] = weight, [B] = bias,       [Y] = y,     [AUX] = y,     [ADDEND] = out,
                                    [DY] = out, [DX] = in,    [DX_ADDEND] = in, [MASK] = in, [DW] = weight, [DB] = bias};
  const bool given[BUFFERS] = {
      [X] = true, [W] = true, [B] = true, [ADDEND] = true, [DY] = true, [DX_ADDEND] = true, [MASK] = true};
  const bool single[BUFFERS] = {[W] = true, [B] = true, [DW] = true, [DB] = true};
  for (int i = 0; i < WORK_FWD; i++) p.t[i] = tensor_make(single[i] ? 1 : p.samples, shapes[i], given[i] ? &seed : NULL);
  p.argmax = calloc(p.t[AUX].count * (size_t)p.samples, 1);
  for (int n = 0; n < p.samples; n++) {
    if (!sample_filled(c, n)) memset(p.t[DY].value + (size_t)n * p.t[DY].count, 0, p.t[DY].count * sizeof(float));
  }
  return p;
}

static void problem_free(problem *p) {
  for (int i = 0; i < WORK_FWD; i++) free(p->t[i].value);
  free(p->argmax);
}

static float act_value(dt_act_kind act, float v) {
  if (act == DT_ACT_RELU) return v > 0 ? v : 0;
  if (act == DT_ACT_SIGMOID) return (float)(1 / (1 + exp(-(double)v)));
  return act == DT_ACT_TANH ? (float)tanh((double)v) : v;
}

static float act_slope(dt_act_kind act, float y) {
  if (act == DT_ACT_RELU) return y > 0 ? 1 : 0;
  if (act == DT_ACT_SIGMOID) return y * (1 - y);
  return act == DT_ACT_TANH ? 1 - y * y : 1;
}

/* The place in an axis of the input that tap k of output o meets, or -1 outside. */
static int place_under(const problem *p, int axis, int o, int k) {
  const dt_window *w = &p->c->op.window;
  int place = o * w->stride[axis] - w->pad[axis] + k * w->dilation[axis];
  return place >= 0 && place < p->c->in[1 + axis] ? place : -1;
}

static float *element(const problem *p, int buffer, int n, int c, int y, int x) {
  const tensor *t = &p->t[buffer];
  return t->value + ((size_t)n * t->count + (size_t)((c * t->shape.dim[1] + y) * t->shape.dim[2] + x));
}

static float *weight_at(const problem *p, int buffer, int o, int i, int ky, int kx) {
  const int64_t *dim = p->t[buffer].shape.dim;
  return p->t[buffer].value + (((int64_t)o * dim[1] + i) * dim[2] + ky) * dim[3] + kx;
}

static float oracle_forward(const problem *p, int n, int o, int y, int x) {
  const conv_case *c = p->c;
  int ins = c->in[0] / c->op.groups, group = o / (c->out / c->op.groups);
  float sum = 0;
  for (int i = 0; i < ins; i++) {
    for (int ky = 0; ky < c->op.window.kernel[0]; ky++) {
      for (int kx = 0; kx < c->op.window.kernel[1]; kx++) {
        int iy = place_under(p, 0, y, ky), ix = place_under(p, 1, x, kx);
        if (iy >= 0 && ix >= 0) sum = fmaf(*weight_at(p, W, o, i, ky, kx), *element(p, X, n, group * ins + i, iy, ix), sum);
      }
    }
  }
  if (c->bias) sum += p->t[B].value[o];
  if (c->addend) sum += *element(p, ADDEND, n, o, y, x);
  return act_value(c->act, sum);
}

static void oracle_pool(problem *p, int n, int o, int y, int x) {
  float *best = element(p, Y, n, o, y, x);
  uint8_t *argmax = p->argmax + (element(p, AUX, n, o, y, x) - p->t[AUX].value);
  for (int i = 0; i < 4; i++) {
    float v = oracle_forward(p, n, o, 2 * y + i / 2, 2 * x + i % 2);
    if (i > 0 && !(v > *best)) continue;
    *best = v;
    *argmax = (uint8_t)i;
  }
}

/* The kernel tap under which output o sees input place `in`, or -1. */
static int tap_between(const problem *p, int axis, int o, int in) {
  for (int k = 0; k < p->c->op.window.kernel[axis]; k++) {
    if (place_under(p, axis, o, k) == in) return k;
  }
  return -1;
}

static float oracle_input_gradient(const problem *p, int n, int i, int y, int x) {
  const conv_case *c = p->c;
  int ins = c->in[0] / c->op.groups, outs = c->out / c->op.groups, group = i / ins;
  float sum = 0;
  for (int o = group * outs; o < (group + 1) * outs; o++) {
    for (int oy = 0; oy < p->out[1]; oy++) {
      int ky = tap_between(p, 0, oy, y);
      for (int ox = 0; ky >= 0 && ox < p->out[2]; ox++) {
        int kx = tap_between(p, 1, ox, x);
        if (kx >= 0) sum = fmaf(*weight_at(p, W, o, i % ins, ky, kx), *element(p, DY, n, o, oy, ox), sum);
      }
    }
  }
  if (c->addend) sum += *element(p, DX_ADDEND, n, i, y, x);
  if (!c->mask) return sum;
  float slope = act_slope(c->act, *element(p, MASK, n, i, y, x));
  return c->act == DT_ACT_RELU && slope == 0 ? 0 : sum * slope;
}

/* Folds lanes by halves, then blocks and shards by the tree. lanes: [block of the micro-batch][16]. */
static float oracle_fold(const problem *p, float (*lanes)[16]) {
  int blocks = (p->c->slots + 15) / 16;
  float shard[64], block[64];
  for (int s = 0; s < p->c->shards; s++) {
    for (int b = 0; b < blocks; b++) {
      float *f = lanes[s * blocks + b];
      for (int half = 8; half >= 1; half /= 2) {
        for (int i = 0; i < half; i++) f[i] += f[i + half];
      }
      block[b] = f[0];
    }
    shard[s] = dt_tree_sum_f32(block, blocks);
  }
  return dt_tree_sum_f32(shard, p->c->shards);
}

/* Gradient of weight (o, i, ky, kx), or of bias o when i is negative. */
static float oracle_weight_gradient(const problem *p, int o, int i, int ky, int kx) {
  const conv_case *c = p->c;
  int group = o / (c->out / c->op.groups), channel = group * (c->in[0] / c->op.groups) + i;
  float lanes[64][16] = {{0}};
  for (int n = 0; n < p->samples; n++) {
    int at = n % c->slots;
    float *sum = &lanes[n / c->slots * ((c->slots + 15) / 16) + at / 16][at % 16];
    for (int y = 0; y < p->out[1]; y++) {
      for (int x = 0; x < p->out[2]; x++) {
        float dy = *element(p, DY, n, o, y, x);
        if (i < 0) {
          *sum += dy;
          continue;
        }
        int iy = place_under(p, 0, y, ky), ix = place_under(p, 1, x, kx);
        if (iy >= 0 && ix >= 0) *sum = fmaf(dy, *element(p, X, n, channel, iy, ix), *sum);
      }
    }
  }
  return oracle_fold(p, lanes);
}

static void oracle_fill_samples(problem *p) {
  const int64_t *y = p->t[Y].shape.dim, *x = p->t[DX].shape.dim;
  for (int n = 0; n < p->samples; n++) {
    for (int64_t i = 0; i < dt_shape_count(&p->t[Y].shape); i++) {
      int o = (int)(i / y[2] / y[1]), row = (int)(i / y[2] % y[1]), column = (int)(i % y[2]);
      if (p->c->pool) {
        oracle_pool(p, n, o, row, column);
      } else {
        *element(p, Y, n, o, row, column) = oracle_forward(p, n, o, row, column);
      }
    }
    for (int64_t i = 0; i < dt_shape_count(&p->t[DX].shape); i++) {
      int channel = (int)(i / x[2] / x[1]), row = (int)(i / x[2] % x[1]), column = (int)(i % x[2]);
      *element(p, DX, n, channel, row, column) = oracle_input_gradient(p, n, channel, row, column);
    }
  }
}

static void oracle_fill_weights(problem *p) {
  const int64_t *w = p->t[DW].shape.dim;
  for (int64_t i = 0; i < dt_shape_count(&p->t[DW].shape); i++) {
    p->t[DW].value[i] = oracle_weight_gradient(p, (int)(i / w[3] / w[2] / w[1]), (int)(i / w[3] / w[2] % w[1]),
                                               (int)(i / w[3] % w[2]), (int)(i % w[3]));
  }
  for (int o = 0; o < p->out[0]; o++) p->t[DB].value[o] = oracle_weight_gradient(p, o, -1, 0, 0);
}

/* A program of three instructions on a device. */
typedef struct rig {
  dt_device *device;
  dt_buffer buffer[BUFFERS];
  dt_instr instr[3];
  dt_program program;
  dt_run run;
  dt_micro_batch micro;
} rig;

static void rig_instructions(rig *b, const conv_case *c) {
  for (int i = 0; i < 3; i++) {
    b->instr[i] = (dt_instr){.op = (dt_op[]){DT_OP_CONV_FWD, DT_OP_CONV_DGRAD, DT_OP_CONV_WGRAD}[i], .conv = c->op};
    for (int a = 0; a < DT_ARG_COUNT; a++) b->instr[i].arg[a] = -1;
    b->instr[i].arg[DT_ARG_WORK] = WORK_FWD + i;
  }
  dt_instr *fwd = &b->instr[0], *dgrad = &b->instr[1], *wgrad = &b->instr[2];
  fwd->act.kind = c->act;
  fwd->arg[DT_ARG_X] = wgrad->arg[DT_ARG_X] = X;
  fwd->arg[DT_ARG_W] = dgrad->arg[DT_ARG_W] = W;
  if (c->bias) fwd->arg[DT_ARG_B] = B;
  fwd->arg[DT_ARG_Y] = Y;
  if (c->addend) fwd->arg[DT_ARG_ADDEND] = ADDEND;
  if (c->pool) {
    fwd->arg[DT_ARG_AUX] = AUX;
    fwd->conv.pool.window = (dt_window)SQUARE(2, 2, 0);
  }
  dgrad->arg[DT_ARG_DY] = wgrad->arg[DT_ARG_DY] = DY;
  dgrad->arg[DT_ARG_DX] = DX;
  if (c->addend) dgrad->arg[DT_ARG_ADDEND] = DX_ADDEND;
  if (c->mask) {
    dgrad->arg[DT_ARG_MASK] = MASK;
    dgrad->act.kind = c->act;
  }
  wgrad->arg[DT_ARG_DW] = DW;
  if (c->bias) wgrad->arg[DT_ARG_DB] = DB;
}

static void *device_memory(dt_device *device, size_t bytes) {
  void *memory;
  assert_int_equal(device->ops->alloc(device, bytes, &memory), DT_OK);
  return memory;
}

/* Places a buffer at the end of its block of memory and returns the block's new size. */
static size_t rig_place(dt_buffer *buffer, size_t end, size_t size) {
  buffer->offset = (int64_t)end;
  buffer->bytes = size;
  return end + size;
}

static rig *rig_create(const problem *p, int threads) {
  const conv_case *c = p->c;
  rig *b = calloc(1, sizeof *b);
  assert_non_null(b);
  assert_int_equal(dt_cpu_create(&(dt_device_options){.threads = threads}, &b->device), DT_OK);
  const dt_device_ops *ops = b->device->ops;
  rig_instructions(b, c);
  b->program = (dt_program){.buffer = b->buffer, .buffer_count = BUFFERS, .instr = b->instr, .count = 3, .micro_batch_end = 3};
  b->program.shards = b->program.micro_batch_shards = c->shards;
  b->program.shard_capacity = c->slots;
  size_t arena = 0, param = 0, grad = 0;
  for (int i = 0; i < BUFFERS; i++) {
    dt_buffer *buffer = &b->buffer[i];
    *buffer = (dt_buffer){.kind = i == AUX ? DT_BUF_INDEX : DT_BUF_VALUE, .shape = p->t[i].shape, .alias_of = -1};
    if (i == W || i == B || i == DW || i == DB) {
      buffer->kind = i == W || i == B ? DT_BUF_PARAM : DT_BUF_GRAD;
      size_t *end = i == W || i == B ? &param : &grad;
      *end = rig_place(buffer, *end, p->t[i].count);
    } else if (i < WORK_FWD) {
      arena = rig_place(buffer, arena, ops->buffer_bytes(b->device, buffer->kind, &buffer->shape, c->slots, c->shards));
    }
  }
  for (int i = 0; i < 3; i++) {
    dt_buffer *work = &b->buffer[WORK_FWD + i];
    work->kind = DT_BUF_WORK;
    size_t bytes = 0;
    assert_int_equal(ops->work_bytes(b->device, &b->program, &b->instr[i], &bytes), DT_OK);
    arena = rig_place(work, arena, bytes);
  }
  b->run = (dt_run){.device = b->device, .program = &b->program};
  b->run.blocks.arena = device_memory(b->device, arena);
  b->run.blocks.param = device_memory(b->device, param * sizeof(float));
  b->run.blocks.grad = device_memory(b->device, grad * sizeof(float));
  b->micro = (dt_micro_batch){.shard_count = c->shards};
  return b;
}

static void rig_free(rig *b) {
  const dt_device_ops *ops = b->device->ops;
  ops->free(b->device, b->run.blocks.arena);
  ops->free(b->device, b->run.blocks.param);
  ops->free(b->device, b->run.blocks.grad);
  ops->destroy(&b->device);
  free(b);
}

static void rig_write(rig *b, const problem *p, int buffer) {
  size_t count = p->t[buffer].count * (size_t)p->samples;
  double *value = calloc(count, sizeof *value);
  for (size_t i = 0; i < count; i++) value[i] = p->t[buffer].value[i];
  assert_int_equal(b->device->ops->write_value(&b->run, buffer, &b->micro, value), DT_OK);
  free(value);
}

/* Distances from the oracle are relative to 1 + its size. */
static int rig_compare(rig *b, const problem *p, int buffer, const char *name, double tolerance) {
  size_t count = p->t[buffer].count * (size_t)p->samples;
  double *value = calloc(count, sizeof *value);
  int wrong = 0;
  assert_int_equal(b->device->ops->read_value(&b->run, buffer, &b->micro, value), DT_OK);
  for (size_t i = 0; i < count; i++) {
    double want = p->t[buffer].value[i];
    if (!sample_filled(p->c, (int)(i / p->t[buffer].count)) || fabs(value[i] - want) <= tolerance * (1 + fabs(want))) continue;
    if (wrong++ == 0) print_error("%s[%zu] = %.9g, expected %.9g\n", name, i, value[i], want);
  }
  free(value);
  return wrong;
}

static int rig_compare_gradient(rig *b, const problem *p, int buffer, const char *name) {
  const float *value = dt_cpu_buffer(&b->run, &b->micro, buffer);
  int wrong = 0;
  for (size_t i = 0; i < p->t[buffer].count; i++) {
    if (value[i] == p->t[buffer].value[i]) continue;
    if (wrong++ == 0) print_error("%s[%zu] = %.9g, expected %.9g\n", name, i, (double)value[i], (double)p->t[buffer].value[i]);
  }
  return wrong;
}

static int rig_compare_argmax(rig *b, const problem *p) {
  const uint8_t *value = (const uint8_t *)dt_cpu_buffer(&b->run, &b->micro, AUX);
  size_t count = p->t[AUX].count, blocks = (size_t)(p->c->slots + 15) / 16;
  int wrong = 0;
  for (int n = 0; n < p->samples; n++) {
    size_t at = (size_t)(n % p->c->slots), block = (size_t)(n / p->c->slots) * blocks + at / 16;
    for (size_t i = 0; sample_filled(p->c, n) && i < count; i++) {
      wrong += value[(block * count + i) * 16 + at % 16] != p->argmax[(size_t)n * count + i];
    }
  }
  if (wrong > 0) print_error("argmax: %d wrong\n", wrong);
  return wrong;
}

static uint64_t bytes_mix(uint64_t hash, const void *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) hash = (hash ^ ((const uint8_t *)bytes)[i]) * 1099511628211u;
  return hash;
}

/* Numbers that differ from the oracle's. */
static int rig_check(rig *b, const problem *p) {
  const conv_case *c = p->c;
  bool exact = c->act == DT_ACT_NONE || c->act == DT_ACT_RELU;
  double rounding = c->winograd ? 1e-4 : 0; /* of sums of up to 360 products */
  int wrong = rig_compare(b, p, Y, "y", fmax(rounding, exact ? 0 : 2e-6));
  wrong += rig_compare(b, p, DX, "dx", fmax(rounding, exact || !c->mask ? 0 : 2e-6));
  wrong += rig_compare_gradient(b, p, DW, "dw");
  if (c->bias) wrong += rig_compare_gradient(b, p, DB, "db");
  if (c->pool && exact) wrong += rig_compare_argmax(b, p);
  return wrong;
}

/* Runs a case on a new device. Returns the hash of all tensors; *out_wrong (may be NULL): numbers that differ. */
static uint64_t rig_run(const problem *p, int threads, int *out_wrong) {
  static const int inputs[] = {X, ADDEND, DY, DX_ADDEND, MASK};
  rig *b = rig_create(p, threads);
  for (size_t i = 0; i < sizeof inputs / sizeof inputs[0]; i++) rig_write(b, p, inputs[i]);
  memcpy(dt_cpu_buffer(&b->run, &b->micro, W), p->t[W].value, p->t[W].count * sizeof(float));
  memcpy(dt_cpu_buffer(&b->run, &b->micro, B), p->t[B].value, p->t[B].count * sizeof(float));
  for (int i = 0; i < 3; i++) assert_int_equal(b->device->kernel[b->instr[i].op](&b->run, &b->instr[i], &b->micro), DT_OK);
  if (out_wrong != NULL) *out_wrong = rig_check(b, p);
  uint64_t hash = 14695981039346656037u;
  for (int i = 0; i < WORK_FWD; i++) {
    bool flat = b->buffer[i].kind == DT_BUF_PARAM || b->buffer[i].kind == DT_BUF_GRAD;
    hash = bytes_mix(hash, dt_cpu_buffer(&b->run, &b->micro, i), b->buffer[i].bytes * (flat ? sizeof(float) : 1));
  }
  rig_free(b);
  return hash;
}

static void check_case(const conv_case *c) {
  problem p = problem_make(c);
  oracle_fill_samples(&p);
  oracle_fill_weights(&p);
  uint64_t first = 0;
  for (int threads = 1; threads <= 3; threads++) {
    int wrong;
    uint64_t hash = rig_run(&p, threads, &wrong);
    if (wrong > 0) fail_msg("case %d: %d numbers differ from the loops with %d threads", (int)(c - cases), wrong, threads);
    if (threads == 1) first = hash;
    if (hash != first) fail_msg("case %d: other bytes with %d threads", (int)(c - cases), threads);
  }
  problem_free(&p);
}

/* All cases on one instruction set; skipped where the machine lacks it. */
static void check_instruction_set(const char *isa) {
  setenv("DTRAIN_ISA", isa, 1);
  dt_device *device;
  if (dt_cpu_create(&(dt_device_options){.threads = 1}, &device) != DT_OK) {
    print_message("%s\n", dt_error_text());
    dt_error_clear();
    skip();
  }
  device->ops->destroy(&device);
  for (int i = 0; i < CASES; i++) check_case(&cases[i]);
}

static void test_avx512(void **state) {
  check_instruction_set("avx512");
}
static void test_avx2(void **state) {
  check_instruction_set("avx2");
}
static void test_plain(void **state) {
  check_instruction_set("plain");
}

/* What the oracle cannot compare bit for bit: sigmoid and tanh, on all instruction sets alike. */
static void test_instruction_sets_agree(void **state) {
  static const char *const isas[] = {"plain", "avx2", "avx512"};
  for (int i = 0; i < CASES; i++) {
    problem p = problem_make(&cases[i]);
    uint64_t first = 0;
    for (int isa = 0; isa < 3; isa++) {
      dt_device *device;
      setenv("DTRAIN_ISA", isas[isa], 1);
      if (dt_cpu_create(&(dt_device_options){.threads = 1}, &device) != DT_OK) {
        dt_error_clear();
        continue;
      }
      device->ops->destroy(&device);
      uint64_t hash = rig_run(&p, 2, NULL);
      if (isa == 0) first = hash;
      if (hash != first) fail_msg("case %d: other bytes on %s", i, isas[isa]);
    }
    problem_free(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_avx512),
      cmocka_unit_test(test_avx2),
      cmocka_unit_test(test_plain),
      cmocka_unit_test(test_instruction_sets_agree),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
