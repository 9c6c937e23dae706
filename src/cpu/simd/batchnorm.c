/* Batch normalisation per shard and channel; see core/program.h for the formulas.
 *
 * A task is one channel of one shard: its planes stay in the cache while mean, squared deviations and output are computed one
 * after the other, and no thread waits for another. Sums run over a block's positions lane by lane, then over lanes, blocks
 * and shards by the tree. */
#include "cpu/simd/common.h"

typedef struct norm {
  const float *x, *dy, *addend, *mask;
  const float *weight, *bias; /* [C] */
  const float *state;         /* running mean [C], variance [C] */
  float *y, *dx, *dadd;
  float *aux;  /* [shards][mean [C], 1/std [C]] */
  float *work; /* [shards][2C]: what is summed over shards */
  const int32_t *filled;
  int64_t channels, positions;
  int shard_blocks;
  float eps;
  dt_act act;
} norm;

/* One channel of one shard. */
typedef struct norm_channel {
  int64_t first;  /* offset in floats of its plane in the shard's first block */
  int64_t stride; /* floats between blocks */
  int64_t length; /* floats in a plane */
  int filled, shard, channel, blocks;
  float count; /* samples * positions */
} norm_channel;

static norm_channel channel_of(const norm *n, int index) {
  norm_channel c = {.shard = index / (int)n->channels, .channel = index % (int)n->channels, .length = n->positions * 16};
  c.stride = n->channels * c.length;
  c.first = c.shard * n->shard_blocks * c.stride + c.channel * c.length;
  c.filled = n->filled[c.shard];
  c.blocks = n->shard_blocks;
  c.count = (float)(c.filled * n->positions);
  return c;
}

VEC v16 keep_filled(const norm_channel *c, int block, v16 a) {
  return v16_select(lanes_filled(block_filled(c->filled, block)), a, v16_zero());
}

static float sum_values(const norm_channel *c, const float *x) {
  tree blocks = {.depth = 0};
  for (int b = 0; b < c->blocks; b++) {
    const float *plane = x + c->first + b * c->stride;
    v16 sum = v16_zero();
    for (int64_t i = 0; i < c->length; i += 16) sum = v16_add(sum, v16_load(plane + i));
    tree_push(&blocks, v16_sum(keep_filled(c, b, sum)));
  }
  return tree_root(&blocks);
}

static float sum_squares(const norm_channel *c, const float *x, float mean) {
  tree blocks = {.depth = 0};
  v16 shift = v16_set1(mean);
  for (int b = 0; b < c->blocks; b++) {
    const float *plane = x + c->first + b * c->stride;
    v16 sum = v16_zero();
    for (int64_t i = 0; i < c->length; i += 16) {
      v16 d = v16_sub(v16_load(plane + i), shift);
      sum = v16_fma(d, d, sum);
    }
    tree_push(&blocks, v16_sum(keep_filled(c, b, sum)));
  }
  return tree_root(&blocks);
}

/* y = act((x - mean) * scale + bias + addend); empty places get 0. */
static void normalize(const norm *n, const norm_channel *c, float mean, float scale) {
  v16 shift = v16_set1(mean), factor = v16_set1(scale), bias = v16_set1(n->bias[c->channel]);
  for (int b = 0; b < c->blocks; b++) {
    int64_t plane = c->first + b * c->stride;
    for (int64_t i = plane; i < plane + c->length; i += 16) {
      v16 a = v16_fma(v16_sub(v16_load(n->x + i), shift), factor, bias);
      v16_store(n->y + i, keep_filled(c, b, forward_finish(n->act, a, at(n->addend, i))));
    }
  }
}

static void forward_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  float *aux = n->aux + c.shard * 2 * n->channels + c.channel, *stat = n->work + c.shard * 2 * n->channels + c.channel;
  float mean = 0, variance = 0, unbiased = 0;
  if (c.filled > 0) {
    mean = sum_values(&c, n->x) / c.count;
    float squares = sum_squares(&c, n->x, mean);
    variance = squares / c.count;
    unbiased = c.count > 1 ? squares / (c.count - 1) : variance;
  }
  float inverse = 1.0f / sqrtf(variance + n->eps);
  aux[0] = mean;
  aux[n->channels] = inverse;
  stat[0] = (float)c.filled * mean;
  stat[n->channels] = (float)c.filled * unbiased;
  normalize(n, &c, mean, inverse * n->weight[c.channel]);
}

static void eval_task(void *context, int index, int thread) {
  const norm *n = context;
  norm_channel c = channel_of(n, index);
  float scale = n->weight[c.channel] / sqrtf(n->state[n->channels + c.channel] + n->eps);
  normalize(n, &c, n->state[c.channel], scale);
}

VEC v16 masked_gradient(const norm *n, int64_t i) {
  return gradient_finish(n->act, v16_load(n->dy + i), NULL, at(n->mask, i));
}

/* sum g into *out_g, sum g * (x - mean) into *out_gx. Empty places hold zero gradients. */
static void sum_gradients(const norm *n, const norm_channel *c, float mean, float *out_g, float *out_gx) {
  tree g_blocks = {.depth = 0}, gx_blocks = {.depth = 0};
  v16 shift = v16_set1(mean);
  for (int b = 0; b < c->blocks; b++) {
    int64_t plane = c->first + b * c->stride;
    v16 g_sum = v16_zero(), gx_sum = v16_zero();
    for (int64_t i = plane; i < plane + c->length; i += 16) {
      v16 g = masked_gradient(n, i);
      g_sum = v16_add(g_sum, g);
      gx_sum = v16_fma(g, v16_sub(v16_load(n->x + i), shift), gx_sum);
    }
    tree_push(&g_blocks, v16_sum(keep_filled(c, b, g_sum)));
    tree_push(&gx_blocks, v16_sum(keep_filled(c, b, gx_sum)));
  }
  *out_g = tree_root(&g_blocks);
  *out_gx = tree_root(&gx_blocks);
}

/* dx = scale * (g - mean_g - (x - mean) * slope), zero in empty places; dadd = g. */
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
  float mean = aux[0], inverse = aux[n->channels], g = 0, gx = 0, count = c.filled > 0 ? c.count : 1;
  sum_gradients(n, &c, mean, &g, &gx);
  sums[0] = gx * inverse;
  sums[n->channels] = g;
  if (n->dx == NULL && n->dadd == NULL) return;
  spread_gradients(n, &c, mean, n->weight[c.channel] * inverse, g / count, gx / count * inverse * inverse);
}

static norm norm_of(const dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  const dt_shape *shape = arg_shape(run, instr, DT_ARG_X);
  return (norm){.x = dt_cpu_arg(run, instr, pass, DT_ARG_X),
                .mask = dt_cpu_arg(run, instr, pass, DT_ARG_MASK),
                .addend = dt_cpu_arg(run, instr, pass, DT_ARG_ADDEND),
                .weight = dt_cpu_arg(run, instr, pass, DT_ARG_W),
                .bias = dt_cpu_arg(run, instr, pass, DT_ARG_B),
                .aux = dt_cpu_arg(run, instr, pass, DT_ARG_AUX),
                .work = dt_cpu_arg(run, instr, pass, DT_ARG_WORK),
                .filled = pass->batch->filled,
                .channels = shape->dim[0],
                .positions = shape_positions(shape),
                .shard_blocks = dt_cpu_shard_blocks(run->program),
                .eps = (float)instr->bn.eps,
                .act = instr->act};
}

static size_t sums_bytes(const dt_program *program, const dt_instr *instr) {
  int64_t channels = program->buffer[instr->arg[DT_ARG_X]].shape.dim[0];
  return (size_t)(program->pass_shards * 2 * channels) * sizeof(float);
}

size_t DT_SIMD(dt_cpu_bn_fwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  return sums_bytes(program, instr);
}

size_t DT_SIMD(dt_cpu_bn_bwd_work)(const dt_device *device, const dt_program *program, const dt_instr *instr) {
  return sums_bytes(program, instr);
}

dt_status DT_SIMD(dt_cpu_bn_fwd)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  norm n = norm_of(run, instr, pass);
  n.y = dt_cpu_arg(run, instr, pass, DT_ARG_Y);
  dt_pool_run(run_pool(run), pass->shard_count * (int)n.channels, forward_task, &n);
  tree_over_shards(dt_cpu_arg(run, instr, pass, DT_ARG_STAT), n.work, pass->shard_count, 2 * n.channels, 2 * n.channels);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_bn_eval)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  norm n = norm_of(run, instr, pass);
  n.y = dt_cpu_arg(run, instr, pass, DT_ARG_Y);
  n.state = dt_cpu_arg(run, instr, pass, DT_ARG_STATE);
  dt_pool_run(run_pool(run), pass->shard_count * (int)n.channels, eval_task, &n);
  return DT_OK;
}

dt_status DT_SIMD(dt_cpu_bn_bwd)(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  norm n = norm_of(run, instr, pass);
  n.dy = dt_cpu_arg(run, instr, pass, DT_ARG_DY);
  n.dx = dt_cpu_arg(run, instr, pass, DT_ARG_DX);
  n.dadd = dt_cpu_arg(run, instr, pass, DT_ARG_DADD);
  dt_pool_run(run_pool(run), pass->shard_count * (int)n.channels, backward_task, &n);
  int64_t stride = 2 * n.channels;
  tree_over_shards(dt_cpu_arg(run, instr, pass, DT_ARG_DW), n.work, pass->shard_count, stride, n.channels);
  tree_over_shards(dt_cpu_arg(run, instr, pass, DT_ARG_DB), n.work + n.channels, pass->shard_count, stride, n.channels);
  return DT_OK;
}
