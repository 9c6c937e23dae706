/* Long sums of the cpu device: images of up to 1024 x 1024, 10^5 inputs, outputs, classes and samples, and numbers whose mean
 * is far from zero, against sums in double. The bounds are in units of 2^-24 of the sum of magnitudes, and no wider than what
 * PyTorch 2.15 keeps to on a CPU in float32 with numbers drawn alike: up to 1 for means over an image and for the loss, 1 to 4
 * for batch normalisation's sums, 47 to 500 for products, 3600 and more for products of constants. Whatever is summed must be
 * the same bytes with every instruction set. */
#include <math.h>

#include "cpu/one_kernel.h"

static const double unit = 0x1p-24;

/* Numbers of a case: mean + deviation * [-1, 1). */
typedef struct numbers {
  double mean, deviation;
} numbers;

typedef struct sums_case {
  const char *name;
  dt_shape shape; /* of x */
  int slots;      /* of one shard, all filled but one where there is more than one */
  numbers x;
  int outputs;
  dt_window window;
  double units; /* the bound */
} sums_case;

static const numbers bright = {247.5 / 255, 8.0 / 255}, positive = {1, 0.5}, centred = {0.1, 1}, constant = {0.94117647, 0};

#define IMAGE(c, h, w) \
  {                    \
    3, {               \
      c, h, w          \
    }                  \
  }
#define SQUARE(k, s, p)                                                                \
  {                                                                                    \
    .ndim = 2, .kernel = {k, k}, .stride = {s, s}, .pad = {p, p}, .dilation = { 1, 1 } \
  }

static double draw(uint32_t *seed, numbers of) {
  return (float)(of.mean + of.deviation * one_draw(seed));
}

/* Fills a VALUE of one shard, empty positions with zeros. Returns the doubles (free). */
static double *fill(one_kernel *k, dt_arg arg, uint32_t seed, numbers of) {
  int64_t count = one_count(k, arg), slots = k->program.shard_capacity;
  double *value = calloc((size_t)(slots * count), sizeof *value);
  assert_non_null(value);
  for (int64_t i = 0; i < k->filled[0] * count; i++) value[i] = draw(&seed, of);
  assert_int_equal(k->device->ops->write_value(&k->run, k->instr.arg[arg], &k->micro, value), DT_OK);
  return value;
}

static float *fill_param(one_kernel *k, dt_arg arg, uint32_t seed, numbers of) {
  float *flat = one_flat(k, arg);
  for (int64_t i = 0; i < one_count(k, arg); i++) flat[i] = (float)draw(&seed, of);
  return flat;
}

static void require(const sums_case *c, const char *what, double got, double expected, double tolerance) {
  if (fabs(got - expected) <= tolerance) return;
  fail_msg("%s: %s: got %.9g, expected %.9g, off by %.3g times the bound", c->name, what, got, expected,
           fabs(got - expected) / tolerance);
}

static bool start(one_kernel *k, const sums_case *c, dt_op op, const char *isa) {
  if (!one_create(k, op, isa, 1, 1, c->slots)) return false;
  if (c->slots > 1) k->filled[0]--;
  return true;
}

/* A kernel on a case: checks its sums, and leaves a hash of them. */
typedef void sums_run(const sums_case *c, one_kernel *k, uint64_t *hash);

static void add_bytes(uint64_t *hash, const void *bytes, size_t count) {
  const unsigned char *b = bytes;
  for (size_t i = 0; i < count; i++) *hash = (*hash ^ b[i]) * 1099511628211u;
}

static void add_flat(uint64_t *hash, one_kernel *k, dt_arg arg) {
  add_bytes(hash, one_flat(k, arg), (size_t)one_count(k, arg) * sizeof(float));
}

/* --- batch normalisation --- */

/* Exact moments of channel c. */
static void moments_of(const one_kernel *k, const double *x, int64_t c, double *mean, double *variance) {
  const dt_shape *s = &k->buffer[k->instr.arg[DT_ARG_X]].shape;
  int64_t plane = s->dim[1] * s->dim[2], count = k->filled[0] * plane;
  double sum = 0, squares = 0;
  for (int64_t n = 0; n < k->filled[0]; n++) {
    for (int64_t i = 0; i < plane; i++) sum += x[(n * s->dim[0] + c) * plane + i];
  }
  *mean = sum / (double)count;
  for (int64_t n = 0; n < k->filled[0]; n++) {
    for (int64_t i = 0; i < plane; i++) squares += pow(x[(n * s->dim[0] + c) * plane + i] - *mean, 2);
  }
  *variance = squares / (double)count;
}

static const double eps = 1e-5;

static void norm_buffers(one_kernel *k, const sums_case *c) {
  k->instr.norm.eps = eps;
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_W, DT_BUF_PARAM, (dt_shape){1, {c->shape.dim[0]}});
  one_buffer(k, DT_ARG_B, DT_BUF_PARAM, (dt_shape){1, {c->shape.dim[0]}});
  one_buffer(k, DT_ARG_AUX, DT_BUF_SHARD, (dt_shape){1, {2 * c->shape.dim[0]}});
}

static void norm_forward(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t channels = c->shape.dim[0], plane = c->shape.dim[1] * c->shape.dim[2], filled = k->filled[0];
  norm_buffers(k, c);
  one_buffer(k, DT_ARG_Y, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_STAT, DT_BUF_GRAD, (dt_shape){1, {2 * channels}});
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x);
  float *w = fill_param(k, DT_ARG_W, 2, positive), *b = fill_param(k, DT_ARG_B, 3, centred);
  one_run(k);
  const float *aux = one_flat(k, DT_ARG_AUX), *stat = one_flat(k, DT_ARG_STAT);
  double *y = one_read_value(k, DT_ARG_Y);
  for (int64_t ch = 0; ch < channels; ch++) {
    double mean, variance, m = (double)(filled * plane);
    moments_of(k, x, ch, &mean, &variance);
    require(c, "mean", aux[ch], mean, unit * fabs(mean));
    require(c, "sum of means", stat[ch], (double)filled * mean, unit * (double)filled * fabs(mean));
    require(c, "1/std", aux[channels + ch], 1 / sqrt(variance + eps), 2 * unit / sqrt(variance + eps));
    require(c, "variance", stat[channels + ch], (double)filled * variance * m / (m - 1), 4 * unit * (double)filled * variance);
    for (int64_t i = 0; i < plane; i += 97) {
      double scale = w[ch] / sqrt(variance + eps), d = x[ch * plane + i] - mean;
      require(c, "y", y[ch * plane + i], d * scale + b[ch],
              unit * (fabs(mean) * scale + 4 * fabs(d * scale) + 2 * fabs(b[ch])));
      if (c->x.deviation == 0) assert_true(y[ch * plane + i] == b[ch]);
    }
  }
  add_flat(hash, k, DT_ARG_AUX);
  add_flat(hash, k, DT_ARG_STAT);
  free(x), free(y);
}

/* The sums of backward, about a mean that forward would have left. */
static void norm_backward(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t channels = c->shape.dim[0], plane = c->shape.dim[1] * c->shape.dim[2];
  norm_buffers(k, c);
  one_buffer(k, DT_ARG_DY, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_DX, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_DW, DT_BUF_GRAD, (dt_shape){1, {channels}});
  one_buffer(k, DT_ARG_DB, DT_BUF_GRAD, (dt_shape){1, {channels}});
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x), *dy = fill(k, DT_ARG_DY, 4, positive);
  fill_param(k, DT_ARG_W, 2, positive);
  float *aux = one_flat(k, DT_ARG_AUX);
  for (int64_t ch = 0; ch < channels; ch++) {
    aux[ch] = (float)c->x.mean;
    aux[channels + ch] = 10;
  }
  one_run(k);
  const float *dw = one_flat(k, DT_ARG_DW), *db = one_flat(k, DT_ARG_DB);
  for (int64_t ch = 0; ch < channels; ch++) {
    double g = 0, gx = 0, size = 0;
    for (int64_t n = 0; n < k->filled[0]; n++) {
      for (int64_t i = (n * channels + ch) * plane; i < (n * channels + ch + 1) * plane; i++) {
        double product = dy[i] * (x[i] - aux[ch]) * 10;
        g += dy[i], gx += product, size += fabs(product);
      }
    }
    require(c, "db", db[ch], g, unit * g);
    require(c, "dw", dw[ch], gx, unit * size);
  }
  add_flat(hash, k, DT_ARG_DW);
  add_flat(hash, k, DT_ARG_DB);
  free(x), free(dy);
}

/* --- pooling --- */

static void pool_mean(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t height = c->shape.dim[1], width = c->shape.dim[2];
  int64_t rows = (height - c->window.kernel[0]) / c->window.stride[0] + 1,
          columns = (width - c->window.kernel[1]) / c->window.stride[1] + 1;
  k->instr.pool = (dt_pool_op){.window = c->window, .average = true};
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_Y, DT_BUF_VALUE, (dt_shape)IMAGE(c->shape.dim[0], rows, columns));
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x);
  one_run(k);
  double *y = one_read_value(k, DT_ARG_Y);
  for (int64_t p = 0; p < rows; p++) {
    for (int64_t q = 0; q < columns; q++) {
      double sum = 0, size = 0, places = c->window.kernel[0] * c->window.kernel[1], got = y[p * columns + q];
      for (int r = 0; r < c->window.kernel[0]; r++) {
        for (int s = 0; s < c->window.kernel[1]; s++) {
          double value = x[(p * c->window.stride[0] + r) * width + q * c->window.stride[1] + s];
          sum += value, size += fabs(value);
        }
      }
      require(c, "mean", got, sum / places, unit * size / places);
      if (c->x.deviation == 0) assert_true(got == (float)c->x.mean);
    }
  }
  add_bytes(hash, y, (size_t)(rows * columns) * sizeof *y);
  free(x), free(y);
}

/* --- products --- */

static void linear_forward(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t inputs = c->shape.dim[0];
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_Y, DT_BUF_VALUE, (dt_shape){1, {c->outputs}});
  one_buffer(k, DT_ARG_W, DT_BUF_PARAM, (dt_shape){2, {c->outputs, inputs}});
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x);
  float *w = fill_param(k, DT_ARG_W, 2, c->x);
  one_run(k);
  double *y = one_read_value(k, DT_ARG_Y);
  for (int64_t o = 0; o < k->filled[0] * c->outputs; o++) {
    double sum = 0, size = 0;
    for (int64_t i = 0; i < inputs; i++) {
      double product = w[o % c->outputs * inputs + i] * x[o / c->outputs * inputs + i];
      sum += product, size += fabs(product);
    }
    require(c, "y", y[o], sum, c->units * unit * size);
  }
  add_bytes(hash, y, (size_t)(k->filled[0] * c->outputs) * sizeof *y);
  free(x), free(y);
}

/* dx[i] = sum over outputs of w[o][i] * dy[o]: the long axis is c->outputs. */
static void linear_dgrad(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t inputs = c->shape.dim[0];
  one_buffer(k, DT_ARG_DY, DT_BUF_VALUE, (dt_shape){1, {c->outputs}});
  one_buffer(k, DT_ARG_DX, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_W, DT_BUF_PARAM, (dt_shape){2, {c->outputs, inputs}});
  one_bind(k);
  double *dy = fill(k, DT_ARG_DY, 1, c->x);
  float *w = fill_param(k, DT_ARG_W, 2, c->x);
  one_run(k);
  double *dx = one_read_value(k, DT_ARG_DX);
  for (int64_t i = 0; i < k->filled[0] * inputs; i++) {
    double sum = 0, size = 0;
    for (int64_t o = 0; o < c->outputs; o++) {
      double product = w[o * inputs + i % inputs] * dy[i / inputs * c->outputs + o];
      sum += product, size += fabs(product);
    }
    require(c, "dx", dx[i], sum, c->units * unit * size);
  }
  add_bytes(hash, dx, (size_t)(k->filled[0] * inputs) * sizeof *dx);
  free(dy), free(dx);
}

/* The long axis is the samples. */
static void linear_wgrad(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t inputs = c->shape.dim[0];
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_DY, DT_BUF_VALUE, (dt_shape){1, {c->outputs}});
  one_buffer(k, DT_ARG_DW, DT_BUF_GRAD, (dt_shape){2, {c->outputs, inputs}});
  one_buffer(k, DT_ARG_DB, DT_BUF_GRAD, (dt_shape){1, {c->outputs}});
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x), *dy = fill(k, DT_ARG_DY, 2, c->x);
  one_run(k);
  const float *dw = one_flat(k, DT_ARG_DW), *db = one_flat(k, DT_ARG_DB);
  for (int64_t o = 0; o < c->outputs; o++) {
    double bias = 0, bias_size = 0;
    for (int64_t n = 0; n < k->filled[0]; n++) bias += dy[n * c->outputs + o], bias_size += fabs(dy[n * c->outputs + o]);
    require(c, "db", db[o], bias, c->units * unit * bias_size);
    for (int64_t i = 0; i < inputs; i++) {
      double sum = 0, size = 0;
      for (int64_t n = 0; n < k->filled[0]; n++) {
        double product = dy[n * c->outputs + o] * x[n * inputs + i];
        sum += product, size += fabs(product);
      }
      require(c, "dw", dw[o * inputs + i], sum, c->units * unit * size);
    }
  }
  add_flat(hash, k, DT_ARG_DW);
  add_flat(hash, k, DT_ARG_DB);
  free(x), free(dy);
}

/* --- convolutions --- */

static dt_shape conv_output(const sums_case *c) {
  dt_shape out = IMAGE(c->outputs, 0, 0);
  for (int a = 0; a < 2; a++) {
    out.dim[1 + a] = (c->shape.dim[1 + a] + 2 * c->window.pad[a] - c->window.kernel[a]) / c->window.stride[a] + 1;
  }
  return out;
}

static dt_shape conv_weight(const sums_case *c) {
  return (dt_shape){4, {c->outputs, c->shape.dim[0], c->window.kernel[0], c->window.kernel[1]}};
}

/* x of a sample under tap (r, s) of output (p, q); 0 in the padding. */
static double conv_under(const sums_case *c, const double *x, int64_t channel, int64_t p, int64_t q, int64_t r, int64_t s) {
  int64_t row = p * c->window.stride[0] - c->window.pad[0] + r, column = q * c->window.stride[1] - c->window.pad[1] + s;
  bool inside = row >= 0 && row < c->shape.dim[1] && column >= 0 && column < c->shape.dim[2];
  return inside ? x[(channel * c->shape.dim[1] + row) * c->shape.dim[2] + column] : 0;
}

/* The long axis is channels and taps. */
static void conv_forward(const sums_case *c, one_kernel *k, uint64_t *hash) {
  dt_shape out = conv_output(c);
  int64_t taps = c->window.kernel[0] * (int64_t)c->window.kernel[1], plane = out.dim[1] * out.dim[2];
  k->instr.conv = (dt_conv_op){.window = c->window, .groups = 1};
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_Y, DT_BUF_VALUE, out);
  one_buffer(k, DT_ARG_W, DT_BUF_PARAM, conv_weight(c));
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x);
  float *w = fill_param(k, DT_ARG_W, 2, c->x);
  one_run(k);
  double *y = one_read_value(k, DT_ARG_Y);
  for (int64_t i = 0; i < c->outputs * plane; i++) { /* of the first sample */
    double sum = 0, size = 0;
    int64_t o = i / plane, p = i % plane / out.dim[2], q = i % out.dim[2];
    for (int64_t t = 0; t < c->shape.dim[0] * taps; t++) {
      int64_t r = t % taps / c->window.kernel[1], s = t % c->window.kernel[1];
      double product = w[o * c->shape.dim[0] * taps + t] * conv_under(c, x, t / taps, p, q, r, s);
      sum += product, size += fabs(product);
    }
    require(c, "y", y[i], sum, c->units * unit * size);
  }
  add_bytes(hash, y, (size_t)(c->outputs * plane) * sizeof *y);
  free(x), free(y);
}

/* The long axis is the places of the image. */
static void conv_wgrad(const sums_case *c, one_kernel *k, uint64_t *hash) {
  dt_shape out = conv_output(c);
  int64_t taps = c->window.kernel[0] * (int64_t)c->window.kernel[1], plane = out.dim[1] * out.dim[2];
  int64_t in = c->shape.dim[0] * c->shape.dim[1] * c->shape.dim[2];
  k->instr.conv = (dt_conv_op){.window = c->window, .groups = 1};
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_DY, DT_BUF_VALUE, out);
  one_buffer(k, DT_ARG_DW, DT_BUF_GRAD, conv_weight(c));
  one_buffer(k, DT_ARG_DB, DT_BUF_GRAD, (dt_shape){1, {c->outputs}});
  one_bind(k);
  double *x = fill(k, DT_ARG_X, 1, c->x), *dy = fill(k, DT_ARG_DY, 2, c->x);
  one_run(k);
  const float *dw = one_flat(k, DT_ARG_DW), *db = one_flat(k, DT_ARG_DB);
  for (int64_t t = 0; t < c->outputs * c->shape.dim[0] * taps; t++) {
    int64_t o = t / taps / c->shape.dim[0], channel = t / taps % c->shape.dim[0];
    double sum = 0, size = 0, bias = 0, bias_size = 0;
    for (int64_t i = 0; i < k->filled[0] * plane; i++) {
      int64_t n = i / plane, p = i % plane / out.dim[2], q = i % out.dim[2];
      double g = dy[(n * c->outputs + o) * plane + i % plane];
      double product = g * conv_under(c, x + n * in, channel, p, q, t % taps / c->window.kernel[1], t % c->window.kernel[1]);
      sum += product, size += fabs(product), bias += g, bias_size += fabs(g);
    }
    require(c, "dw", dw[t], sum, c->units * unit * size);
    require(c, "db", db[o], bias, c->units * unit * bias_size);
  }
  add_flat(hash, k, DT_ARG_DW);
  add_flat(hash, k, DT_ARG_DB);
  free(x), free(dy);
}

/* --- loss --- */

static void loss(const sums_case *c, one_kernel *k, uint64_t *hash) {
  int64_t classes = c->shape.dim[0];
  one_buffer(k, DT_ARG_X, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_DX, DT_BUF_VALUE, c->shape);
  one_buffer(k, DT_ARG_TERMS, DT_BUF_TERMS, (dt_shape){1, {2}});
  k->program.columns = 2;
  k->instr.loss.weight = 1;
  one_target(k, DT_ARG_TARGET);
  one_bind(k);
  for (int n = 0; n < k->filled[0]; n++) k->labels[n] = (int32_t)(n * 7 % classes);
  double *x = fill(k, DT_ARG_X, 1, c->x);
  one_run(k);
  double *dx = one_read_value(k, DT_ARG_DX), total = 0, found = 0;
  for (int64_t n = 0; n < k->filled[0]; n++) {
    double sum = 0;
    for (int64_t i = 0; i < classes; i++) sum += exp(x[n * classes + i]);
    total += log(sum) - x[n * classes + k->labels[n]];
    for (int64_t i = 0; i < classes; i += 997) {
      double p = exp(x[n * classes + i]) / sum, onehot = i == k->labels[n] ? 1 : 0;
      require(c, "dx", dx[n * classes + i], p - onehot, 4 * unit * (p + onehot));
    }
  }
  const float *terms = one_flat(k, DT_ARG_TERMS);
  for (int64_t n = 0; n < k->filled[0]; n++) found += terms[n];
  require(c, "loss", found, total, c->units * unit * total);
  add_bytes(hash, terms, (size_t)k->filled[0] * sizeof *terms);
  free(x), free(dx);
}

/* --- the table --- */

typedef struct sums_row {
  sums_case c;
  dt_op op;
  sums_run *run;
} sums_row;

#define NORM(h, w, n, numbers)                                                                                   \
  {{"batchnorm forward " #h " " #numbers, IMAGE(1, h, w), n, numbers, 0, {0}, 1}, DT_OP_BN_FWD, norm_forward}, { \
    {"batchnorm backward " #h " " #numbers, IMAGE(1, h, w), n, numbers, 0, {0}, 1}, DT_OP_BN_BWD, norm_backward  \
  }

static const sums_row *table(int *count) {
  const sums_row rows[] = {
      NORM(28, 28, 8, bright),
      NORM(28, 28, 33, positive),
      NORM(224, 224, 4, bright),
      NORM(512, 512, 2, bright),
      NORM(512, 512, 2, constant),
      NORM(1024, 1024, 1, centred),
      {{"batchnorm of a vector", IMAGE(3, 1, 1), 5000, bright, 0, {0}, 1}, DT_OP_BN_FWD, norm_forward},
      {{"global mean 512", IMAGE(1, 512, 512), 1, bright, 0, SQUARE(512, 512, 0), 1}, DT_OP_POOL_FWD, pool_mean},
      {{"global mean 1024", IMAGE(1, 1024, 1024), 1, positive, 0, SQUARE(1024, 1024, 0), 1}, DT_OP_POOL_FWD, pool_mean},
      {{"global mean constant", IMAGE(1, 300, 300), 2, constant, 0, SQUARE(300, 300, 0), 1}, DT_OP_POOL_FWD, pool_mean},
      {{"mean of 5 x 5", IMAGE(1, 40, 40), 2, bright, 0, SQUARE(5, 3, 0), 1}, DT_OP_POOL_FWD, pool_mean},
      {{"linear 100000 inputs", {1, {100000}}, 5, positive, 5, {0}, 5}, DT_OP_LINEAR_FWD, linear_forward},
      {{"linear 100000 inputs, constant", {1, {100000}}, 2, constant, 2, {0}, 400}, DT_OP_LINEAR_FWD, linear_forward},
      {{"linear 100000 outputs", {1, {5}}, 5, positive, 100000, {0}, 5}, DT_OP_LINEAR_DGRAD, linear_dgrad},
      {{"linear 100000 samples", {1, {5}}, 100000, positive, 5, {0}, 5}, DT_OP_LINEAR_WGRAD, linear_wgrad},
      {{"conv 20000 channels", IMAGE(20000, 2, 2), 2, positive, 3, SQUARE(1, 1, 0), 8}, DT_OP_CONV_FWD, conv_forward},
      {{"conv 3 channels 120 x 120", IMAGE(3, 121, 121), 2, positive, 2, SQUARE(120, 1, 1), 8}, DT_OP_CONV_FWD, conv_forward},
      {{"conv weights 512", IMAGE(1, 512, 512), 3, positive, 2, SQUARE(3, 1, 1), 3}, DT_OP_CONV_WGRAD, conv_wgrad},
      {{"conv weights 1024", IMAGE(1, 1024, 1024), 1, positive, 1, SQUARE(2, 2, 0), 3}, DT_OP_CONV_WGRAD, conv_wgrad},
      {{"loss of 100000 classes", {1, {100000}}, 3, positive, 0, {0}, 1}, DT_OP_CROSS_ENTROPY, loss},
  };
  static sums_row kept[sizeof rows / sizeof *rows];
  memcpy(kept, rows, sizeof rows);
  *count = sizeof rows / sizeof *rows;
  return kept;
}

/* Every instruction set that there is, each checked, and all with the same sums. */
static void test_row(void **state) {
  const sums_row *row = *state;
  uint64_t first = 0;
  bool any = false;
  for (int i = 0; i < ONE_ISAS; i++) {
    one_kernel k;
    uint64_t hash = 14695981039346656037u;
    if (!start(&k, &row->c, row->op, one_isas[i])) continue;
    row->run(&row->c, &k, &hash);
    one_destroy(&k);
    if (any) assert_true(hash == first);
    first = hash;
    any = true;
  }
}

int main(void) {
  struct CMUnitTest tests[64];
  int count;
  const sums_row *rows = table(&count);
  for (int i = 0; i < count; i++) {
    tests[i] = (struct CMUnitTest){.name = rows[i].c.name, .test_func = test_row, .initial_state = (void *)&rows[i]};
  }
  return _cmocka_run_group_tests("long sums", tests, (size_t)count, NULL, NULL);
}
