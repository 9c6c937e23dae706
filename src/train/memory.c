#include "train/memory.h"

#include <stdio.h>

#include "core/host_memory.h"
#include "core/optim/average.h"
#include "data/data.h"

static dt_bound_plan bound_plan(const dt_spec *spec) {
  return (dt_bound_plan){.micro_batches = 1, .may_cache = spec->data.device_cache, .owns = true};
}

static size_t bound_bytes(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                          const dt_program *eval) {
  dt_bound_plan plan = bound_plan(spec);
  size_t bytes = 0;
  if (device->ops->streams == NULL) return 0;
  if (eval != NULL) {
    plan.owns = train == NULL;
    bytes += device->ops->streams->bound_bytes(device, eval, &plan);
  }
  if (train != NULL) {
    plan.owns = true;
    plan.micro_batches = tree->micro_batch_count;
    plan.may_cache &= dt_data_may_be_held(spec);
    plan.augmentations = spec->data.augment.count;
    bytes += device->ops->streams->bound_bytes(device, train, &plan);
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
                              .partial_elements = train->grad_elements};
}

static size_t add(size_t a, size_t b) {
  return a < SIZE_MAX - b ? a + b : SIZE_MAX;
}

/* What the device takes for a block; a block without elements is none. */
static size_t block_bytes(const dt_device *device, size_t bytes) {
  return bytes > 0 ? device->ops->block_bytes(bytes) : bytes;
}

/* Of a training's loader, and of the one that an evaluation has beside it. */
static size_t loader_bytes(const dt_spec *spec, const dt_tree *tree, const dt_program *program) {
  static const dt_choices none;
  if (program == NULL) return 0;
  dt_loader_size size = {.program = program,
                         .augment = program->mode == DT_PROGRAM_TRAIN ? &spec->data.augment : &none,
                         .mix = program->mode == DT_PROGRAM_TRAIN ? dt_data_mix(spec) : NULL,
                         .tree = tree,
                         .global_batch = spec->train.global_batch,
                         .prefetch = dt_loader_prefetch(tree, spec->data.prefetch),
                         .threads = (int)spec->data.threads};
  return dt_loader_bytes(&size);
}

static void add_host(dt_memory *m, const dt_spec *spec, const dt_tree *tree, const dt_program *train, const dt_program *eval,
                     const dt_memory_setting *setting) {
  m->data = setting->data_bytes;
  m->loader = add(loader_bytes(spec, tree, train), loader_bytes(spec, tree, eval));
}

dt_memory dt_memory_of(const dt_device *device, const dt_spec *spec, const dt_tree *tree, const dt_program *train,
                       const dt_program *eval, const dt_memory_setting *setting) {
  const dt_program *any = train != NULL ? train : eval;
  size_t element = dt_dtype_bytes(device->ops->dtype);
  dt_reducer_options options;
  dt_memory m = {.params = block_bytes(device, (size_t)any->param_elements * element),
                 .states = block_bytes(device, (size_t)any->state_elements * element)};
  if (train != NULL) {
    m.slots = block_bytes(device, (size_t)train->trained_elements * element) * (size_t)dt_slot_count(spec);
    m.gradients = (size_t)tree->partials_max * (size_t)train->grad_elements * element;
    m.activations = block_bytes(device, train->arena_bytes);
    options = dt_memory_reducer(device, spec, tree, train);
    m.reducer = dt_device_on_host(device) ? dt_reducer_bytes(&options, setting->one_host) - m.gradients
                                          : device->ops->own_memory->reducer_bytes(device, &options);
    if (dt_program_accumulates(train)) m.gradients += block_bytes(device, (size_t)train->grad_elements * element);
  }
  if (eval != NULL && (train == NULL || eval->arena_bytes > train->arena_bytes))
    m.evaluation = block_bytes(device, eval->arena_bytes);
  m.device = bound_bytes(device, spec, tree, train, eval);
  if (dt_device_on_host(device)) add_host(&m, spec, tree, train, eval, setting);
  const size_t part[] = {m.params,     m.slots,  m.states,  m.gradients, m.activations,
                         m.evaluation, m.device, m.reducer, m.data,      m.loader};
  for (size_t i = 0; i < sizeof part / sizeof part[0]; i++) m.total = add(m.total, part[i]);
  const dt_library_ops *libraries = device->ops->libraries;
  if (libraries != NULL) m.libraries = libraries->library_bytes(device, train != NULL ? &options : NULL);
  return m;
}

/* Bytes that a training with this global batch would take, libraries included; 0 when it cannot be planned. */
static size_t bytes_with_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                               const dt_memory_setting *setting, int64_t batch) {
  dt_spec smaller = *spec;
  dt_program *train = NULL, *eval = NULL;
  size_t total = 0;
  smaller.train.global_batch = batch;
  if (dt_program_create(graph, &smaller, device, DT_PROGRAM_TRAIN, tree->micro_batch_shards, &train) == DT_OK &&
      dt_program_create(graph, &smaller, device, DT_PROGRAM_EVAL, tree->micro_batch_shards, &eval) == DT_OK) {
    const dt_memory need = dt_memory_of(device, &smaller, tree, train, eval, setting);
    total = add(need.total, need.libraries);
  }
  dt_error_clear();
  dt_program_destroy(&eval);
  dt_program_destroy(&train);
  return total;
}

/* The largest multiple of the number of shards; 0 when not even one sample a shard fits. */
static int64_t find_largest_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                                  const dt_memory_setting *setting, size_t room) {
  int64_t shards = spec->train.shards, fits = 0, too_large = (spec->train.global_batch + shards - 1) / shards;
  while (too_large - fits > 1) {
    int64_t middle = fits + (too_large - fits) / 2;
    size_t total = bytes_with_batch(device, spec, graph, tree, setting, middle * shards);
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
  if (!dt_device_on_host(device) && device->ops->memory(device, &room, &all) != DT_OK) {
    dt_error_clear();
    room = all = 0;
  }
  if (out_all != NULL) *out_all = all;
  return room;
}

/* What there is for a rank's plan, and of what. */
typedef struct place {
  size_t room, all;
  const char *what;
} place;

enum { THREAD_BYTES = 8 << 20 }; /* of address space: its stack (core/locale.h), and room beside it for malloc's own */

/* The process's own limit counts what it has mapped, and the threads of the loaders are yet to start. */
static void limit_to_process(const dt_spec *spec, place *at) {
  size_t room, all, threads = 2 * (size_t)spec->data.threads * THREAD_BYTES;
  dt_host_address_space(&room, &all);
  room = room > threads ? room - threads : 0;
  if (all < SIZE_MAX && room < at->room) *at = (place){.room = room, .all = all, .what = "this process's limit (ulimit -v)"};
}

static dt_status find_room(dt_device *device, const dt_spec *spec, const dt_memory *need, const dt_memory_setting *setting,
                           place *out) {
  out->what = dt_device_on_host(device) ? "this host's memory" : "this device's memory";
  DT_TRY(device->ops->memory(device, &out->room, &out->all));
  out->room /= (size_t)setting->sharers;
  if (dt_device_on_host(device)) limit_to_process(spec, out);
  if (setting->loaded && out->room < SIZE_MAX - need->data) out->room += need->data; /* what has its place already */
  return DT_OK;
}

/* Bytes with micro-batches of at most `limit` shards; 0 when it cannot be planned. */
static size_t bytes_with_micro_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                                     const dt_memory_setting *setting, int limit) {
  dt_tree *smaller = NULL;
  size_t total = 0;
  if (dt_tree_create(tree->shards, tree->size, tree->rank, limit, &smaller) == DT_OK) {
    total = bytes_with_batch(device, spec, graph, smaller, setting, spec->train.global_batch);
  }
  dt_tree_destroy(&smaller);
  return total;
}

/* The most shards at once for which there is room; 0 where that is none, or as many as there are now. */
static int find_micro_batch(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                            const dt_memory_setting *setting, size_t room) {
  for (int limit = tree->micro_batch_shards / 2; limit > 0; limit /= 2) {
    const size_t total = bytes_with_micro_batch(device, spec, graph, tree, setting, limit);
    if (total > 0 && total <= room) return limit;
  }
  return 0;
}

/* What lessens the need. */
static void find_remedy(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                        const dt_memory_setting *setting, size_t room, char *text, size_t bytes) {
  const int64_t batch = find_largest_batch(device, spec, graph, tree, setting, room);
  const int limit = find_micro_batch(device, spec, graph, tree, setting, room);
  const char *other = dt_device_on_host(device) ? "" : ", or a larger train.shards, or precision bf16";
  text[0] = '\0';
  if (batch > 0 && limit > 0) {
    snprintf(text, bytes, "%lld at most, or train.micro_batch_shards: %d, which changes no bit", (long long)batch, limit);
  } else if (batch > 0) {
    snprintf(text, bytes, "%lld at most%s", (long long)batch, other);
  } else if (limit > 0) {
    snprintf(text, bytes, "train.micro_batch_shards: %d, which changes no bit", limit);
  }
}

dt_status dt_memory_check(dt_device *device, const dt_spec *spec, const dt_graph *graph, const dt_tree *tree,
                          const dt_program *train, const dt_program *eval, const dt_memory_setting *setting) {
  char each[48] = "", libraries[64] = "", remedy[128] = "";
  place at;
  dt_memory need = dt_memory_of(device, spec, tree, train, eval, setting);
  DT_TRY(find_room(device, spec, &need, setting, &at));
  if (add(need.total, need.libraries) <= at.room) return DT_OK;
  if (setting->sharers > 1) snprintf(each, sizeof each, " for each of %d ranks on it", setting->sharers);
  if (need.libraries > 0) snprintf(libraries, sizeof libraries, " and libraries about %zu", need.libraries);
  if (train != NULL) find_remedy(device, spec, graph, tree, setting, at.room, remedy, sizeof remedy);
  DT_REQUIRE(remedy[0] != '\0', DT_MEMORY, "the network needs %zu bytes of %s%s, whatever the batch; %zu of %zu are free%s",
             need.total, at.what, libraries, at.room, at.all, each);
  DT_RAISE(DT_MEMORY, "train.global_batch: found %lld, which needs %zu bytes of %s%s; %zu of %zu are free%s; expected %s",
           (long long)spec->train.global_batch, need.total, at.what, libraries, at.room, at.all, each, remedy);
}
