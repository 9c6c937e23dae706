/* Batch normalisation (Ioffe and Szegedy 2015), per shard and channel. With m = samples of the shard * H * W:
 *
 *   mean = (sum x) / m,  var = (sum (x - mean)^2) / m,  xh = (x - mean) / sqrt(var + eps),  y = xh * w + b
 *   db = sum dy,  dw = sum dy * xh,  dx = w / sqrt(var + eps) * (dy - db / m - xh * dw / m)
 *
 * aux holds mean [C], then 1/sqrt(var + eps) [C], for each shard. Evaluation uses running statistics instead of the shard's. */
#include <math.h>
#include <string.h>

#include "cpu/reference.h"

/* One channel of one shard. */
typedef struct norm_channel {
  int64_t samples, plane; /* m = samples * plane */
  int64_t stride;         /* elements from a sample's channel to the next sample's */
  int64_t first;          /* element of the shard's first sample's channel in a VALUE buffer */
  int64_t channels, channel;
} norm_channel;

static norm_channel channel_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, int shard,
                               int64_t channel) {
  const dt_shape *shape = dt_reference_shape(run, instr, DT_ARG_X);
  const int64_t channels = dt_shape_channels(shape), plane = dt_shape_inner(shape);
  return (norm_channel){
      .samples = micro->batch->valid[shard],
      .plane = plane,
      .stride = channels * plane,
      .first = (shard * run->program->shard_capacity * channels + channel) * plane,
      .channels = channels,
      .channel = channel,
  };
}

static double count_of(const norm_channel *c) {
  return (double)(c->samples * c->plane);
}

/* The channel's i-th element, i in [0, m). */
static int64_t element(const norm_channel *c, int64_t i) {
  return c->first + i / c->plane * c->stride + i % c->plane;
}

static double mean_of(const norm_channel *c, const double *x) {
  double sum = 0;
  for (int64_t i = 0; i < c->samples * c->plane; i++) sum += x[element(c, i)];
  return sum / count_of(c);
}

static double variance_of(const norm_channel *c, const double *x, double mean) {
  double sum = 0;
  for (int64_t i = 0; i < c->samples * c->plane; i++) {
    double d = x[element(c, i)] - mean;
    sum += d * d;
  }
  return sum / count_of(c);
}

static void clear_empty(const norm_channel *c, int64_t slots, double *y) {
  for (int64_t i = c->samples * c->plane; i < slots * c->plane; i++) y[element(c, i)] = 0;
}

/* Statistics and output of one channel of a shard; stat is the shard's [2C] row. A single value has no unbiased variance: its
 * biased one, 0, stands in. */
static void forward_channel(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, const norm_channel *c,
                            double *aux, double *stat) {
  const double *x = dt_reference_block(run, instr, micro, DT_ARG_X);
  const double *w = dt_reference_block(run, instr, micro, DT_ARG_W);
  const double *b = dt_reference_block(run, instr, micro, DT_ARG_B);
  double *y = dt_reference_block(run, instr, micro, DT_ARG_Y);
  double mean = mean_of(c, x), variance = variance_of(c, x, mean), m = count_of(c);
  double inverse = 1 / sqrt(variance + instr->norm.eps);
  for (int64_t i = 0; i < c->samples * c->plane; i++) {
    y[element(c, i)] = (x[element(c, i)] - mean) * inverse * w[c->channel] + b[c->channel];
  }
  aux[c->channel] = mean;
  aux[c->channels + c->channel] = inverse;
  stat[c->channel] = (double)c->samples * mean;
  stat[c->channels + c->channel] = (double)c->samples * (m > 1 ? variance * m / (m - 1) : variance);
}

dt_status dt_reference_bn_fwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  int64_t channels = dt_shape_channels(dt_reference_shape(run, instr, DT_ARG_X));
  double *aux = dt_reference_block(run, instr, micro, DT_ARG_AUX);
  double *stat = dt_reference_block(run, instr, micro, DT_ARG_WORK);
  size_t row_bytes = (size_t)(2 * channels) * sizeof(double);
  memset(stat, 0, row_bytes * (size_t)micro->shard_count);
  for (int shard = 0; shard < micro->shard_count; shard++) {
    for (int64_t channel = 0; channel < channels; channel++) {
      norm_channel c = channel_of(run, instr, micro, shard, channel);
      if (c.samples > 0) forward_channel(run, instr, micro, &c, aux + shard * 2 * channels, stat + shard * 2 * channels);
      clear_empty(&c, run->program->shard_capacity, dt_reference_block(run, instr, micro, DT_ARG_Y));
    }
  }
  dt_reference_fold(stat, micro->shard_count, 2 * channels);
  memcpy(dt_reference_block(run, instr, micro, DT_ARG_STAT), stat, row_bytes);
  return DT_OK;
}

static void normalize_sample(const dt_reference_sample *at) {
  const dt_shape *shape = dt_reference_shape(at->run, at->instr, DT_ARG_X);
  const int64_t channels = dt_shape_channels(shape), plane = dt_shape_inner(shape);
  const double *x = dt_reference_value(at, DT_ARG_X);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  const double *b = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_B);
  const double *mean = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_STATE);
  const double *variance = mean + channels;
  double *y = dt_reference_value(at, DT_ARG_Y);
  for (int64_t i = 0; i < channels * plane; i++) {
    int64_t c = i / plane;
    y[i] = (x[i] - mean[c]) / sqrt(variance[c] + at->instr->norm.eps) * w[c] + b[c];
  }
}

dt_status dt_reference_bn_eval(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_Y, normalize_sample);
}

static void scale_sample(const dt_reference_sample *at) {
  const dt_shape *shape = dt_reference_shape(at->run, at->instr, DT_ARG_DX);
  const int64_t channels = dt_shape_channels(shape), plane = dt_shape_inner(shape);
  const double *dy = dt_reference_value(at, DT_ARG_DY);
  const double *w = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_W);
  const double *variance = dt_reference_block(at->run, at->instr, at->micro, DT_ARG_STATE);
  double *dx = dt_reference_value(at, DT_ARG_DX);
  variance += channels;
  for (int64_t i = 0; i < channels * plane; i++) {
    int64_t c = i / plane;
    dx[i] = dy[i] * w[c] / sqrt(variance[c] + at->instr->norm.eps);
  }
}

dt_status dt_reference_bn_eval_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  return dt_reference_map(run, instr, micro, DT_ARG_DX, scale_sample);
}

/* Gradients of one channel of a shard: dx, and the shard's dw[channel], db[channel]. */
static void backward_channel(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro, const norm_channel *c,
                             const double *aux, double *out_dw, double *out_db) {
  const double *x = dt_reference_block(run, instr, micro, DT_ARG_X);
  const double *dy = dt_reference_block(run, instr, micro, DT_ARG_DY);
  const double *w = dt_reference_block(run, instr, micro, DT_ARG_W);
  double *dx = dt_reference_block(run, instr, micro, DT_ARG_DX);
  double mean = aux[c->channel], inverse = aux[c->channels + c->channel], m = count_of(c);
  double dw = 0, db = 0;
  for (int64_t i = 0; i < c->samples * c->plane; i++) {
    int64_t e = element(c, i);
    dw += dy[e] * (x[e] - mean) * inverse;
    db += dy[e];
  }
  for (int64_t i = 0; dx != NULL && i < c->samples * c->plane; i++) {
    int64_t e = element(c, i);
    double xh = (x[e] - mean) * inverse;
    dx[e] = w[c->channel] * inverse * (dy[e] - db / m - xh * dw / m);
  }
  *out_dw = dw;
  *out_db = db;
}

dt_status dt_reference_bn_bwd(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  dt_reference_require_plain(instr);
  int64_t channels = dt_shape_channels(dt_reference_shape(run, instr, DT_ARG_X));
  const double *aux = dt_reference_block(run, instr, micro, DT_ARG_AUX);
  double *sums = dt_reference_block(run, instr, micro, DT_ARG_WORK); /* [shards][dw [C], db [C]] */
  double *dx = dt_reference_block(run, instr, micro, DT_ARG_DX);
  memset(sums, 0, (size_t)(2 * channels * micro->shard_count) * sizeof(double));
  for (int shard = 0; shard < micro->shard_count; shard++) {
    double *dw = sums + shard * 2 * channels, *db = dw + channels;
    for (int64_t channel = 0; channel < channels; channel++) {
      norm_channel c = channel_of(run, instr, micro, shard, channel);
      if (c.samples > 0) {
        backward_channel(run, instr, micro, &c, aux + shard * 2 * channels, &dw[channel], &db[channel]);
      }
      if (dx != NULL) clear_empty(&c, run->program->shard_capacity, dx);
    }
  }
  dt_reference_fold(sums, micro->shard_count, 2 * channels);
  memcpy(dt_reference_block(run, instr, micro, DT_ARG_DW), sums, (size_t)channels * sizeof(double));
  memcpy(dt_reference_block(run, instr, micro, DT_ARG_DB), sums + channels, (size_t)channels * sizeof(double));
  return DT_OK;
}

dt_status dt_reference_bn_update(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const double *stat = dt_reference_block(run, instr, NULL, DT_ARG_STAT);
  double *running = dt_reference_block(run, instr, NULL, DT_ARG_STATE);
  int64_t count = dt_shape_count(dt_reference_shape(run, instr, DT_ARG_STATE));
  double samples = (double)run->step->batch_samples, momentum = instr->norm.momentum;
  for (int64_t i = 0; i < count; i++) running[i] = (1 - momentum) * running[i] + momentum * stat[i] / samples;
  return DT_OK;
}
