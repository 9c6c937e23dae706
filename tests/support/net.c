#include "support/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/fill.h"
#include "support/unit.h"

void net_require(dt_status status, const char *call) {
  if (status != DT_OK) fail_msg("%s: %s", call, dt_error_text());
}

void *net_memory(size_t bytes) {
  void *memory;
  NET_OK(dt_alloc(bytes, 1, &memory));
  return memory;
}

static void net_parse(net *n) {
  const net_options *o = &n->options;
  char *text, clip[32] = "off";
  if (o->clip_norm > 0) snprintf(clip, sizeof clip, "%.17g", o->clip_norm);
  int bytes = asprintf(&text,
                       "name: test\n"
                       "data:\n"
                       "  train: {idx: {images: none, labels: none}}\n"
                       "  eval: {idx: {images: none, labels: none}}\n"
                       "model: {input: [%s], layers: %s, loss: cross_entropy}\n"
                       "train: {global_batch: %lld, shards: %d, clip_norm: %s, length: 1 steps}\n"
                       "precision: %s\n"
                       "optimizer: %s\n"
                       "schedule: {lr: 0.1}\n",
                       o->input, o->layers, (long long)o->global_batch, o->shards, clip,
                       o->precision != NULL ? o->precision : "fp32", o->optimizer != NULL ? o->optimizer : "{sgd: {}}");
  assert_true(bytes > 0);
  NET_OK(dt_config_parse("test.yaml", text, (size_t)bytes, NULL, 0, &n->config));
  free(text);
  n->spec = dt_config_spec(n->config);
}

static void net_make_reducer(net *n) {
  dt_reducer_options options = {
      .tree = n->tree,
      .mode = DT_REDUCE_ORDERED,
      .dtype = n->device->ops->dtype,
      .bucket = n->train->bucket,
      .bucket_count = n->train->bucket_count,
      .node_elements = n->train->grad_elements,
  };
  NET_OK(dt_comm_self_create(&n->comm));
  if (n->device->ops->reducer_create != NULL) {
    NET_OK(n->device->ops->reducer_create(n->device, n->comm, &options, &n->reducer));
  } else {
    NET_OK(n->comm->ops->reducer_create(n->comm, &options, &n->reducer));
  }
}

/* Elements of an input sample, and its channels. */
static int64_t net_input_count(const net *n) {
  return dt_shape_count(&n->graph->node[0].shape);
}

/* Values pass as they are; pixels come out in [-1, 1]. */
static void net_make_batch(net *n) {
  int64_t places = n->tree->pass_shards * n->train->shard_slots;
  int64_t channels = n->graph->node[0].shape.dim[0];
  n->pixels = net_memory((size_t)(places * net_input_count(n)));
  n->values = net_memory((size_t)(places * net_input_count(n)) * sizeof(float));
  n->labels = net_memory((size_t)places * sizeof(int32_t));
  n->filled = net_memory((size_t)n->tree->pass_shards * sizeof(int32_t));
  n->place = net_memory((size_t)n->tree->pass_shards * sizeof(int64_t));
  n->scale = net_memory((size_t)channels * sizeof(float));
  n->shift = net_memory((size_t)channels * sizeof(float));
  for (int64_t c = 0; c < channels; c++) {
    n->scale[c] = n->options.pixels ? 0x1p-7f : 1;
    n->shift[c] = n->options.pixels ? -1 : 0;
  }
  n->batch = (dt_batch){
      .pixels = n->options.pixels ? n->pixels : NULL,
      .values = n->options.pixels ? NULL : n->values,
      .labels = n->labels,
      .filled = n->filled,
      .place = n->place,
  };
}

void net_open(net *n, const net_options *options) {
  *n = (net){.options = *options};
  net_parse(n);
  dt_device_options device = {.threads = options->threads > 0 ? options->threads : 1, .precision = n->spec->precision};
  NET_OK(options->device(&device, &n->device));
  NET_OK(dt_graph_create(n->config, &n->graph));
  int most = n->device->ops->pass_shards;
  NET_OK(dt_tree_create(options->shards, 1, 0, most > 0 ? most : options->pass_shards, &n->tree));
  NET_OK(dt_program_create(n->graph, n->spec, n->device, DT_PROGRAM_TRAIN, n->tree->pass_shards, &n->train));
  NET_OK(dt_program_create(n->graph, n->spec, n->device, DT_PROGRAM_EVAL, n->tree->pass_shards, &n->eval));
  net_make_reducer(n);
  NET_OK(dt_executor_create(n->device, n->train, n->tree, n->reducer, n->spec, NULL, &n->trainer));
  NET_OK(dt_executor_create(n->device, n->eval, n->tree, NULL, n->spec, n->trainer, &n->scorer));
  net_make_batch(n);
  NET_OK(dt_executor_set_normalisation(n->trainer, n->scale, n->shift));
  NET_OK(dt_executor_set_normalisation(n->scorer, n->scale, n->shift));
}

void net_close(net *n) {
  dt_executor_destroy(&n->scorer);
  dt_executor_destroy(&n->trainer);
  n->reducer->ops->destroy(&n->reducer);
  n->comm->ops->destroy(&n->comm);
  dt_program_destroy(&n->eval);
  dt_program_destroy(&n->train);
  dt_tree_destroy(&n->tree);
  dt_graph_destroy(&n->graph);
  n->device->ops->destroy(&n->device);
  dt_config_destroy(&n->config);
  void *memory[] = {n->pixels, n->values, n->labels, n->filled, n->place, n->scale, n->shift};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) free(memory[i]);
}

static char *net_block_address(const net *n, net_block block, int64_t offset) {
  const dt_blocks *blocks = &dt_executor_run_state(n->trainer)->blocks;
  char *base[] = {[NET_PARAM] = blocks->param, [NET_GRAD] = blocks->grad, [NET_STATE] = blocks->state};
  return base[block] + (size_t)offset * dt_dtype_bytes(n->device->ops->dtype);
}

/* Where element e of a parameter lies in it on the device: [O, I, KH, KW] as [O, KH, KW, I] where channels come last. */
static int64_t net_place(const net *n, const dt_param *param, int64_t e) {
  if (!n->device->ops->channels_last || param->shape.ndim != 4) return e;
  int64_t inputs = param->shape.dim[1], window = param->shape.dim[2] * param->shape.dim[3];
  int64_t o = e / (inputs * window), i = e / window % inputs, k = e % window;
  return (o * window + k) * inputs + i;
}

/* Brings whole parameters among the `count` elements from `offset` on into the device's order, or back. */
static void net_turn(const net *n, net_block block, int64_t offset, int64_t count, double *value, bool to_device) {
  for (int p = 0; block != NET_STATE && p < n->train->param_count; p++) {
    const dt_param *param = &n->train->param[p];
    if (param->offset < offset || param->offset + param->count > offset + count) continue;
    double *at = value + param->offset - offset, *copy = net_memory((size_t)param->count * sizeof(double));
    memcpy(copy, at, (size_t)param->count * sizeof(double));
    for (int64_t e = 0; e < param->count; e++) {
      int64_t place = net_place(n, param, e);
      at[to_device ? place : e] = copy[to_device ? e : place];
    }
    free(copy);
  }
}

void net_read(const net *n, net_block block, int64_t offset, int64_t count, double *out) {
  size_t bytes = (size_t)count * dt_dtype_bytes(n->device->ops->dtype);
  void *raw = net_memory(bytes);
  NET_OK(n->device->ops->download(n->device, raw, net_block_address(n, block, offset), bytes));
  for (int64_t i = 0; i < count; i++) out[i] = n->device->ops->dtype == DT_F32 ? ((float *)raw)[i] : ((double *)raw)[i];
  net_turn(n, block, offset, count, out, false);
  free(raw);
}

void net_write(const net *n, net_block block, int64_t offset, int64_t count, const double *in) {
  size_t bytes = (size_t)count * dt_dtype_bytes(n->device->ops->dtype);
  void *raw = net_memory(bytes);
  double *turned = net_memory((size_t)count * sizeof(double));
  memcpy(turned, in, (size_t)count * sizeof(double));
  net_turn(n, block, offset, count, turned, true);
  for (int64_t i = 0; i < count; i++) {
    if (n->device->ops->dtype == DT_F32) {
      ((float *)raw)[i] = (float)turned[i];
    } else {
      ((double *)raw)[i] = turned[i];
    }
  }
  dt_run *run = dt_executor_run_state(n->trainer);
  NET_OK(n->device->ops->upload(n->device, net_block_address(n, block, offset), raw, bytes));
  if (n->device->ops->refresh != NULL) NET_OK(n->device->ops->refresh(run));
  free(turned);
  free(raw);
}

static void net_fill_list(net *n, net_block block, const dt_param *list, int count) {
  for (int i = 0; i < count; i++) {
    double *value = net_memory((size_t)list[i].count * sizeof(double));
    if (strstr(list[i].name, DT_LOSS_SCALE_ROLE) != NULL) {
      value[DT_LOSS_SCALE_NEXT] = value[DT_LOSS_SCALE_USED] = (double)dt_loss_scale_first;
    } else {
      fill_initial(list[i].name, &list[i].shape, value);
    }
    net_write(n, block, list[i].offset, list[i].count, value);
    free(value);
  }
}

void net_fill(net *n) {
  net_fill_list(n, NET_PARAM, n->train->param, n->train->param_count);
  net_fill_list(n, NET_STATE, n->train->state, n->train->state_count);
}

const dt_param *net_find(const dt_param *list, int count, const char *name) {
  for (int i = 0; i < count; i++) {
    if (strcmp(list[i].name, name) == 0) return &list[i];
  }
  fail_msg("the program has no tensor %s", name);
  return NULL;
}

double net_loss_scale(const net *n) {
  if (n->spec->precision != DT_FP16 || strcmp(n->device->ops->name, "gpu") != 0) return 1;
  for (int i = 0; i < n->train->state_count; i++) {
    const dt_param *state = &n->train->state[i];
    if (strstr(state->name, DT_LOSS_SCALE_ROLE) == NULL) continue;
    double value[DT_LOSS_SCALE_COUNT];
    net_read(n, NET_STATE, state->offset, state->count, value);
    return value[DT_LOSS_SCALE_USED];
  }
  return 1;
}

int64_t net_classes(const net *n) {
  return dt_shape_count(&n->train->buffer[n->train->logits].shape);
}

/* Sample `index` of the batch named tag, into place `place` of the pass. */
static void net_put_sample(net *n, int64_t index, int64_t place) {
  char name[64];
  int64_t count = net_input_count(n);
  snprintf(name, sizeof name, "%s.x", n->tag);
  uint64_t key = fill_key(name);
  for (int64_t i = 0; i < count; i++) {
    double value = fill_value(key, index * count + i);
    n->values[place * count + i] = (float)value;
    n->pixels[place * count + i] = (uint8_t)((value + 1) * 128);
  }
  snprintf(name, sizeof name, "%s.label", n->tag);
  n->labels[place] = (int32_t)((fill_value(fill_key(name), index) + 1) / 2 * (double)net_classes(n));
}

/* Empty places get noise: nothing may depend on them. */
static void net_put_noise(net *n, int64_t place) {
  int64_t count = net_input_count(n);
  for (int64_t i = 0; i < count; i++) {
    n->values[place * count + i] = 77;
    n->pixels[place * count + i] = 77;
  }
  n->labels[place] = 0;
}

static void net_put_pass(net *n, const dt_pass_plan *plan) {
  n->batch.samples = 0;
  for (int s = 0; s < plan->shard_count; s++) {
    int64_t count = dt_shard_samples(n->samples, n->tree->shards, plan->first_shard + s, &n->place[s]);
    n->filled[s] = (int32_t)count;
    n->batch.samples += count;
    for (int64_t slot = 0; slot < n->train->shard_slots; slot++) {
      int64_t place = s * n->train->shard_slots + slot;
      if (slot < count) {
        net_put_sample(n, n->place[s] + slot, place);
      } else {
        net_put_noise(n, place);
      }
    }
  }
}

static dt_status net_next_batch(void *context, const dt_batch **out) {
  net *n = context;
  net_put_pass(n, &n->tree->passes[n->next_pass++]);
  *out = &n->batch;
  return DT_OK;
}

void net_step(net *n, const char *tag, int64_t samples, int64_t samples_seen, double *tail) {
  dt_step *step = dt_executor_run_state(n->trainer)->step;
  const dt_optimizer *optimizer = n->spec->optimizer.kind->impl;
  double flags[DT_TAIL_COUNT] = {0};
  n->tag = tag;
  n->samples = samples;
  n->next_pass = 0;
  step->samples_seen = samples_seen;
  step->batch_samples = samples;
  step->lr = n->options.lr;
  step->momentum = optimizer->momentum(n->spec->optimizer.attr);
  step->weight_decay = optimizer->weight_decay(n->spec->optimizer.attr);
  step->clip_norm = n->options.clip_norm;
  dt_outcome outcome;
  NET_OK(dt_executor_step(n->trainer, net_next_batch, n, flags));
  NET_OK(dt_executor_outcome(n->trainer, &outcome));
  memcpy(tail, outcome.tail, sizeof outcome.tail);
}

/* Copies the logits of a pass's samples to their places in the batch: out [samples][classes]. */
static void net_take_logits(net *n, const dt_pass *pass, double *out) {
  int64_t classes = net_classes(n), slots = n->eval->shard_slots;
  double *logits = net_memory((size_t)(pass->shard_count * slots * classes) * sizeof(double));
  NET_OK(n->device->ops->read_value(dt_executor_run_state(n->scorer), n->eval->logits, pass, logits));
  for (int s = 0; s < pass->shard_count; s++) {
    memcpy(out + n->place[s] * classes, logits + s * slots * classes, (size_t)(n->filled[s] * classes) * sizeof(double));
  }
  free(logits);
}

void net_evaluate(net *n, const char *tag, int64_t samples, double *logits, dt_score *score) {
  n->tag = tag;
  n->samples = samples;
  for (int i = 0; i < n->tree->pass_count; i++) {
    const dt_pass_plan *plan = &n->tree->passes[i];
    net_put_pass(n, plan);
    NET_OK(dt_executor_pass(n->scorer, i, &n->batch));
    dt_pass pass = {.first_shard = plan->first_shard, .shard_count = plan->shard_count, .batch = &n->batch};
    net_take_logits(n, &pass, logits);
  }
  NET_OK(dt_executor_score(n->scorer, score));
}
