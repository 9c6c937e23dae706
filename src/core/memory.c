#include "core/memory.h"

#include "core/optimizer.h"
#include "data/data.h"

static dt_dtype samples_of(const dt_choice *format) {
  return format->kind != NULL ? ((const dt_format *)format->kind->impl)->dtype : DT_U8;
}

/* Both data sets are priced as the larger: an evaluation may be asked to score the training set. */
static dt_bound_plan bound_plan(const dt_spec *spec) {
  const bool floats = samples_of(&spec->data.train) == DT_F32 || samples_of(&spec->data.eval) == DT_F32;
  return (dt_bound_plan){.passes = 1, .samples = floats ? DT_F32 : DT_U8, .may_hold = spec->data.resident, .owns = true};
}

static size_t bound_bytes(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                          const dt_program *eval) {
  dt_bound_plan plan = bound_plan(spec);
  size_t bytes = 0;
  if (device->ops->bound_bytes == NULL) return 0;
  if (eval != NULL) {
    plan.owns = train == NULL;
    bytes += device->ops->bound_bytes(device, eval, &plan);
  }
  if (train != NULL) {
    plan.owns = true;
    plan.passes = tree->pass_count;
    plan.moves = spec->data.augment.count;
    bytes += device->ops->bound_bytes(device, train, &plan);
  }
  return bytes;
}

dt_reducer_options dt_memory_reducer(const dt_device *device, const dt_spec *spec, const dt_tree *tree,
                                     const dt_program *train) {
  return (dt_reducer_options){.tree = tree,
                              .mode = spec->comm.reduce,
                              .transport = spec->comm.transport,
                              .dtype = device->ops->dtype,
                              .bucket = train->bucket,
                              .bucket_count = train->bucket_count,
                              .node_elements = train->grad_elements};
}

dt_memory dt_memory_of(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                       const dt_program *eval) {
  const dt_program *any = train != NULL ? train : eval;
  size_t element = dt_dtype_bytes(device->ops->dtype);
  dt_reducer_options options;
  dt_memory m = {.params = (size_t)any->param_elements * element, .states = (size_t)any->state_elements * element};
  if (train != NULL) {
    m.slots = m.params * (size_t)((const dt_optimizer *)spec->optimizer.kind->impl)->slots;
    m.gradients = (size_t)tree->nodes_max * (size_t)train->grad_elements * element;
    m.activations = train->arena_bytes;
    options = dt_memory_reducer(device, spec, tree, train);
    if (device->ops->reducer_bytes != NULL) m.reducer = device->ops->reducer_bytes(device, &options);
  }
  if (eval != NULL && eval->arena_bytes > m.activations) m.evaluation = eval->arena_bytes;
  m.device = bound_bytes(device, spec, tree, train, eval);
  m.total = m.params + m.slots + m.states + m.gradients + m.activations + m.evaluation + m.device + m.reducer;
  if (device->ops->library_bytes != NULL) m.libraries = device->ops->library_bytes(device, train != NULL ? &options : NULL);
  return m;
}

/* Bytes that a training with this global batch would take, libraries included; 0 when it cannot be planned. */
static size_t bytes_with_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                               int64_t batch) {
  dt_spec smaller = *spec;
  dt_program *train = NULL, *eval = NULL;
  size_t total = 0;
  smaller.train.global_batch = batch;
  if (dt_program_create(graph, &smaller, device, DT_PROGRAM_TRAIN, tree->pass_shards, &train) == DT_OK &&
      dt_program_create(graph, &smaller, device, DT_PROGRAM_EVAL, tree->pass_shards, &eval) == DT_OK) {
    const dt_memory need = dt_memory_of(device, &smaller, tree, train, eval);
    total = need.total + need.libraries;
  }
  dt_error_clear();
  dt_program_destroy(&eval);
  dt_program_destroy(&train);
  return total;
}

/* The largest multiple of the number of shards; 0 when not even one sample a shard fits. */
static int64_t find_largest_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                                  size_t room) {
  int64_t shards = spec->train.shards, fits = 0, too_large = (spec->train.global_batch + shards - 1) / shards;
  while (too_large - fits > 1) {
    int64_t middle = fits + (too_large - fits) / 2;
    size_t total = bytes_with_batch(device, spec, graph, tree, middle * shards);
    if (total > 0 && total <= room) {
      fits = middle;
    } else {
      too_large = middle;
    }
  }
  return fits * shards;
}

size_t dt_memory_free(dt_device *device, size_t *out_all) {
  size_t room = 0, all = 0;
  if (device->ops->memory != NULL && device->ops->memory(device, &room, &all) != DT_OK) {
    dt_error_clear();
    room = all = 0;
  }
  if (out_all != NULL) *out_all = all;
  return room;
}

dt_status dt_memory_check(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                          const dt_program *train, const dt_program *eval, int sharers) {
  size_t room, all;
  char each[48] = "";
  if (device->ops->memory == NULL) return DT_OK;
  DT_TRY(device->ops->memory(device, &room, &all));
  dt_memory need = dt_memory_of(device, spec, tree, train, eval);
  room /= (size_t)sharers;
  if (need.total + need.libraries <= room) return DT_OK;
  if (sharers > 1) snprintf(each, sizeof each, " for each of %d ranks on it", sharers);
  int64_t batch = train != NULL ? find_largest_batch(device, spec, graph, tree, room) : 0;
  if (batch > 0) {
    DT_RAISE(
        DT_MEMORY,
        "train.global_batch: found %lld, which needs %zu bytes of this device's memory and libraries about %zu; %zu of %zu are "
        "free%s; expected %lld at most, or a larger train.shards (a gpu works on one shard at a time), or precision bf16",
        (long long)spec->train.global_batch, need.total, need.libraries, room, all, each, (long long)batch);
  }
  DT_RAISE(DT_MEMORY,
           "the network needs %zu bytes of this device's memory and libraries about %zu, whatever the batch; %zu of %zu are "
           "free%s",
           need.total, need.libraries, room, all, each);
}
