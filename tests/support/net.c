#include "support/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/optim/average.h"
#include "core/program/goals.h"
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

dt_config *net_config(const net_options *o) {
  dt_config *config = NULL;
  char *text, clip[32] = "off", input[256];
  snprintf(input, sizeof input, o->inputs != NULL ? "inputs: %s" : "input: [%s]", o->inputs != NULL ? o->inputs : o->input);
  if (o->clip_norm > 0) snprintf(clip, sizeof clip, "%.17g", o->clip_norm);
  int bytes = asprintf(&text,
                       "name: test\n"
                       "data:\n"
                       "  train: {idx: {images: none, labels: none}}\n"
                       "  eval: {idx: {images: none, labels: none}}\n"
                       "model: {%s, layers: %s, loss: %s}\n"
                       "eval: {metrics: %s}\n"
                       "train: {global_batch: %lld, shards: %d, clip_norm: %s, length: 1 steps%s}\n"
                       "precision: %s\n"
                       "optimizer: %s\n"
                       "%s%s\n"
                       "schedule: {lr: 0.1}\n",
                       input, o->layers, o->loss != NULL ? o->loss : "cross_entropy", o->metrics != NULL ? o->metrics : "[]",
                       (long long)o->global_batch, o->shards, clip, o->train != NULL ? o->train : "",
                       o->precision != NULL ? o->precision : "fp32", o->optimizer != NULL ? o->optimizer : "{sgd: {}}",
                       o->average != NULL ? "average: " : "", o->average != NULL ? o->average : "");
  assert_true(bytes > 0);
  NET_OK(dt_config_parse("test.yaml", text, (size_t)bytes, NULL, 0, &config));
  free(text);
  return config;
}

static void net_make_reducer(net *n) {
  dt_reducer_options options = {
      .tree = n->tree,
      .mode = DT_REDUCE_ORDERED,
      .dtype = n->device->ops->dtype,
      .bucket = n->train->bucket,
      .bucket_count = n->train->bucket_count,
      .partial_elements = n->train->grad_elements,
  };
  if (n->device->ops->own_memory != NULL) {
    NET_OK(n->device->ops->own_memory->reducer_create(n->device, n->comm, &options, &n->reducer));
  } else {
    NET_OK(n->comm->ops->reducer_create(n->comm, &options, &n->reducer));
  }
}

void *net_field(const net *n, const char *name) {
  int f = dt_field_find(n->graph->field, n->graph->field_count, name);
  if (f < 0) fail_msg("the network reads no field %s", name);
  return n->field[f];
}

/* Values micro-batch as they are; pixels come out in [-1, 1]. */
static void net_make_batch(net *n) {
  int64_t places = n->tree->micro_batch_shards * n->train->shard_capacity, channels = n->train->input_channels;
  n->filled = net_memory((size_t)n->tree->micro_batch_shards * sizeof(int32_t));
  n->place = net_memory((size_t)n->tree->micro_batch_shards * sizeof(int64_t));
  n->batch = (dt_batch){.valid = n->filled, .position = n->place};
  for (int f = 0; f < n->graph->field_count; f++) {
    n->field[f] = net_memory((size_t)places * dt_field_part_bytes(&n->graph->field[f], DT_PART_VALUES, 1));
    n->batch.field[f].part[DT_PART_VALUES] = n->field[f];
  }
  n->scale = net_memory((size_t)channels * sizeof(float));
  n->shift = net_memory((size_t)channels * sizeof(float));
  for (int64_t c = 0; c < channels; c++) {
    n->scale[c] = n->options.pixels ? 0x1p-7f : 1;
    n->shift[c] = n->options.pixels ? -1 : 0;
  }
}

void net_open(net *n, const net_options *options) {
  *n = (net){.options = *options};
  n->config = net_config(options);
  n->spec = dt_config_spec(n->config);
  dt_device_options device = {.threads = options->threads > 0 ? options->threads : 1, .precision = n->spec->precision};
  NET_OK(options->device(&device, &n->device));
  NET_OK(dt_graph_create(n->config, &n->graph));
  const int inputs = dt_graph_input_fields(n->graph);
  for (int f = 0; f < n->graph->field_count; f++) {
    dt_dtype *dtype = &n->graph->field[f].dtype;
    if (f < inputs) *dtype = options->pixels ? DT_U8 : DT_F32;
    if (f >= inputs && *dtype == DT_F32 && options->byte_targets) *dtype = DT_U8;
  }
  int most = n->device->ops->micro_batch_shards;
  n->comm = options->comm;
  if (n->comm == NULL) NET_OK(dt_comm_self_create(&n->comm));
  NET_OK(
      dt_tree_create(options->shards, n->comm->size, n->comm->rank, most > 0 ? most : options->micro_batch_shards, &n->tree));
  NET_OK(dt_program_create(n->graph, n->spec, n->device, DT_PROGRAM_TRAIN, n->tree->micro_batch_shards, &n->train));
  NET_OK(dt_program_create(n->graph, n->spec, n->device, DT_PROGRAM_EVAL, n->tree->micro_batch_shards, &n->eval));
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
  if (n->options.comm == NULL) n->comm->ops->destroy(&n->comm);
  dt_program_destroy(&n->eval);
  dt_program_destroy(&n->train);
  dt_tree_destroy(&n->tree);
  dt_graph_destroy(&n->graph);
  n->device->ops->destroy(&n->device);
  dt_config_destroy(&n->config);
  void *memory[] = {n->filled, n->place, n->scale, n->shift};
  for (size_t i = 0; i < sizeof memory / sizeof *memory; i++) free(memory[i]);
  for (int f = 0; f < DT_FIELDS_MAX; f++) free(n->field[f]);
}

static char *net_block_address(const net *n, net_block block, int64_t offset) {
  const dt_blocks *blocks = &dt_executor_run_state(n->trainer)->blocks;
  char *base[] = {[NET_PARAM] = blocks->param, [NET_GRAD] = blocks->grad, [NET_STATE] = blocks->state};
  return base[block] + (size_t)offset * dt_dtype_bytes(n->device->ops->dtype);
}

/* Where element e of a parameter lies in it on the device: [O, I, KH, KW] as [O, KH, KW, I] where channels come last. */
static int64_t net_place(const net *n, const dt_param *param, int64_t e) {
  if (!n->device->ops->channels_last || param->decl->layout != DT_LAYOUT_FILTER) return e;
  int64_t inputs = param->shape.dim[1], window = param->shape.dim[2] * param->shape.dim[3];
  int64_t o = e / (inputs * window), i = e / window % inputs, k = e % window;
  return (o * window + k) * inputs + i;
}

/* Brings whole parameters among the `count` elements from `offset` on into the device's order, or back. */
static void net_transpose(const net *n, net_block block, int64_t offset, int64_t count, double *value, bool to_device) {
  for (int p = 0; block != NET_STATE && p < n->train->param_count; p++) {
    const dt_param *param = &n->train->param[p];
    if (param->offset < offset || param->offset + param->count > offset + count) continue;
    if (block == NET_GRAD && param->frozen) continue;
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
  net_transpose(n, block, offset, count, out, false);
  free(raw);
}

void net_write(const net *n, net_block block, int64_t offset, int64_t count, const double *in) {
  size_t bytes = (size_t)count * dt_dtype_bytes(n->device->ops->dtype);
  void *raw = net_memory(bytes);
  double *turned = net_memory((size_t)count * sizeof(double));
  memcpy(turned, in, (size_t)count * sizeof(double));
  net_transpose(n, block, offset, count, turned, true);
  for (int64_t i = 0; i < count; i++) {
    if (n->device->ops->dtype == DT_F32) {
      ((float *)raw)[i] = (float)turned[i];
    } else {
      ((double *)raw)[i] = turned[i];
    }
  }
  dt_run *run = dt_executor_run_state(n->trainer);
  NET_OK(n->device->ops->upload(n->device, net_block_address(n, block, offset), raw, bytes));
  if (n->device->ops->streams != NULL) NET_OK(n->device->ops->streams->refresh(run));
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

/* A number in [-1, 1) as an element of a field: of an input as it is, or as a pixel; of a target in [0, 1), as a byte that is 0
 * or 1, or as a whole number below the field's limit. */
static void net_put_element(const net *n, int f, int64_t at, double value) {
  const dt_field *field = &n->graph->field[f];
  const double half = (value + 1) / 2;
  const bool target = f >= dt_graph_input_fields(n->graph);
  if (field->dtype == DT_F32) ((float *)n->field[f])[at] = (float)(target ? half : value);
  if (field->dtype == DT_U8) ((uint8_t *)n->field[f])[at] = target ? half > 0.5 : (uint8_t)((value + 1) * 128);
  if (field->dtype == DT_I32) ((int32_t *)n->field[f])[at] = (int32_t)(half * (double)field->limit);
}

/* Sample `index` of the batch named tag, into place `place` of the micro-batch. Numbers are known by the field's name; those of
 * the only input, which PyTorch has drawn too, by x. */
static void net_put_sample(net *n, int64_t index, int64_t place) {
  char name[DT_FIELD_NAME + 64];
  for (int f = 0; f < n->graph->field_count; f++) {
    const dt_field *field = &n->graph->field[f];
    int64_t count = dt_shape_count(&field->shape);
    snprintf(name, sizeof name, "%s.%s", n->tag, strcmp(field->name, "input") == 0 ? "x" : field->name);
    uint64_t key = fill_key(name);
    for (int64_t i = 0; i < count; i++) net_put_element(n, f, place * count + i, fill_value(key, index * count + i));
  }
}

/* Empty positions get noise: nothing may depend on them. */
static void net_put_noise(net *n, int64_t place) {
  for (int f = 0; f < n->graph->field_count; f++) {
    const dt_field *field = &n->graph->field[f];
    int64_t count = dt_shape_count(&field->shape);
    for (int64_t i = 0; i < count; i++) {
      const int64_t at = place * count + i;
      if (field->dtype == DT_F32) ((float *)n->field[f])[at] = 77;
      if (field->dtype == DT_U8) ((uint8_t *)n->field[f])[at] = 77;
      if (field->dtype == DT_I32) ((int32_t *)n->field[f])[at] = 0;
    }
  }
}

static void net_put_micro_batch(net *n, const dt_micro_batch_plan *plan) {
  n->batch.samples = 0;
  for (int s = 0; s < plan->shard_count; s++) {
    int64_t count = dt_shard_samples(n->samples, n->tree->shards, plan->first_shard + s, &n->place[s]);
    n->filled[s] = (int32_t)count;
    n->batch.samples += count;
    for (int64_t slot = 0; slot < n->train->shard_capacity; slot++) {
      int64_t place = s * n->train->shard_capacity + slot;
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
  net_put_micro_batch(n, &n->tree->micro_batches[n->next_micro_batch++]);
  *out = &n->batch;
  return DT_OK;
}

void net_take_sums(const net *n, const dt_step_result *outcome, net_sums *out) {
  const size_t bytes = (size_t)n->train->sum_count * sizeof(double);
  memset(out, 0, sizeof *out);
  memcpy(out->statistic, outcome->statistic, sizeof out->statistic);
  memcpy(out->sum, outcome->sum, bytes);
  memcpy(out->nonfinite, outcome->nonfinite, bytes);
  out->grad_norm = outcome->grad_norm;
  out->penalty = outcome->penalty;
}

double net_loss(const net *n, const net_sums *sums) {
  return dt_measure_value(&n->graph->goals, &n->graph->goals.measure[0], sums->sum, NULL, 1);
}

double net_sum(const net *n, const net_sums *sums, const char *name) {
  return sums->sum[dt_sum_find(n->train, name)];
}

double net_score(const net *n, const int64_t *score, const char *name) {
  return dt_sum_value(&n->eval->sum[dt_sum_find(n->eval, name)], score);
}

void net_step(net *n, const char *tag, int64_t samples, int64_t samples_seen, net_sums *out) {
  dt_step *step = dt_executor_run_state(n->trainer)->step;
  double flags[DT_STATISTIC_COUNT] = {0};
  n->tag = tag;
  n->samples = samples;
  n->next_micro_batch = 0;
  *step = (dt_step){.samples_seen = samples_seen,
                    .batch_samples = samples,
                    .number = ++n->steps,
                    .clip_norm = n->options.clip_norm,
                    .clip_value = n->spec->train.clip_value,
                    .clip_units = n->spec->train.clip_units,
                    .max_norm = n->spec->train.max_norm,
                    .l1 = n->spec->train.l1,
                    .l2 = n->spec->train.l2,
                    .scale = 1.0 / (double)samples};
  const dt_clock clock = dt_clock_make(n->options.global_batch, n->options.global_batch, (dt_duration){1e6, DT_STEPS});
  const dt_average_step at = {.clock = &clock, .number = step->number, .before = samples_seen, .after = samples_seen + samples};
  step->average = dt_average_weight(n->spec, &at);
  for (int i = 0; i < dt_hyper_count(n->spec->optimizer.kind); i++) {
    step->hyper[i] = i == DT_HYPER_LR ? n->options.lr : dt_hyper_largest(n->spec, i);
  }
  dt_step_result outcome;
  NET_OK(dt_executor_step(n->trainer, net_next_batch, n, flags));
  NET_OK(dt_executor_result(n->trainer, &outcome));
  net_take_sums(n, &outcome, out);
}

/* Copies the logits of a micro-batch's samples to their places in the batch: out [samples][classes]. */
static void net_take_logits(net *n, const dt_micro_batch *micro, double *out) {
  int64_t classes = net_classes(n), slots = n->eval->shard_capacity;
  double *logits = net_memory((size_t)(micro->shard_count * slots * classes) * sizeof(double));
  NET_OK(n->device->ops->read_value(dt_executor_run_state(n->scorer), n->eval->logits, micro, logits));
  for (int s = 0; s < micro->shard_count; s++) {
    memcpy(out + n->place[s] * classes, logits + s * slots * classes, (size_t)(n->filled[s] * classes) * sizeof(double));
  }
  free(logits);
}

void net_evaluate(net *n, const char *tag, int64_t samples, double *logits, int64_t *score) {
  n->tag = tag;
  n->samples = samples;
  for (int i = 0; i < n->tree->micro_batch_count; i++) {
    const dt_micro_batch_plan *plan = &n->tree->micro_batches[i];
    net_put_micro_batch(n, plan);
    NET_OK(dt_executor_run_micro_batch(n->scorer, i, &n->batch));
    dt_micro_batch micro = {.first_shard = plan->first_shard, .shard_count = plan->shard_count, .batch = &n->batch};
    net_take_logits(n, &micro, logits);
  }
  NET_OK(dt_executor_score(n->scorer, score));
}
