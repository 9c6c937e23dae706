/* The loader: worker threads fill a ring of entries, one micro-batch each, in order; the caller empties it in order.
 *
 * Micro-batch j of the stream (counted from the loader's creation) goes into entry j % entry_count. A worker takes the next
 * micro-batch under the lock, fills its entry without it, and says so. What a micro-batch holds is a function of samples seen
 * alone, so that it does not matter which thread fills it or when.
 *
 * Invariants
 * 1. consumed <= taken <= consumed + entry_count: an entry is never refilled while the caller may read it.
 * 2. ready[j % entry_count] == j + 1 says that micro-batch j is filled.
 * 3. A step allocates nothing: entries and scratch are obtained at creation.
 * Workers sleep unless there is room, and are not woken until half of the ring is empty, so that they seldom interrupt those
 * who compute. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/locale.h"
#include "data/data.h"
#include "data/mix.h"

typedef struct entry {
  dt_batch batch;
  void *part[DT_FIELDS_MAX][DT_FIELD_PARTS]; /* of the fields that the batch carries */
  int64_t *index;                            /* with augmentation: where a device caches the data set */
  dt_augmentation *augmentation;
  int32_t *valid;
  int64_t *position;
  int64_t ready;    /* micro-batch number + 1 once filled */
  dt_status status; /* of filling it */
  char *error;      /* its text; NULL without memory for it */
} entry;

/* The next micro-batch to be taken. */
typedef struct cursor {
  int64_t micro_batch_number, samples_seen;
  int micro; /* within the step */
  int pass;  /* over the step's batch */
} cursor;

typedef struct worker {
  dt_loader *loader;
  uint8_t *scratch; /* of augmentations, then a sample's largest field, of a partner */
  pthread_t thread;
} worker;

struct dt_loader {
  const dt_dataset *dataset;
  const dt_program *program;
  int from[DT_FIELDS_MAX];         /* the data set's field for each of the program's; -1: it lacks it */
  const dt_choices *augment, *mix; /* mix: NULL = none */
  const dt_shape *mixed_image;     /* of the first image that is mixed; NULL = none */
  const dt_tree *tree;
  dt_sampler sampler;
  int64_t end_samples;
  int64_t augment_bytes, scratch_bytes; /* of a worker's scratch: of augmentations, and in all */
  int64_t shard_capacity;
  entry *entries;
  int entry_count, wake_at;
  worker *workers;
  int worker_count; /* started */
  uint8_t *scratch; /* of all workers */

  pthread_mutex_t lock;
  pthread_cond_t room, filled;
  cursor next;
  int64_t handed; /* micro-batches given to the caller; the last of them is still being read */
  bool stop;
};

/* Where a sample goes: sample `sample` of shard `shard` of the micro-batch. */
typedef struct position {
  int shard;
  int64_t sample, at; /* at: among all places of the micro-batch */
} position;

static dt_status copy_dense(const dt_loader *loader, int f, int64_t index, void *const *part, position to) {
  const size_t bytes = dt_field_part_bytes(&loader->program->field[f], DT_PART_VALUES, 1);
  return dt_dataset_read(loader->dataset, loader->from[f], index, bytes, (char *)part[DT_PART_VALUES] + (size_t)to.at * bytes);
}

/* The sequence, and zeros up to the longest. */
static void copy_sequence(const dt_field *field, const dt_column *data, int64_t index, void *const *part, position to) {
  const size_t bytes = dt_field_part_bytes(field, DT_PART_VALUES, 1), step = bytes / (size_t)field->shape.dim[0];
  const int64_t length = data->offset[index + 1] - data->offset[index];
  char *values = (char *)part[DT_PART_VALUES] + (size_t)to.at * bytes;
  memcpy(values, (const char *)data->values + (size_t)data->offset[index] * step, (size_t)length * step);
  memset(values + (size_t)length * step, 0, bytes - (size_t)length * step);
  ((int32_t *)part[DT_PART_LENGTHS])[to.at] = (int32_t)length;
}

/* Behind the entries of the samples before it in its shard. */
static void copy_row(const dt_field *field, const dt_column *data, int64_t index, int64_t shard_capacity, void *const *part,
                     position to) {
  const size_t bytes = dt_dtype_bytes(field->dtype);
  const int64_t first = data->offset[index], count = data->offset[index + 1] - first;
  int32_t *offset = (int32_t *)part[DT_PART_OFFSETS] + to.shard * (shard_capacity + 1) + to.sample;
  const size_t at = (size_t)(to.shard * shard_capacity * field->entries + offset[0]);
  memcpy((int32_t *)part[DT_PART_COLUMNS] + at, data->column + first, (size_t)count * sizeof *data->column);
  memcpy((char *)part[DT_PART_VALUES] + at * bytes, (const char *)data->values + (size_t)first * bytes, (size_t)count * bytes);
  offset[1] = offset[0] + (int32_t)count;
}

/* Zeros: of an empty position, or of a field that the data set lacks. */
static void clear_position(const dt_field *field, int64_t shard_capacity, void *const *part, position to) {
  if (field->layout == DT_FIELD_SPARSE) {
    int32_t *offset = (int32_t *)part[DT_PART_OFFSETS] + to.shard * (shard_capacity + 1) + to.sample;
    offset[1] = offset[0];
    return;
  }
  const size_t bytes = dt_field_part_bytes(field, DT_PART_VALUES, 1);
  memset((char *)part[DT_PART_VALUES] + (size_t)to.at * bytes, 0, bytes);
  if (field->layout == DT_FIELD_RAGGED) ((int32_t *)part[DT_PART_LENGTHS])[to.at] = 0;
}

/* index -1 stands for a sample of zeros. */
static dt_status copy_field(const dt_loader *loader, int f, int64_t index, void *const *part, position to) {
  const dt_field *field = &loader->program->field[f];
  const dt_column *data = loader->from[f] >= 0 ? &loader->dataset->data[loader->from[f]] : NULL;
  if (data == NULL || index < 0) {
    clear_position(field, loader->shard_capacity, part, to);
  } else if (field->layout == DT_FIELD_DENSE) {
    return copy_dense(loader, f, index, part, to);
  } else if (field->layout == DT_FIELD_RAGGED) {
    copy_sequence(field, data, index, part, to);
  } else {
    copy_row(field, data, index, loader->shard_capacity, part, to);
  }
  return DT_OK;
}

static bool is_augmented(const dt_program *program, int f) {
  return program->field_use[f] != DT_FIELD_UNUSED && dt_field_is_image(&program->field[f]);
}

static void augment_field(const dt_loader *loader, int f, dt_augment_key key, uint8_t *scratch, void *pixels) {
  dt_augment_image image = {.shape = &loader->program->field[f].shape,
                            .pixels = pixels,
                            .scratch = scratch,
                            .is_input = loader->program->field_loaded[f]};
  for (key.place = 0; key.place < loader->augment->count; key.place++) dt_augment_apply(loader->augment, &key, &image);
}

/* Which sample a device is to take, and how it moves it. */
static void tell_device(const dt_loader *loader, dt_augment_key key, int64_t index, entry *to, int64_t at) {
  dt_augmentation *move = to->augmentation + at * loader->augment->count;
  to->index[at] = index;
  for (key.place = 0; key.place < loader->augment->count && index >= 0; key.place++)
    move[key.place] = dt_augmentation_draw(loader->augment, &key);
}

/* A sample, by where it stands in the epoch; index -1: an empty position. One that is drawn several times is augmented in
 * another way each time. */
typedef struct sample {
  int64_t index;
  dt_augment_key key;
} sample;

static sample sample_at(const dt_loader *loader, const dt_step_plan *plan, int64_t place) {
  const int64_t in_epoch = plan->first + place;
  const int64_t index = place < plan->count ? dt_sampler_index(&loader->sampler, plan->epoch, in_epoch) : -1;
  return (sample){
      .index = index,
      .key = {.seed = loader->sampler.seed, .epoch = plan->epoch, .sample = loader->sampler.draws != NULL ? in_epoch : index}};
}

static bool is_mixed(const dt_loader *loader, int f) {
  const dt_field *field = &loader->program->field[f];
  return loader->mix != NULL && field->layout == DT_FIELD_DENSE && field->dtype != DT_I32 && loader->from[f] >= 0;
}

/* Brings the partner's numbers into a field that holds the sample's. */
static dt_status mix_field(const dt_loader *loader, int f, const dt_mix_plan *plan, const sample *partner, uint8_t *scratch,
                           void *own) {
  const size_t bytes = dt_field_part_bytes(&loader->program->field[f], DT_PART_VALUES, 1);
  uint8_t *other = scratch + loader->augment_bytes;
  DT_TRY(dt_dataset_read(loader->dataset, loader->from[f], partner->index, bytes, other));
  if (is_augmented(loader->program, f)) augment_field(loader, f, partner->key, scratch, other);
  dt_mix_values(plan, &loader->program->field[f], own, other);
  return DT_OK;
}

/* Probabilities of the classes of both. */
static void make_labels(const dt_loader *loader, const dt_field *field, const dt_mix_plan *plan, const sample *own,
                        const sample *partner, void *to) {
  const int label = loader->from[field->mixes - 1];
  const int32_t *classes = loader->dataset->data[label].values;
  dt_mix_labels(plan, classes[own->index], classes[partner->index], field->shape.dim[0], to);
}

/* Copies a sample, augments and mixes it, or says how. */
static dt_status load_sample(const dt_loader *loader, const dt_step_plan *plan, int64_t place, uint8_t *scratch, entry *to,
                             position at) {
  const sample own = sample_at(loader, plan, place);
  dt_mix_plan mix = {.share = 1, .partner = place};
  if (loader->mix != NULL && own.index >= 0)
    dt_mix_draw(loader->mix, loader->sampler.seed, plan->epoch, plan->first, plan->count, place, loader->mixed_image, &mix);
  const sample partner = mix.mixed ? sample_at(loader, plan, mix.partner) : own;
  if (to->index != NULL) tell_device(loader, own.key, own.index, to, at.at);
  for (int f = 0; f < loader->program->field_count; f++) {
    const dt_field *field = &loader->program->field[f];
    if (to->part[f][DT_PART_VALUES] == NULL) continue;
    void *values = (char *)to->part[f][DT_PART_VALUES] + (size_t)at.at * dt_field_part_bytes(field, DT_PART_VALUES, 1);
    DT_TRY(copy_field(loader, f, own.index, to->part[f], at));
    if (own.index < 0) continue;
    if (field->mixes > 0) make_labels(loader, field, &mix, &own, &partner, values);
    if (is_augmented(loader->program, f)) augment_field(loader, f, own.key, scratch, values);
    if (mix.mixed && is_mixed(loader, f)) DT_TRY(mix_field(loader, f, &mix, &partner, scratch, values));
  }
  return DT_OK;
}

static dt_status fill_entry(const dt_loader *loader, cursor at, uint8_t *scratch, entry *to) {
  const dt_step_plan plan = dt_sampler_plan(&loader->sampler, at.samples_seen);
  const dt_micro_batch_plan *micro = &loader->tree->micro_batches[at.micro];
  to->batch.samples = 0;
  for (int s = 0; s < micro->shard_count; s++) {
    const int64_t base = s * loader->shard_capacity;
    int64_t first;
    const int64_t count = dt_shard_samples(plan.count, loader->tree->shards, micro->first_shard + s, &first);
    for (int64_t i = 0; i < loader->shard_capacity; i++) {
      const int64_t place = i < count ? first + i : plan.count; /* beyond the last: an empty position */
      DT_TRY(load_sample(loader, &plan, place, scratch, to, (position){.shard = s, .sample = i, .at = base + i}));
    }
    to->valid[s] = (int32_t)count;
    to->position[s] = first;
    to->batch.samples += count;
  }
  return DT_OK;
}

/* A worker's error waits in the entry for the caller, whose thread it is to be an error of. */
static void keep_error(entry *to, dt_status status) {
  to->status = status;
  if (status == DT_OK) return;
  free(to->error);
  to->error = strdup(dt_error_text());
  dt_error_clear();
}

static void cursor_advance(const dt_loader *loader, cursor *next) {
  next->micro_batch_number++;
  if (++next->micro < loader->tree->micro_batch_count) return;
  next->micro = 0;
  if (++next->pass < loader->sampler.passes) return;
  next->pass = 0;
  next->samples_seen += dt_sampler_plan(&loader->sampler, next->samples_seen).count;
}

/* Micro-batches whose entries are not yet the workers' again: those being filled, waiting, or read by the caller. */
static int64_t slots_in_use(const dt_loader *loader) {
  const int64_t consumed = loader->handed > 0 ? loader->handed - 1 : 0;
  return loader->next.micro_batch_number - consumed;
}

static bool at_end(const dt_loader *loader) {
  return loader->next.samples_seen >= loader->end_samples;
}

static void *work(void *context) {
  worker *self = context;
  dt_loader *loader = self->loader;
  pthread_mutex_lock(&loader->lock);
  while (!loader->stop && !at_end(loader)) {
    if (slots_in_use(loader) >= loader->entry_count) {
      pthread_cond_wait(&loader->room, &loader->lock);
      continue;
    }
    const cursor mine = loader->next;
    cursor_advance(loader, &loader->next);
    entry *to = &loader->entries[mine.micro_batch_number % loader->entry_count];
    pthread_mutex_unlock(&loader->lock);
    keep_error(to, fill_entry(loader, mine, self->scratch, to));
    pthread_mutex_lock(&loader->lock);
    to->ready = mine.micro_batch_number + 1;
    if (mine.micro_batch_number == loader->handed - 1) pthread_cond_signal(&loader->filled);
  }
  pthread_mutex_unlock(&loader->lock);
  return NULL;
}

dt_status dt_loader_next(dt_loader *loader, const dt_batch **out) {
  pthread_mutex_lock(&loader->lock);
  const bool over = at_end(loader) && loader->handed >= loader->next.micro_batch_number;
  entry *from = &loader->entries[loader->handed % loader->entry_count];
  if (!over) {
    loader->handed++;
    if (loader->entry_count - slots_in_use(loader) >= loader->wake_at) pthread_cond_broadcast(&loader->room);
    while (from->ready != loader->handed) pthread_cond_wait(&loader->filled, &loader->lock);
  }
  pthread_mutex_unlock(&loader->lock);
  DT_REQUIRE(!over, DT_INTERNAL, "the loader was asked for a micro-batch beyond its end");
  DT_REQUIRE(from->status == DT_OK, from->status, "%s", from->error != NULL ? from->error : "a sample could not be read");
  *out = &from->batch;
  return DT_OK;
}

/* Whether batches carry it. */
static bool is_carried(const dt_program *program, int f, bool cached) {
  return program->field_use[f] == DT_FIELD_READ || (program->field_use[f] == DT_FIELD_LOADED && !cached);
}

/* Of a worker, for the images that the loader augments. */
static int64_t augment_bytes(const dt_program *program, const dt_choices *augment, bool cached) {
  int64_t largest = 0;
  for (int f = 0; f < program->field_count; f++) {
    const bool augmented = is_augmented(program, f) && is_carried(program, f, cached);
    const int64_t bytes = augmented ? dt_augment_scratch_bytes(augment, &program->field[f].shape) : 0;
    if (bytes > largest) largest = bytes;
  }
  return largest;
}

/* Of a worker in all: with mixing, the largest field besides. */
static int64_t scratch_bytes(const dt_program *program, const dt_choices *augment, const dt_choices *mix, bool cached) {
  enum { ALIGNMENT = 64 };
  int64_t largest = 0;
  for (int f = 0; f < program->field_count && mix != NULL; f++) {
    const size_t bytes = dt_field_part_bytes(&program->field[f], DT_PART_VALUES, 1);
    if (is_carried(program, f, cached) && bytes < INT64_MAX && (int64_t)bytes > largest) largest = (int64_t)bytes;
  }
  return dt_count_add(augment_bytes(program, augment, cached), largest + (ALIGNMENT - largest % ALIGNMENT) % ALIGNMENT);
}

/* Every input must be numbers that can be mixed, and where something is pasted one of them an image. */
static dt_status check_mix(const dt_program *program, const dt_choices *mix) {
  int images = 0;
  bool pastes = false;
  for (int i = 0; mix != NULL && i < mix->count; i++) pastes |= ((const dt_mix *)mix->item[i].kind->impl)->pastes;
  for (int f = 0; f < program->field_count && mix != NULL; f++) {
    const dt_field *field = &program->field[f];
    if (!program->field_loaded[f]) continue;
    DT_REQUIRE(field->layout == DT_FIELD_DENSE && field->dtype != DT_I32, DT_USAGE,
               "data.mix: found the input %s as %s, expected inputs of floats or bytes, as many for each sample", field->name,
               field->dtype == DT_I32 ? "whole numbers" : "sequences or rows that are sparse");
    images += field->shape.ndim == 3;
  }
  DT_REQUIRE(!pastes || images > 0, DT_USAGE,
             "data.mix: found cutmix for inputs that are no images, expected [C, H, W], or mixup");
  return DT_OK;
}

static const dt_shape *first_image(const dt_program *program) {
  for (int f = 0; f < program->field_count; f++) {
    if (program->field_loaded[f] && program->field[f].shape.ndim == 3) return &program->field[f].shape;
  }
  return NULL;
}

/* What is moved together must be of one size, or an image would part from its mask. */
static dt_status check_sizes(const dt_program *program) {
  const dt_field *first = NULL;
  for (int f = 0; f < program->field_count; f++) {
    const dt_field *field = &program->field[f];
    if (!is_augmented(program, f)) continue;
    if (first == NULL) first = field;
    const int64_t *size = &field->shape.dim[1], *other = &first->shape.dim[1];
    DT_REQUIRE(size[0] == other[0] && size[1] == other[1], DT_USAGE,
               "data.augment: found images of %lldx%lld in %s and of %lldx%lld in %s, expected one size: they are moved alike",
               (long long)other[0], (long long)other[1], first->name, (long long)size[0], (long long)size[1], field->name);
  }
  return DT_OK;
}

static dt_status check_request(const dt_program *program, const dt_choices *augment, const dt_sampler *sampler,
                               int64_t shard_capacity) {
  DT_REQUIRE(dt_sampler_epoch_samples(sampler) > 0, DT_USAGE,
             "found %lld samples, expected train.global_batch (%lld) or more, as data.last_batch is drop",
             (long long)sampler->dataset_count, (long long)sampler->global_batch);
  DT_REQUIRE(augment->count == 0 || augment_bytes(program, augment, false) > 0, DT_USAGE,
             "data.augment: found samples that are no images of bytes, expected [C, H, W]");
  if (augment->count > 0) DT_TRY(check_sizes(program));
  for (int f = 0; f < program->field_count; f++) {
    const dt_field *field = &program->field[f];
    const int64_t entries = dt_field_part_count(field, DT_PART_COLUMNS, shard_capacity);
    DT_REQUIRE(entries <= INT32_MAX, DT_USAGE,
               "field %s: found %lld entries for a shard of %lld samples, expected at most %d: take more train.shards",
               field->name, (long long)entries, (long long)shard_capacity, INT32_MAX);
  }
  return DT_OK;
}

static int64_t shard_positions(const dt_tree *tree, int64_t global_batch) {
  return (global_batch + tree->shards - 1) / tree->shards;
}

/* Samples of a micro-batch, empty positions included. */
static int64_t micro_batch_positions(const dt_tree *tree, int64_t global_batch) {
  return tree->micro_batch_shards * shard_positions(tree, global_batch);
}

static size_t entry_bytes(const dt_loader_size *size) {
  const int64_t entries = shard_positions(size->tree, size->global_batch),
                places = micro_batch_positions(size->tree, size->global_batch);
  const size_t told = sizeof(int64_t) + (size_t)size->augment->count * sizeof(dt_augmentation);
  int64_t bytes = size->cached ? dt_count_multiply(places, (int64_t)told) : 0;
  for (int f = 0; f < size->program->field_count; f++) {
    if (!is_carried(size->program, f, size->cached)) continue;
    for (dt_field_part p = 0; p < DT_FIELD_PARTS; p++) {
      const size_t part = dt_field_part_bytes(&size->program->field[f], p, entries);
      const int64_t shard = part < INT64_MAX ? (int64_t)part : INT64_MAX;
      bytes = dt_count_add(bytes, dt_count_multiply(size->tree->micro_batch_shards, shard));
    }
  }
  return bytes < INT64_MAX ? (size_t)bytes : SIZE_MAX;
}

size_t dt_loader_bytes(const dt_loader_size *size) {
  const size_t each = entry_bytes(size);
  int64_t entries = each < INT64_MAX ? dt_count_multiply((int64_t)size->prefetch + 1, (int64_t)each) : INT64_MAX;
  int64_t scratch = scratch_bytes(size->program, size->augment, size->mix, size->cached);
  int64_t bytes = dt_count_add(entries, dt_count_multiply(size->threads, scratch));
  return bytes < INT64_MAX ? (size_t)bytes : SIZE_MAX;
}

int dt_loader_prefetch(const dt_tree *tree, int64_t batches) {
  return (int)batches * (tree->micro_batch_count > 0 ? tree->micro_batch_count : 1);
}

static dt_status create_entry(const dt_loader *loader, entry *to) {
  const dt_program *program = loader->program;
  const int shards = loader->tree->micro_batch_shards;
  const size_t places = (size_t)micro_batch_positions(loader->tree, loader->sampler.global_batch);
  to->batch = (dt_batch){.cached = loader->dataset->cached};
  if (to->batch.cached != NULL) {
    to->batch.augmentations = loader->augment->count;
    DT_TRY(dt_alloc(places, sizeof *to->index, &to->index));
    DT_TRY(dt_alloc(places * (size_t)loader->augment->count, sizeof *to->augmentation, &to->augmentation));
  }
  for (int f = 0; f < program->field_count; f++) {
    for (dt_field_part p = 0; p < DT_FIELD_PARTS && is_carried(program, f, to->batch.cached != NULL); p++) {
      const size_t bytes = dt_field_part_bytes(&program->field[f], p, loader->shard_capacity);
      if (bytes > 0) DT_TRY(dt_alloc((size_t)shards, bytes, &to->part[f][p]));
      to->batch.field[f].part[p] = to->part[f][p];
    }
  }
  DT_TRY(dt_alloc((size_t)shards, sizeof *to->valid, &to->valid));
  DT_TRY(dt_alloc((size_t)shards, sizeof *to->position, &to->position));
  to->batch.index = to->index;
  to->batch.augmentation = to->augmentation;
  to->batch.valid = to->valid;
  to->batch.position = to->position;
  return DT_OK;
}

static void destroy_entry(entry *used) {
  for (int f = 0; f < DT_FIELDS_MAX; f++) {
    for (dt_field_part p = 0; p < DT_FIELD_PARTS; p++) free(used->part[f][p]);
  }
  free(used->index);
  free(used->augmentation);
  free(used->error);
  free(used->valid);
  free(used->position);
}

/* Workers take no signals: those are for the thread that trains. */
static dt_status start_workers(dt_loader *loader, int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = 0;
  for (int i = 0; i < threads && code == 0; i++) {
    code = dt_thread_create(&loader->workers[i].thread, work, &loader->workers[i]);
    if (code == 0) loader->worker_count++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  DT_REQUIRE(code == 0, DT_ENVIRONMENT, "could not start a prefetch thread: %s", strerror(code));
  return DT_OK;
}

static dt_status create_parts(dt_loader *loader, int threads) {
  DT_TRY(dt_alloc((size_t)loader->entry_count, sizeof *loader->entries, &loader->entries));
  for (int i = 0; i < loader->entry_count; i++) DT_TRY(create_entry(loader, &loader->entries[i]));
  DT_TRY(dt_alloc((size_t)threads, sizeof *loader->workers, &loader->workers));
  DT_TRY(dt_alloc((size_t)threads, (size_t)loader->scratch_bytes, &loader->scratch));
  for (int i = 0; i < threads; i++) {
    loader->workers[i] = (worker){.loader = loader, .scratch = loader->scratch + i * loader->scratch_bytes};
  }
  return start_workers(loader, threads);
}

dt_status dt_loader_create(const dt_dataset *dataset, const dt_program *program, const dt_choices *augment,
                           const dt_choices *mix, const dt_sampler *sampler, const dt_tree *tree, int64_t samples_seen,
                           int64_t end_samples, int prefetch, int threads, dt_loader **out) {
  DT_ASSERT(prefetch >= 1 && threads >= 1 && (mix == NULL || dataset->cached == NULL));
  DT_TRY(check_mix(program, mix));
  DT_TRY(check_request(program, augment, sampler, shard_positions(tree, sampler->global_batch)));
  dt_loader *loader;
  DT_TRY(dt_alloc(1, sizeof *loader, &loader));
  *loader = (dt_loader){
      .dataset = dataset,
      .program = program,
      .augment = augment,
      .tree = tree,
      .sampler = *sampler,
      .end_samples = tree->micro_batch_count > 0 ? end_samples : samples_seen,
      .mix = mix,
      .mixed_image = first_image(program),
      .augment_bytes = augment_bytes(program, augment, dataset->cached != NULL),
      .scratch_bytes = scratch_bytes(program, augment, mix, dataset->cached != NULL),
      .shard_capacity = shard_positions(tree, sampler->global_batch),
      .entry_count = prefetch + 1,
      .wake_at = (prefetch + 1) / 2,
      .next.samples_seen = samples_seen,
  };
  for (int f = 0; f < program->field_count; f++) loader->from[f] = dt_dataset_find(dataset, program->field[f].name);
  pthread_mutex_init(&loader->lock, NULL);
  pthread_cond_init(&loader->room, NULL);
  pthread_cond_init(&loader->filled, NULL);
  const dt_status status = create_parts(loader, threads);
  if (status != DT_OK) {
    dt_loader_destroy(&loader);
    return status;
  }
  *out = loader;
  return DT_OK;
}

void dt_loader_destroy(dt_loader **loader) {
  dt_loader *self = *loader;
  if (self == NULL) return;
  pthread_mutex_lock(&self->lock);
  self->stop = true;
  pthread_cond_broadcast(&self->room);
  pthread_mutex_unlock(&self->lock);
  for (int i = 0; i < self->worker_count; i++) pthread_join(self->workers[i].thread, NULL);
  pthread_cond_destroy(&self->filled);
  pthread_cond_destroy(&self->room);
  pthread_mutex_destroy(&self->lock);
  for (int i = 0; self->entries != NULL && i < self->entry_count; i++) destroy_entry(&self->entries[i]);
  free(self->entries);
  free(self->scratch);
  free(self->workers);
  free(self);
  *loader = NULL;
}
