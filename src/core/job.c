#include "core/job.h"

#include <limits.h>
#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "core/plugin.h"
#include "core/trainer.h"
#include "core/units.h"

int dt_cores_available(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0 ? CPU_COUNT(&set) : 1;
}

dt_status dt_device_create(const dt_spec *spec, int local_rank, int local_size, const char *model, int *out_threads,
                           char *missing, dt_device **out) {
  int cores = dt_cores_available();
  int threads = spec->threads > 0 ? (int)spec->threads : cores / local_size;
  if (threads < 1) threads = 1;
  *out_threads = threads;
  dt_device_options options = {.threads = threads,
                               .spin = threads * local_size <= cores,
                               .math = spec->math,
                               .precision = spec->precision,
                               .transport = spec->comm.transport,
                               .plans = spec->plans,
                               .local_rank = local_rank,
                               .model = model};
  missing[0] = '\0';
  if (spec->device == DT_DEVICE_GPU) return dt_gpu_create(&options, out);
  if (spec->device == DT_DEVICE_REFERENCE) return dt_reference_create(&options, out);
  if (spec->device == DT_DEVICE_AUTO && dt_plugin_exists()) {
    /* Without a driver the plug-in and its libraries need not be loaded to know how that would end. */
    bool driver = dt_plugin_has_driver();
    dt_status status = driver ? dt_gpu_create(&options, out) : DT_ENVIRONMENT;
    if (status == DT_OK || status == DT_USAGE) return status; /* a mistake in the config is not made good by the cpu */
    snprintf(missing, DT_MISSING_TEXT, "%s", driver ? dt_error_text() : "the NVIDIA driver is not installed");
    dt_error_clear();
  }
  return dt_cpu_create(&options, out);
}

dt_status dt_job_checkpoint_dir(const dt_spec *spec, char *text) {
  int length = snprintf(text, PATH_MAX, "%s/%s/ckpt", spec->output, spec->name);
  DT_REQUIRE(length > 0 && length < PATH_MAX, DT_USAGE, "output and name: found a path of %d bytes, expected at most %d",
             length, PATH_MAX - 1);
  return DT_OK;
}

/* The input's normalisation: as configured, else measured on the training set. */
static dt_status make_normalisation(dt_job *job) {
  const dt_spec *spec = job->spec;
  const dt_shape *input = &job->graph->node[0].shape;
  job->channels = (int)input->dim[0];
  DT_TRY(dt_alloc((size_t)job->channels, sizeof(double), &job->mean));
  DT_TRY(dt_alloc((size_t)job->channels, sizeof(double), &job->std));
  DT_TRY(dt_alloc((size_t)job->channels, sizeof(float), &job->scale));
  DT_TRY(dt_alloc((size_t)job->channels, sizeof(float), &job->shift));
  if (job->train != NULL) dt_dataset_statistics(job->train, job->mean, job->std);
  for (int c = 0; c < job->channels; c++) {
    if (spec->data.mean.count > 0) job->mean[c] = spec->data.mean.value[c];
    if (spec->data.std.count > 0) job->std[c] = spec->data.std.value[c];
  }
  return DT_OK;
}

/* LOAD computes value * scale + shift; a constant channel (std 0) is only centred. DT_U8 values count in 255ths. */
static dt_status apply_normalisation(dt_job *job) {
  const dt_dataset *data = job->train != NULL ? job->train : job->eval;
  double unit = data->dtype == DT_U8 ? 255 : 1;
  for (int c = 0; c < job->channels; c++) {
    double std = job->std[c] > 0 ? job->std[c] : 1;
    job->scale[c] = (float)(1 / (unit * std));
    job->shift[c] = (float)(-job->mean[c] / std);
  }
  for (int i = 0; i < 2; i++) {
    if (job->executor[i] != NULL) DT_TRY(dt_executor_set_normalisation(job->executor[i], job->scale, job->shift));
  }
  return DT_OK;
}

static dt_status load_data(dt_job *job, bool on_train) {
  const dt_spec *spec = job->spec;
  const char *dir = spec->data.dir;
  const dt_shape *input = &job->graph->node[0].shape;
  int classes = (int)dt_shape_count(&job->graph->node[job->graph->count - 2].shape);
  if (job->kind == DT_JOB_TRAIN) {
    DT_TRY(dt_dataset_load(&spec->data.train, dir, &job->train));
    DT_TRY(dt_dataset_check(job->train, input, classes));
    DT_REQUIRE(spec->data.last_batch != DT_LAST_DROP || job->train->count >= spec->train.global_batch, DT_USAGE,
               "train.global_batch: found %lld, but data.train has %lld samples and data.last_batch is drop",
               (long long)spec->train.global_batch, (long long)job->train->count);
  }
  const dt_choice *scored = on_train ? &spec->data.train : &spec->data.eval;
  if (scored->kind == NULL) {
    DT_REQUIRE(job->kind == DT_JOB_TRAIN, DT_USAGE, "data.eval is missing in the config, and there is nothing else to score");
    return DT_OK;
  }
  DT_TRY(dt_dataset_load(scored, dir, &job->eval));
  return dt_dataset_check(job->eval, input, job->kind == DT_JOB_PREDICT ? 0 : classes);
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
  job->clock = (dt_clock){.epoch_samples = dt_sampler_epoch_samples(&job->sampler), .batch_samples = batch};
  job->clock.total_samples = dt_duration_samples(spec->train.length, &job->clock);
  DT_REQUIRE(job->clock.total_samples > 0, DT_USAGE, "train.length: found less than one sample, expected one or more");
  return DT_OK;
}

int dt_job_pass_shards(const dt_spec *spec, const dt_device *device) {
  int wanted = (int)spec->train.pass_shards, most = device->ops->pass_shards;
  return most > 0 && (wanted == 0 || wanted > most) ? most : wanted;
}

static dt_status make_programs(dt_job *job) {
  const dt_spec *spec = job->spec;
  int shards = (int)spec->train.shards;
  DT_TRY(dt_tree_create(shards, job->comm->size, job->comm->rank, dt_job_pass_shards(spec, job->device), &job->tree));
  if (job->kind == DT_JOB_TRAIN) {
    DT_TRY(dt_program_create(job->graph, spec, job->device, DT_PROGRAM_TRAIN, job->tree->pass_shards, &job->program[0]));
  }
  if (job->eval == NULL) return DT_OK;
  dt_program_mode mode = job->kind == DT_JOB_PREDICT ? DT_PROGRAM_PREDICT : DT_PROGRAM_EVAL;
  return dt_program_create(job->graph, spec, job->device, mode, job->tree->pass_shards, &job->program[1]);
}

static dt_status print_plans(dt_job *job) {
  const dt_device *device = job->device;
  for (int i = 0; i < 2 && device->ops->print_plans != NULL; i++) {
    size_t bytes;
    if (job->program[i] == NULL) continue;
    FILE *memory = open_memstream(&job->plans[i], &bytes);
    DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for the plans");
    dt_status status = device->ops->print_plans(device, job->program[i], memory);
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
  if (device->unit != NULL) fprintf(memory, "device: %s, %s\n", device->kernels, device->library);
  if (device->steps != NULL) fprintf(memory, "steps: %s\n", device->steps);
  if (job->train != NULL)
    fprintf(memory, "data.train: %s, hash %016llx\n", job->train->source, (unsigned long long)job->train->hash);
  if (job->eval != NULL)
    fprintf(memory, "data.eval: %s, hash %016llx\n", job->eval->source, (unsigned long long)job->eval->hash);
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

static dt_status set_up_alone(dt_job *job, bool on_train) {
  DT_TRY(dt_config_print_text(job->config, &job->config_text));
  DT_TRY(dt_device_create(job->spec, job->comm->local_rank, job->comm->local_size, NULL, &job->threads, job->missing,
                          &job->device));
  DT_TRY(dt_graph_create(job->config, &job->graph));
  DT_TRY(load_data(job, on_train));
  DT_TRY(make_normalisation(job));
  DT_TRY(make_clock(job));
  if (job->kind == DT_JOB_TRAIN) {
    DT_TRY(dt_schedule_prepare(job->spec, &job->clock, &job->lr, &job->momentum, &job->weight_decay));
  }
  DT_TRY(make_programs(job));
  job->memory = dt_memory_of(job->device, job->spec, job->tree, job->program[0], job->program[1]);
  return print_plans(job);
}

dt_status dt_job_loader(const dt_job *job, bool training, int64_t samples_seen, int64_t end_samples, dt_loader **out) {
  static const dt_choices no_augment;
  const dt_spec *spec = job->spec;
  int passes = job->tree->pass_count > 0 ? job->tree->pass_count : 1;
  return dt_loader_create(training ? job->train : job->eval, training ? &spec->data.augment : &no_augment,
                          training ? &job->sampler : &job->eval_sampler, job->tree, samples_seen, end_samples,
                          (int)spec->data.prefetch * passes, (int)spec->data.threads, out);
}

static size_t bytes_of(const dt_dataset *set) {
  return set == NULL ? 0 : (size_t)set->count * (size_t)dt_shape_count(&set->shape) * dt_dtype_bytes(set->dtype);
}

/* Data sets go into the device's memory, where there is room beside what is yet to be allocated: the inputs, which take their
 * form from the first batch, what libraries take when they are first called, and all of it again for each other rank that
 * works on the same device. */
static dt_status hold_data(dt_job *job) {
  const dt_device_ops *ops = job->device->ops;
  dt_dataset *sets[] = {job->train, job->eval};
  if (ops->hold == NULL || !job->spec->data.resident) return DT_OK;
  const size_t own = job->memory.device + job->memory.libraries;
  const size_t others = (size_t)(job->sharers - 1) * (own + bytes_of(job->train) + bytes_of(job->eval));
  for (int i = 0; i < 2; i++) {
    if (sets[i] == NULL) continue;
    dt_samples samples = {.pixels = sets[i]->pixels,
                          .values = sets[i]->values,
                          .count = sets[i]->count,
                          .elements = dt_shape_count(&sets[i]->shape)};
    DT_TRY(ops->hold(job->device, &samples, own + others, &sets[i]->held));
    if (sets[i]->held != NULL) job->seen.held += bytes_of(sets[i]);
  }
  return DT_OK;
}

static dt_status make_reducer(dt_job *job) {
  dt_reducer_options options = dt_memory_reducer(job->device, job->spec, job->tree, job->program[0]);
  if (job->device->ops->reducer_create != NULL) {
    return job->device->ops->reducer_create(job->device, job->comm, &options, &job->reducer);
  }
  return job->comm->ops->reducer_create(job->comm, &options, &job->reducer);
}

/* Several ranks on one GPU: where gradients go through the host, or NCCL was told that it may. */
static bool may_share_units(const dt_spec *spec) {
  const char *allowed = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  const bool over_host = spec->comm.transport != DT_TRANSPORT_AUTO && spec->comm.transport != DT_TRANSPORT_NCCL;
  return over_host || (allowed != NULL && strcmp(allowed, "1") == 0);
}

dt_status dt_job_create(const dt_config *config, dt_comm *comm, dt_job_kind kind, bool on_train, dt_job **out) {
  dt_job *job = NULL;
  dt_status status = dt_alloc(1, sizeof *job, &job);
  if (status == DT_OK) {
    *job = (dt_job){.kind = kind, .config = config, .spec = dt_config_spec(config), .comm = comm};
    status = set_up_alone(job, on_train);
  }
  DT_TRY_GOTO(failed, dt_comm_agree(comm, status));
  DT_TRY_GOTO(failed, dt_units_agree(comm, job->device, may_share_units(job->spec), &job->sharers, &job->units));
  DT_TRY_GOTO(failed, agree_on_everything(job));
  job->seen.opened = dt_memory_free(job->device, &job->seen.all);
  DT_TRY_GOTO(failed, dt_comm_agree(comm, dt_memory_check(job->device, job->spec, job->graph, job->tree, job->program[0],
                                                          job->program[1], job->sharers)));
  if (kind == DT_JOB_TRAIN) DT_TRY_GOTO(failed, dt_comm_agree(comm, make_reducer(job)));
  job->seen.reducer = dt_memory_free(job->device, NULL);
  DT_TRY_GOTO(failed, dt_comm_agree(comm, make_executors(job)));
  DT_TRY_GOTO(failed, dt_comm_agree(comm, hold_data(job))); /* once every rank has what it needs */
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
  bool hung = job->device != NULL && job->device->hung;
  if (hung && !job->comm->stranded) job->comm->diverged = true;
  if (hung || job->comm->stranded) return;
  dt_executor_destroy(&job->executor[1]);
  dt_executor_destroy(&job->executor[0]);
  if (job->reducer != NULL) job->reducer->ops->destroy(&job->reducer);
  dt_program_destroy(&job->program[1]);
  dt_program_destroy(&job->program[0]);
  if (job->eval != NULL && job->eval->held != NULL) job->device->ops->release(job->device, job->eval->held);
  if (job->train != NULL && job->train->held != NULL) job->device->ops->release(job->device, job->train->held);
  dt_dataset_destroy(&job->eval);
  dt_dataset_destroy(&job->train);
  dt_tree_destroy(&job->tree);
  dt_graph_destroy(&job->graph);
  if (job->device != NULL) job->device->ops->destroy(&job->device);
  free(job->units);
  free(job->plans[1]);
  free(job->plans[0]);
  free(job->model);
  free(job->config_text);
  free(job->shift);
  free(job->scale);
  free(job->std);
  free(job->mean);
  free(job);
}

dt_status dt_job_download(dt_job *job) {
  dt_tensor_ref *model;
  int count;
  dt_executor *owner = job->executor[job->executor[0] != NULL ? 0 : 1];
  DT_TRY(dt_executor_download(owner, &model, &count, &job->optimizer, &job->optimizer_count));
  if (job->model == NULL) {
    DT_TRY(dt_alloc((size_t)count + 2, sizeof *job->model, &job->model));
    dt_shape shape = {.ndim = 1, .dim = {job->channels}};
    job->model[0] = (dt_tensor_ref){.name = "input.mean", .dtype = DT_F64, .shape = shape, .data = job->mean};
    job->model[1] = (dt_tensor_ref){.name = "input.std", .dtype = DT_F64, .shape = shape, .data = job->std};
  }
  memcpy(job->model + 2, model, (size_t)count * sizeof *model);
  job->model_count = count + 2;
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
  if (status == DT_OK) status = apply_normalisation(job);
  DT_TRY_GOTO(failed, dt_comm_agree(job->comm, status));
  return DT_OK;
failed:
  dt_checkpoint_close(out_checkpoint);
  free(*out_refused);
  *out_refused = NULL;
  return status;
}

enum { CONTROL_EVERY = 16 }; /* evaluation steps between two looks at the other ranks */

/* The gravest thing that has happened to any rank; every rank gets the same answer. */
static dt_status control(dt_job *job, dt_status own, dt_cut *out_cut) {
  int64_t cut = own != DT_OK          ? DT_CUT_FAILED
                : dt_signal_preempt() ? DT_CUT_PREEMPT
                : dt_signal_stop()    ? DT_CUT_STOP
                                      : DT_CUT_NONE;
  DT_TRY(job->comm->ops->allreduce_i64(job->comm, &cut, 1, DT_MAX));
  *out_cut = (dt_cut)cut;
  return DT_OK;
}

static dt_status evaluate_step(dt_job *job, dt_loader *loader) {
  for (int p = 0; p < job->tree->pass_count; p++) {
    const dt_batch *batch;
    DT_TRY(dt_loader_next(loader, &batch));
    DT_TRY(dt_executor_pass(job->executor[1], p, batch));
  }
  return DT_OK;
}

dt_status dt_job_evaluate(dt_job *job, dt_score *out, dt_cut *out_cut) {
  dt_loader *loader = NULL;
  dt_score score = {0};
  int64_t batch = job->spec->train.global_batch, steps = (job->eval->count + batch - 1) / batch;
  dt_status own = dt_job_loader(job, false, 0, job->eval->count, &loader);
  dt_status status = DT_OK;
  *out_cut = DT_CUT_NONE;
  for (int64_t s = 0; s < steps && status == DT_OK && *out_cut == DT_CUT_NONE; s++) {
    if (own == DT_OK) own = evaluate_step(job, loader);
    if ((s + 1) % CONTROL_EVERY == 0 || s + 1 == steps) status = control(job, own, out_cut);
  }
  if (own == DT_OK) own = dt_executor_score(job->executor[1], &score);
  dt_loader_destroy(&loader);
  DT_TRY(status);
  DT_TRY(dt_comm_agree(job->comm, own));
  int64_t sums[4] = {score.samples, score.correct, score.loss, score.nonfinite};
  DT_TRY(job->comm->ops->allreduce_i64(job->comm, sums, 4, DT_SUM));
  *out = (dt_score){.samples = sums[0], .correct = sums[1], .loss = sums[2], .nonfinite = sums[3]};
  return DT_OK;
}
