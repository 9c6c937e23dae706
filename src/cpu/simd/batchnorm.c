/* Batch normalisation per shard and channel; see core/program/ops.def for the formulas.
 *
 * A task is one channel of one shard: its planes stay in the cache while mean, squared deviations and output are computed one
 * after the other, and no thread waits for another. Sums run over a block's positions lane by lane, then over lanes by the tree
 * and over blocks, all in doubles: an image has a million positions, and its mean may be far from zero. What they come to is
 * rounded once, and then added over shards by the tree. */
#include "cpu/simd/common.h"

enum { RUN = 8 * 16 };

typedef struct norm {
  const float *x, *dy, *addend, *mask;
  const float *weight, *bias; /* [C] */
  const float *state;         /* running mean [C], variance [C] */
  float *y, *dx, *dadd;
  float *aux;  /* [shards][mean [C], 1/std [C]] */
  float *work; /* [shards][2C]: what is summed over shards */
  const int32_t *valid;
  int64_t channels, positions;
  int shard_blocks;
  double eps;
  dt_act act;
} norm;

/* One channel of one shard. */
typedef struct norm_channel {
  int64_t first;  /* offset in floats of its plane in the shard's first block */
  int64_t stride; /* floats between blocks */
  int64_t length; /* floats in a plane */
  int valid, shard, channel, blocks;
  double count; /* samples * positions */
} norm_channel;

static norm_channel channel_of(const norm *n, int index) {
  norm_channel c = {.shard = index / (int)n->channels, .channel = index % (int)n->channels, .length = n->positions * 16};
  c.stride = n->channels * c.length;
  c.first = c.shard * n->shard_blocks * c.stride + c.channel * c.length;
  c.valid = n->valid[c.shard];
  c.blocks = n->shard_blocks;
  c.count = (double)(c.valid * n->positions);
  return c;
}

VEC m16 filled_lanes(const norm_channel *c, int block) {
  return lanes_filled(block_filled(c->valid, block));
}

VEC v16 keep_filled(const norm_channel *c, int block, v16 a) {
  return v16_select(filled_lanes(c, block), a, v16_zero());
}

/* The end of the run at i: what is about zero is summed in floats for a few positions, and in doubles from there. */
VEC int64_t run_end(int64_t i, int64_t end) {
  return end - i > RUN ? i + RUN : end;
}

VEC double sum_filled(const norm_channel *c, int block, w16 sum) {
  return w16_sum(w16_keep(filled_lanes(c, block), sum));
}

static double sum_values(const norm_channel *c, const float *x) {
  double all = 0;
  for (int b = 0; b < c->blocks; b++) {
    const float *plane = x + c->first + b * c->stride;
    w16 sum = w16_zero();
    for (int64_t i = 0; i < c->length; i += 16) sum = w16_add_load(sum, plane + i);
    all += sum_filled(c, b, sum);
  }
  return all;
}

static double sum_squares(const norm_channel *c, const float *x, float mean) {
  double all = 0;
  v16 shift = v16_set1(mean);
  for (int b = 0; b < c->blocks; b++) {
    const float *plane = x + c->first + b * c->stride;
    w16 sum = w16_zero();
    for (int64_t i = 0, end; i < c->length; i = end) {
      v16 run = v16_zero();
      end = run_end(i, c->length);
      for (int64_t j = i; j < end; j += 16) {
        v16 d = v16_sub(v16_load(plane + j), shift);
        run = v16_fma(d, d, run);
      }
      sum = w16_add(sum, run);
    }
    all += sum_filled(c, b, sum);
  }
  return all;
}

/* y = act((x - mean) * scale + bias + addend); empty positions get 0. */
static void normalize(const norm *n, const norm_channel *c, float mean, float scale) {
  v16 shift = v16_set1(mean), factor = v16_set1(scale), bias = v16_set1(n->bias[c->channel]);
  for (int b = 0; b < c->blocks; b++) {
    int64_t plane = c->first + b * c->stride;
    for (int64_t i = plane; i < plane + c->length; i += 16) {
      v16 a = v16_fma(v16_sub(v16_load(n->x + i), shift), factor, bias);
      v16_store(n->y + i, keep_filled(c, b, forward_finish(&n->act, a, at(n->addend, i))));
    }
  }
}

static void forward_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  float *aux = n->aux + c.shard * 2 * n->channels + c.channel, *stat = n->work + c.shard * 2 * n->channels + c.channel;
  double mean = 0, variance = 0, unbiased = 0;
  if (c.valid > 0) {
    mean = sum_values(&c, n->x) / c.count;
    /* Distances are from the rounded mean, which is as far from the mean in each of them. */
    double off = mean - (float)mean, squares = sum_squares(&c, n->x, (float)mean) - c.count * off * off;
    variance = squares > 0 ? squares / c.count : 0 * squares; /* a NaN stays one */
    unbiased = c.count > 1 ? variance * (c.count / (c.count - 1)) : variance;
  }
  float inverse = (float)(1 / sqrt(variance + n->eps));
  aux[0] = (float)mean;
  aux[n->channels] = inverse;
  stat[0] = (float)(c.valid * mean);
  stat[n->channels] = (float)(c.valid * unbiased);
  normalize(n, &c, (float)mean, inverse * n->weight[c.channel]);
}

static void eval_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  float scale = (float)(n->weight[c.channel] / sqrt(n->state[n->channels + c.channel] + n->eps));
  normalize(n, &c, n->state[c.channel], scale);
}

static void eval_backward_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  v16 scale = v16_set1((float)(n->weight[c.channel] / sqrt(n->state[n->channels + c.channel] + n->eps)));
  for (int b = 0; b < c.blocks; b++) {
    int64_t plane = c.first + b * c.stride;
    for (int64_t i = plane; i < plane + c.length; i += 16) v16_store(n->dx + i, v16_mul(v16_load(n->dy + i), scale));
  }
}

VEC v16 masked_gradient(const norm *n, int64_t i) {
  return gradient_finish(&n->act, v16_load(n->dy + i), NULL, at(n->mask, i));
}

/* sum g into *out_g, sum g * (x - mean) into *out_gx. Empty positions hold zero gradients. */
static void sum_gradients(const norm *n, const norm_channel *c, float mean, double *out_g, double *out_gx) {
  *out_g = *out_gx = 0;
  v16 shift = v16_set1(mean);
  for (int b = 0; b < c->blocks; b++) {
    int64_t plane = c->first + b * c->stride;
    w16 g_sum = w16_zero(), gx_sum = w16_zero();
    for (int64_t i = plane, end; i < plane + c->length; i = end) {
      v16 g_run = v16_zero(), gx_run = v16_zero();
      end = run_end(i, plane + c->length);
      for (int64_t j = i; j < end; j += 16) {
        v16 g = masked_gradient(n, j);
        g_run = v16_add(g_run, g);
        gx_run = v16_fma(g, v16_sub(v16_load(n->x + j), shift), gx_run);
      }
      g_sum = w16_add(g_sum, g_run);
      gx_sum = w16_add(gx_sum, gx_run);
    }
    *out_g += sum_filled(c, b, g_sum);
    *out_gx += sum_filled(c, b, gx_sum);
  }
}

/* dx = scale * (g - mean_g - (x - mean) * slope), zero in empty positions; dadd = g. */
static void spread_gradients(const norm *n, const norm_channel *c, float mean, float scale, float mean_g, float slope) {
  v16 shift = v16_set1(mean), factor = v16_set1(scale), offset = v16_set1(mean_g), minus_slope = v16_set1(-slope);
  for (int b = 0; b < c->blocks; b++) {
    int64_t plane = c->first + b * c->stride;
    for (int64_t i = plane; i < plane + c->length; i += 16) {
      v16 g = masked_gradient(n, i);
      if (n->dadd != NULL) v16_store(n->dadd + i, g);
      if (n->dx == NULL) continue;
      v16 a = v16_fma(v16_sub(v16_load(n->x + i), shift), minus_slope, v16_sub(g, offset));
      v16_store(n->dx + i, keep_filled(c, b, v16_mul(factor, a)));
    }
  }
}

static void backward_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  const float *aux = n->aux + c.shard * 2 * n->channels + c.channel;
  float *sums = n->work + c.shard * 2 * n->channels + c.channel;
  float mean = aux[0], inverse = aux[n->channels];
  double g, gx, count = c.valid > 0 ? c.count : 1;
  sum_gradients(n, &c, mean, &g, &gx);
  sums[0] = (float)(gx * inverse);
  sums[n->channels] = (float)g;
  if (n->dx == NULL && n->dadd == NULL) return;
  spread_gradients(n, &c, mean, n->weight[c.channel] * inverse, (float)(g / count), (float)(gx / count * inverse * inverse));
}

static norm norm_of(const dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  const dt_shape *shape = arg_shape(run, instr, instr->arg[DT_ARG_X] >= 0 ? DT_ARG_X : DT_ARG_DX);
  return (norm){.x = dt_cpu_arg(run, instr, micro, DT_ARG_X),
                .mask = dt_cpu_arg(run, instr, micro, DT_ARG_MASK),
                .addend = dt_cpu_arg(run, instr, micro, DT_ARG_ADDEND),
                .weight = dt_cpu_arg(run, instr, micro, DT_ARG_W),
                .bias = dt_cpu_arg(run, instr, micro, DT_ARG_B),
                .aux = dt_cpu_arg(run, instr, micro, DT_ARG_AUX),
                .work = dt_cpu_arg(run, instr, micro, DT_ARG_WORK),
                .valid = micro->batch->valid,
                .channels = dt_shape_channels(shape),
                .positions = dt_shape_inner(shape),
                .shard_blocks = dt_cpu_shard_blocks(run->program),
                .eps = instr->norm.eps,
                .act = instr->act};
}

static size_t sums_bytes(const dt_program *program, const dt_instr *instr) {
  int64_t channels = dt_shape_channels(&program->buffer[instr->arg[DT_ARG_X]].shape);
  return (size_t)(program->micro_batch_shards * 2 * channels) * sizeof(float);
}

size_t DT_SIMD(dt_cpu_bn_fwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  return sums_bytes(program, instr);
}

size_t DT_SIMD(dt_cpu_bn_bwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  return sums_bytes(program, instr);
}

dt_status DT_SIMD(dt_cpu_bn_fwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  n.y = dt_cpu_arg(run, instr, micro, DT_ARG_Y);
  dt_threads_run(run_threads(run), micro->shard_count * (int)n.channels, forward_task, &n);
  tree_over_shards(dt_cpu_arg(run, instr, micro, DT_ARG_STAT), n.work, micro->shard_count, 2 * n.channels, 2 * n.channels);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_bn_eval)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  n.y = dt_cpu_arg(run, instr, micro, DT_ARG_Y);
  n.state = dt_cpu_arg(run, instr, micro, DT_ARG_STATE);
  dt_threads_run(run_threads(run), micro->shard_count * (int)n.channels, eval_task, &n);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_bn_eval_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  n.dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY);
  n.dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX);
  n.state = dt_cpu_arg(run, instr, micro, DT_ARG_STATE);
  dt_threads_run(run_threads(run), micro->shard_count * (int)n.channels, eval_backward_task, &n);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_bn_bwd)(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  norm n = norm_of(run, instr, micro);
  n.dy = dt_cpu_arg(run, instr, micro, DT_ARG_DY);
  n.dx = dt_cpu_arg(run, instr, micro, DT_ARG_DX);
  n.dadd = dt_cpu_arg(run, instr, micro, DT_ARG_DADD);
  dt_threads_run(run_threads(run), micro->shard_count * (int)n.channels, backward_task, &n);
  int64_t stride = 2 * n.channels;
  tree_over_shards(dt_cpu_arg(run, instr, micro, DT_ARG_DW), n.work, micro->shard_count, stride, n.channels);
  tree_over_shards(dt_cpu_arg(run, instr, micro, DT_ARG_DB), n.work + n.channels, micro->shard_count, stride, n.channels);
  return DT_OK;
}
