#include "train/job.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/numbers.h"
#include "core/plugin.h"
#include "core/solver.h"
#include "train/device_ids.h"
#include "train/devices.h"
#include "train/job_data.h"
#include "train/trainer.h"

dt_status dt_job_checkpoint_dir(const dt_spec *spec, char *text) {
  int length = snprintf(text, PATH_MAX, "%s/%s/ckpt", spec->output, spec->name);
  DT_REQUIRE(length > 0 && length < PATH_MAX, DT_USAGE, "output and name: found a path of %d bytes, expected at most %d",
             length, PATH_MAX - 1);
  return DT_OK;
}

/* --- normalisation --- */

/* The i-th input's part of mean, std, scale and shift begins here. */
static int first_channel(const dt_graph *graph, int input) {
  int first = 0;
  for (int i = 0; i < input; i++) first += (int)dt_shape_channels(&graph->node[i].shape);
  return first;
}

/* What the config says of an input's normalisation; no numbers where it says nothing. */
static const dt_reals *given_mean(const dt_job *job, int i) {
  const dt_reals *own = &dt_spec_input(job->spec, i)->mean;
  return own->count == 0 && job->graph->input_count == 1 ? &job->spec->data.mean : own;
}

static const dt_reals *given_std(const dt_job *job, int i) {
  const dt_reals *own = &dt_spec_input(job->spec, i)->std;
  return own->count == 0 && job->graph->input_count == 1 ? &job->spec->data.std : own;
}

bool dt_job_measures(const dt_job *job, int i) {
  return given_mean(job, i)->count == 0 || given_std(job, i)->count == 0;
}

/* As configured, else measured on the training set; a job without one takes them from the checkpoint later. */
static void normalise_input(dt_job *job, int i) {
  const dt_node *input = &job->graph->node[i];
  const int first = first_channel(job->graph, i), channels = (int)dt_shape_channels(&input->shape);
  const dt_reals *mean = given_mean(job, i), *std = given_std(job, i);
  const int field = job->train != NULL ? dt_dataset_find(job->train, job->graph->field[input->field].name) : -1;
  /* Of a store only where it had to be surveyed. */
  if (field >= 0 && (job->train->data[field].store == NULL || job->train->data[field].sums != NULL)) {
    dt_dataset_statistics(job->train, field, job->mean + first, job->std + first);
  }
  for (int c = 0; c < channels; c++) {
    if (mean->count > 0) job->mean[first + c] = mean->value[c];
    if (std->count > 0) job->std[first + c] = std->value[c];
  }
}

/* Mean over the training set, which becomes 0 when LOAD normalises. */
static bool fill_missing(dt_job *job, int i) {
  const dt_graph *graph = job->graph;
  dt_dataset *sets[] = {job->train, job->eval};
  bool any = false;
  for (int s = 0; s < 2; s++) {
    const int field = sets[s] != NULL ? dt_dataset_find(sets[s], graph->field[graph->node[i].field].name) : -1;
    if (field < 0 || !sets[s]->data[field].has_missing) continue;
    dt_dataset_fill(sets[s], field, job->mean + first_channel(graph, i));
    any = true;
  }
  return any;
}

static dt_status name_tensor(dt_job *job, int i, const char *what, double *of, dt_tensor_ref *out) {
  const dt_node *input = &job->graph->node[i];
  *out = (dt_tensor_ref){
      .dtype = DT_F64, .shape = {1, {dt_shape_channels(&input->shape)}}, .data = of + first_channel(job->graph, i)};
  return dt_region_format(&job->names, &out->name, "%s.%s", input->name, what);
}

static dt_status make_normalisation(dt_job *job) {
  const int inputs = job->graph->input_count;
  const size_t channels = (size_t)first_channel(job->graph, inputs);
  DT_TRY(dt_alloc(channels, sizeof(double), &job->mean));
  DT_TRY(dt_alloc(channels, sizeof(double), &job->std));
  DT_TRY(dt_alloc(channels, sizeof(float), &job->scale));
  DT_TRY(dt_alloc(channels, sizeof(float), &job->shift));
  DT_TRY(dt_alloc(2 * (size_t)inputs, sizeof *job->normalisation, &job->normalisation));
  for (int i = 0; i < inputs; i++) {
    normalise_input(job, i);
    if (job->train != NULL) fill_missing(job, i);
    DT_TRY(name_tensor(job, i, "mean", job->mean, &job->normalisation[2 * i]));
    DT_TRY(name_tensor(job, i, "std", job->std, &job->normalisation[2 * i + 1]));
  }
  return DT_OK;
}

/* LOAD computes value * scale + shift; a constant channel (std 0) is only centred. DT_U8 values count in 255ths. */
static dt_status apply_normalisation(dt_job *job) {
  const dt_graph *graph = job->graph;
  for (int i = 0; i < graph->input_count; i++) {
    const int first = first_channel(graph, i), end = first_channel(graph, i + 1);
    double unit = graph->field[graph->node[i].field].dtype == DT_U8 ? 255 : 1;
    for (int c = first; c < end; c++) {
      double std = job->std[c] > 0 ? job->std[c] : 1;
      job->scale[c] = (float)(1 / (unit * std));
      job->shift[c] = (float)(-job->mean[c] / std);
    }
  }
  for (int i = 0; i < 2; i++) {
    if (job->executor[i] != NULL) DT_TRY(dt_executor_set_normalisation(job->executor[i], job->scale, job->shift));
  }
  return DT_OK;
}

static dt_status make_clock(dt_job *job) {
  const dt_spec *spec = job->spec;
  int64_t batch = spec->train.global_batch;
  if (job->eval != NULL) {
    job->eval_sampler = (dt_sampler){.dataset_count = job->eval->count, .global_batch = batch, .last_batch = DT_LAST_SHORT};
  }
  if (job->train == NULL) return DT_OK;
  job->sampler = (dt_sampler){.dataset_count = job->train->count,
                              .global_batch = batch,
                              .seed = spec->seed,
                              .shuffle = spec->data.shuffle,
                              .last_batch = spec->data.last_batch};
  if (spec->data.sampling.rule != DT_SAMPLING_ONCE) {
    DT_TRY(dt_sampler_weigh(job->train, spec->data.sampling.rule, spec->data.sampling.field, &job->draws));
    job->sampler.draws = job->draws;
  }
  DT_REQUIRE(spec->data.last_batch != DT_LAST_DROP || job->train->count >= batch, DT_USAGE,
             "train.global_batch: found %lld, but data.train has %lld samples and data.last_batch is drop", (long long)batch,
             (long long)job->train->count);
  const dt_solver *solver = spec->solver.kind->impl;
  job->sampler.passes = solver->passes;
  int64_t epoch = dt_sampler_epoch_samples(&job->sampler);
  job->clock = dt_clock_make(epoch, solver->whole ? epoch : batch, spec->train.length);
  DT_REQUIRE(job->clock.total_samples > 0, DT_USAGE, "train.length: found less than one sample, expected one or more");
  return DT_OK;
}

/* Samples of the short batch that ends an epoch; 0 where training meets none. */
static int64_t short_batch(const dt_sampler *sampler, int64_t total_samples) {
  int64_t rest = sampler->dataset_count % sampler->global_batch;
  bool met = sampler->last_batch == DT_LAST_SHORT && total_samples > sampler->dataset_count - rest;
  return met ? rest : 0;
}

dt_status dt_job_check_shards(const dt_config *config, const dt_graph *graph, const dt_sampler *sampler,
                              int64_t total_samples) {
  const dt_spec *spec = dt_config_spec(config);
  int shards = (int)spec->train.shards;
  int64_t batch = spec->train.global_batch, rest = sampler != NULL ? short_batch(sampler, total_samples) : 0;
  char remedy[192];
  snprintf(remedy, sizeof remedy, "%lld samples are cut into %d shards; take fewer train.shards or a larger train.global_batch",
           (long long)batch, shards);
  DT_TRY(dt_graph_check_shard(graph, config, dt_shard_fewest(batch, shards), remedy));
  if (rest == 0) return DT_OK;
  snprintf(
      remedy, sizeof remedy,
      "the last batch of an epoch has %lld sample%s, cut into %d shards; take data.last_batch: drop, fewer train.shards or "
      "another train.global_batch",
      (long long)rest, dt_plural(rest), shards);
  return dt_graph_check_shard(graph, config, dt_shard_fewest(rest, shards), remedy);
}

int dt_job_micro_batch_shards(const dt_spec *spec, const dt_device *device) {
  int wanted = (int)spec->train.micro_batch_shards, most = device->ops->micro_batch_shards;
  return most > 0 && (wanted == 0 || wanted > most) ? most : wanted;
}

static dt_status make_programs(dt_job *job) {
  const dt_spec *spec = job->spec;
  int shards = (int)spec->train.shards;
  DT_TRY(dt_tree_create(shards, job->comm->size, job->comm->rank, dt_job_micro_batch_shards(spec, job->device), &job->tree));
  if (job->kind == DT_JOB_TRAIN) {
    DT_TRY(dt_program_create(job->graph, spec, job->device, DT_PROGRAM_TRAIN, job->tree->micro_batch_shards, &job->program[0]));
  }
  if (job->eval == NULL) return DT_OK;
  dt_program_mode mode = job->kind == DT_JOB_PREDICT ? DT_PROGRAM_PREDICT : DT_PROGRAM_EVAL;
  return dt_program_create(job->graph, spec, job->device, mode, job->tree->micro_batch_shards, &job->program[1]);
}

static dt_status print_plans(dt_job *job) {
  const dt_device *device = job->device;
  for (int i = 0; i < 2 && device->ops->libraries != NULL; i++) {
    size_t bytes;
    if (job->program[i] == NULL) continue;
    FILE *memory = open_memstream(&job->plans[i], &bytes);
    DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for the plans");
    dt_status status = device->ops->libraries->print_plans(device, job->program[i], 0, memory);
    bool printed = fclose(memory) == 0;
    DT_TRY(status);
    DT_REQUIRE(printed, DT_MEMORY, "no memory for the plans");
  }
  return DT_OK;
}

static dt_status make_executors(dt_job *job) {
  if (job->program[0] != NULL) {
    DT_TRY(dt_executor_create(job->device, job->program[0], job->tree, job->reducer, job->spec, NULL, &job->executor[0]));
  }
  if (job->program[1] != NULL) {
    DT_TRY(dt_executor_create(job->device, job->program[1], job->tree, NULL, job->spec, job->executor[0], &job->executor[1]));
    DT_TRY(dt_alloc((size_t)job->program[1]->score_words, sizeof *job->score, &job->score));
  }
  dt_executor *owner = job->executor[job->executor[0] != NULL ? 0 : 1];
  DT_TRY(dt_executor_init_params(owner));
  return apply_normalisation(job);
}

/* What ranks must have in common before the first step, as text whose first differing line tells what is wrong. */
static dt_status print_common(const dt_job *job, char **out_text) {
  size_t bytes = 0;
  FILE *memory = open_memstream(out_text, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for the agreement");
  const dt_device *device = job->device;
  fprintf(memory, "dtrain: %s\ndevice: %s\n", DTRAIN_VERSION, device->ops->name);
  if (device->id != NULL) fprintf(memory, "device: %s, %s\n", device->kernels, device->library);
  if (device->steps != NULL) fprintf(memory, "steps: %s\n", device->steps);
  dt_job_print_data(job, memory);
  for (int i = 0; i < 2; i++) {
    if (job->program[i] == NULL) continue;
    dt_program_print(job->program[i], false, memory);
    if (job->plans[i] != NULL) fputs(job->plans[i], memory);
  }
  DT_REQUIRE(fclose(memory) == 0, DT_MEMORY, "no memory for the agreement");
  return DT_OK;
}

static dt_status agree_on_everything(dt_job *job) {
  char *text = NULL;
  dt_status status = dt_comm_agree(job->comm, print_common(job, &text));
  if (status == DT_OK) status = dt_comm_agree_text(job->comm, "set-up", text);
  free(text);
  return status;
}

dt_status dt_job_agree_config(dt_comm *comm, dt_status loaded, const dt_config *config) {
  char *text = NULL;
  dt_status status = dt_comm_agree(comm, loaded == DT_OK ? dt_config_print_text(config, &text) : loaded);
  if (status == DT_OK) status = dt_comm_agree_text(comm, "config", text);
  free(text);
  return status;
}

static dt_status load_alone(dt_job *job, bool on_train) {
  DT_TRY(dt_config_print_text(job->config, &job->config_text));
  DT_TRY(dt_device_create(job->spec, job->comm, NULL, &job->threads, job->missing, &job->device));
  DT_TRY(dt_graph_create(job->config, &job->graph));
  return dt_job_load_data(job, on_train);
}

static dt_status plan_alone(dt_job *job) {
  DT_TRY(make_normalisation(job));
  DT_TRY(make_clock(job));
  if (job->kind == DT_JOB_TRAIN) {
    DT_TRY(dt_job_check_shards(job->config, job->graph, &job->sampler, job->clock.total_samples));
    DT_TRY(dt_schedules_make(job->spec, &job->clock, &job->schedules));
  }
  DT_TRY(make_programs(job));
  return print_plans(job);
}

dt_status dt_job_loader(const dt_job *job, bool training, int64_t samples_seen, int64_t end_samples, dt_loader **out) {
  static const dt_choices no_augment;
  const dt_spec *spec = job->spec;
  return dt_loader_create(training ? job->train : job->eval, job->program[training ? 0 : 1],
                          training ? &spec->data.augment : &no_augment, training ? dt_data_mix(spec) : NULL,
                          training ? &job->sampler : &job->eval_sampler, job->tree, samples_seen, end_samples,
                          dt_loader_prefetch(job->tree, spec->data.prefetch), (int)spec->data.threads, out);
}

/* The fields that LOAD alone reads, which a device can hold, and what they take. */
static size_t find_samples(const dt_dataset *set, const dt_program *program, dt_samples *out) {
  size_t bytes = 0;
  *out = (dt_samples){.count = set != NULL ? set->count : 0};
  for (int f = 0; set != NULL && f < program->field_count; f++) {
    if (program->field_use[f] != DT_FIELD_LOADED) continue;
    out->values[f] = set->data[dt_dataset_find(set, program->field[f].name)].values;
    if (out->values[f] == NULL) return 0; /* read sample by sample */
    out->sample_bytes[f] = dt_field_part_bytes(&program->field[f], DT_PART_VALUES, 1);
    bytes += (size_t)set->count * out->sample_bytes[f];
  }
  return bytes;
}

/* Data sets go into the device's memory, where there is room beside what is yet to be allocated: the inputs, which take their
 * form from the first batch, what libraries take when they are first called, and all of it again for each other rank that
 * works on the same device. What augmentations change in a way that is the loader's alone does not. */
static dt_status cache_data(dt_job *job) {
  const dt_own_memory_ops *own_memory = job->device->ops->own_memory;
  dt_dataset *sets[] = {job->train, job->eval};
  if (own_memory == NULL || !job->spec->data.device_cache) return DT_OK;
  dt_samples samples[2];
  const size_t bytes[] = {find_samples(job->train, job->program[0], &samples[0]),
                          find_samples(job->eval, job->program[1], &samples[1])};
  const size_t own = job->memory.device + job->memory.libraries;
  const size_t others = (size_t)(job->sharers - 1) * (own + bytes[0] + bytes[1]);
  for (int i = 0; i < 2; i++) {
    if (bytes[i] == 0 || (i == 0 && !dt_data_may_be_held(job->spec))) continue;
    DT_TRY(own_memory->cache_data(job->device, &samples[i], own + others, &sets[i]->cached));
    if (sets[i]->cached != NULL) job->seen.cached += bytes[i];
  }
  return DT_OK;
}

static void release_data(const dt_job *job, const dt_dataset *set) {
  if (set != NULL && set->cached != NULL) job->device->ops->own_memory->release_data(job->device, set->cached);
}

static size_t data_bytes(const dt_job *job) {
  const dt_dataset *sets[] = {job->train, job->eval};
  size_t bytes = 0;
  for (int i = 0; i < 2; i++) {
    dt_data_info info;
    if (sets[i] == NULL) continue;
    dt_dataset_info(sets[i], &info);
    bytes += dt_dataset_bytes(&info);
  }
  return bytes;
}

/* Before anything but the data sets is allocated, and while no rank allocates: all see the same memory. */
static dt_status check_memory(dt_job *job) {
  const bool on_host = dt_device_on_host(job->device);
  if (on_host) job->sharers = job->comm->local_size;
  dt_memory_setting setting = {.train_samples = job->train != NULL ? job->train->count : 0,
                               .eval_samples = job->eval != NULL ? job->eval->count : 0,
                               .data_bytes = data_bytes(job),
                               .loaded = true,
                               .sharers = job->sharers,
                               .one_host = job->comm->local_size == job->comm->size};
  job->memory = dt_memory_of(job->device, job->spec, job->tree, job->program[0], job->program[1], &setting);
  return dt_memory_check(job->device, job->spec, job->graph, job->tree, job->program[0], job->program[1], &setting);
}

static dt_status make_reducer(dt_job *job) {
  dt_reducer_options options = dt_memory_reducer(job->device, job->spec, job->tree, job->program[0]);
  const dt_own_memory_ops *own_memory = job->device->ops->own_memory;
  if (own_memory != NULL) return own_memory->reducer_create(job->device, job->comm, &options, &job->reducer);
  return job->comm->ops->reducer_create(job->comm, &options, &job->reducer);
}

/* Several ranks on one GPU: where gradients go through the host, or NCCL was told that it may. */
static bool may_share_devices(const dt_spec *spec) {
  const char *allowed = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  const bool over_host = spec->comm.transport != DT_TRANSPORT_AUTO && spec->comm.transport != DT_TRANSPORT_NCCL;
  return over_host || (allowed != NULL && strcmp(allowed, "1") == 0);
}

dt_status dt_job_create(const dt_config *config, dt_comm *comm, dt_job_kind kind, bool on_train, dt_job **out) {
  dt_job *job = NULL;
  DT_REQUIRE(!dt_rank_is_stuck(comm->state), DT_PEER,
             "a rank or its GPU has hung in an earlier call; only a new process can go on");
  dt_status status = dt_alloc(1, sizeof *job, &job);
  if (status == DT_OK) {
    *job = (dt_job){.kind = kind, .config = config, .spec = dt_config_spec(config), .comm = comm};
    status = load_alone(job, on_train);
  }
  DT_TRY_GOTO(failed, dt_comm_agree(comm, status));
  DT_TRY_GOTO(failed, dt_job_survey_data(job));
  DT_TRY_GOTO(failed, dt_comm_agree(comm, plan_alone(job)));
  DT_TRY_GOTO(failed, dt_device_ids_agree(comm, job->device, may_share_devices(job->spec), &job->sharers, &job->devices));
  DT_TRY_GOTO(failed, agree_on_everything(job));
  job->seen.opened = dt_memory_free(job->device, &job->seen.all);
  DT_TRY_GOTO(failed, dt_comm_agree(comm, check_memory(job)));
  if (kind == DT_JOB_TRAIN) DT_TRY_GOTO(failed, dt_comm_agree(comm, make_reducer(job)));
  job->seen.reducer = dt_memory_free(job->device, NULL);
  DT_TRY_GOTO(failed, dt_comm_agree(comm, make_executors(job)));
  DT_TRY_GOTO(failed, dt_comm_agree(comm, cache_data(job))); /* once every rank has what it needs */
  dt_job_keep_samples(job);
  job->seen.ready = dt_memory_free(job->device, NULL);
  *out = job;
  return DT_OK;
failed:
  dt_job_destroy(&job);
  return status;
}

void dt_job_destroy(dt_job **pointer) {
  dt_job *job = *pointer;
  if (job == NULL) return;
  *pointer = NULL;
  if (job->comm->state != DT_RANK_TOGETHER) return;
  dt_executor_destroy(&job->executor[1]);
  dt_executor_destroy(&job->executor[0]);
  if (dt_rank_is_stuck(job->comm->state)) return; /* found while they were waited for */
  if (job->reducer != NULL) job->reducer->ops->destroy(&job->reducer);
  dt_program_destroy(&job->program[1]);
  dt_program_destroy(&job->program[0]);
  release_data(job, job->eval);
  release_data(job, job->train);
  dt_dataset_destroy(&job->eval);
  dt_dataset_destroy(&job->train);
  dt_tree_destroy(&job->tree);
  dt_graph_destroy(&job->graph);
  if (job->device != NULL) job->device->ops->destroy(&job->device);
  free(job->draws);
  free(job->score);
  free(job->devices);
  free(job->plans[1]);
  free(job->plans[0]);
  free(job->model);
  free(job->config_text);
  free(job->shift);
  free(job->scale);
  free(job->std);
  free(job->mean);
  free(job->normalisation);
  dt_region_free(&job->names);
  free(job);
}

dt_status dt_job_download(dt_job *job) {
  dt_tensor_ref *model;
  int count, own = 2 * job->graph->input_count;
  dt_executor *owner = job->executor[job->executor[0] != NULL ? 0 : 1];
  DT_TRY(dt_executor_download(owner, &model, &count, &job->optimizer, &job->optimizer_count));
  if (job->model == NULL) {
    DT_TRY(dt_alloc((size_t)(count + own), sizeof *job->model, &job->model));
    memcpy(job->model, job->normalisation, (size_t)own * sizeof *model);
  }
  memcpy(job->model + own, model, (size_t)count * sizeof *model);
  job->model_count = count + own;
  return DT_OK;
}

static dt_status read_checkpoint(dt_job *job, const char *path, bool with_optimizer, dt_checkpoint **checkpoint,
                                 char **refused) {
  DT_TRY(dt_checkpoint_open(path, checkpoint, refused));
  dt_checkpoint_tensors into = {.model = job->model,
                                .model_count = job->model_count,
                                .optimizer = job->optimizer,
                                .optimizer_count = with_optimizer ? job->optimizer_count : 0};
  return dt_checkpoint_read(*checkpoint, &into);
}

static dt_status share_tensors(dt_comm *comm, const dt_tensor_ref *tensor, int count) {
  for (int i = 0; i < count; i++) {
    size_t bytes = (size_t)dt_shape_count(&tensor[i].shape) * dt_dtype_bytes(tensor[i].dtype);
    DT_TRY(comm->ops->bcast(comm, tensor[i].data, bytes, 0));
  }
  return DT_OK;
}

/* Of what is scored without a training set, missing values get the means that were trained with; a device's copy of it is then
 * made anew. */
static dt_status fill_by_checkpoint(dt_job *job) {
  bool any = false;
  for (int i = 0; i < job->graph->input_count; i++) any |= fill_missing(job, i);
  if (!any || job->eval->cached == NULL) return DT_OK;
  release_data(job, job->eval);
  job->eval->cached = NULL;
  return cache_data(job);
}

dt_status dt_job_restore(dt_job *job, const char *path, bool with_optimizer, dt_checkpoint **out_checkpoint,
                         char **out_refused) {
  *out_checkpoint = NULL;
  *out_refused = NULL;
  dt_status status = dt_job_download(job);
  if (status == DT_OK && job->comm->rank == 0) status = read_checkpoint(job, path, with_optimizer, out_checkpoint, out_refused);
  DT_TRY_GOTO(failed, dt_comm_agree(job->comm, status));
  DT_TRY_GOTO(failed, share_tensors(job->comm, job->model, job->model_count));
  if (with_optimizer) DT_TRY_GOTO(failed, share_tensors(job->comm, job->optimizer, job->optimizer_count));
  status = dt_executor_upload(job->executor[job->executor[0] != NULL ? 0 : 1]);
  if (status == DT_OK && with_optimizer) status = dt_executor_exchange(job->executor[0]);
  if (status == DT_OK) status = apply_normalisation(job);
  if (status == DT_OK) status = fill_by_checkpoint(job);
  DT_TRY_GOTO(failed, dt_comm_agree(job->comm, status));
  return DT_OK;
failed:
  dt_checkpoint_close(out_checkpoint);
  free(*out_refused);
  *out_refused = NULL;
  return status;
}
