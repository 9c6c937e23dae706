/* The loader: worker threads fill a ring of slots, one pass each, in order; the caller empties it in order.
 *
 * Pass j of the stream (counted from the loader's creation) goes into slot j % slot_count. A worker takes the next pass under
 * the lock, fills its slot without it, and says so. What a pass holds is a function of samples seen alone, so that it does not
 * matter which thread fills it or when.
 *
 * Invariants
 * 1. consumed <= taken <= consumed + slot_count: a slot is never refilled while the caller may read it.
 * 2. ready[j % slot_count] == j + 1 says that pass j is filled.
 * 3. A step allocates nothing: slots and scratch are obtained at creation.
 * Workers sleep unless there is room, and are not woken until half of the ring is empty, so that they seldom interrupt those
 * who compute. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "data/data.h"

typedef struct slot {
  dt_batch batch;
  uint8_t *pixels;
  float *values;
  int64_t *index; /* with move, in place of pixels or values where a device holds the data set */
  dt_move *move;
  int32_t *labels, *filled;
  int64_t *place;
  int64_t ready; /* pass number + 1 once filled */
} slot;

/* The next pass to be taken. */
typedef struct cursor {
  int64_t pass_number, samples_seen;
  int pass; /* within the step */
} cursor;

typedef struct worker {
  dt_loader *loader;
  uint8_t *scratch; /* one sample */
  pthread_t thread;
} worker;

struct dt_loader {
  const dt_dataset *dataset;
  const dt_choices *augment;
  const dt_tree *tree;
  dt_sampler sampler;
  int64_t end_samples;
  int64_t elements;    /* of a sample */
  int64_t shard_slots; /* places of a shard */
  slot *slots;
  int slot_count, wake_at;
  worker *workers;
  int worker_count; /* started */
  uint8_t *scratch; /* a sample for each worker */

  pthread_mutex_t lock;
  pthread_cond_t room, filled;
  cursor next;
  int64_t handed; /* passes given to the caller; the last of them is still being read */
  bool stop;
};

/* The i-th move of a sample. */
static dt_move draw_move(const dt_loader *loader, int64_t epoch, int64_t index, int i) {
  const dt_choice *choice = &loader->augment->item[i];
  const dt_augment *augment = choice->kind->impl;
  return augment->draw(choice->attr,
                       dt_rng(loader->sampler.seed, DT_RNG_AUGMENT, (uint64_t)epoch, (uint64_t)index, (uint32_t)i));
}

/* Copies a sample and augments it, or says how; labels that the data set lacks are 0. */
static void load_sample(const dt_loader *loader, int64_t epoch, int64_t index, uint8_t *scratch, slot *to, int64_t at) {
  const dt_dataset *dataset = loader->dataset;
  const int64_t elements = loader->elements;
  const int moves = loader->augment->count;
  to->labels[at] = dataset->labels != NULL ? dataset->labels[index] : 0;
  if (to->index != NULL) {
    to->index[at] = index;
    for (int i = 0; i < moves; i++) to->move[at * moves + i] = draw_move(loader, epoch, index, i);
    return;
  }
  if (to->values != NULL) {
    memcpy(to->values + at * elements, dataset->values + index * elements, (size_t)elements * sizeof *to->values);
    return;
  }
  uint8_t *sample = to->pixels + at * elements;
  memcpy(sample, dataset->pixels + index * elements, (size_t)elements);
  for (int i = 0; i < moves; i++) dt_move_apply(draw_move(loader, epoch, index, i), &dataset->shape, sample, scratch);
}

/* Zeros the places [first, end) of a slot; an index of -1 stands for a sample of zeros. */
static void clear_places(const dt_loader *loader, slot *to, int64_t first, int64_t end) {
  const size_t elements = (size_t)((end - first) * loader->elements);
  memset(to->labels + first, 0, (size_t)(end - first) * sizeof *to->labels);
  for (int64_t i = first; to->index != NULL && i < end; i++) to->index[i] = -1;
  if (to->pixels != NULL) memset(to->pixels + first * loader->elements, 0, elements);
  if (to->values != NULL) memset(to->values + first * loader->elements, 0, elements * sizeof *to->values);
}

static void fill_slot(const dt_loader *loader, cursor at, uint8_t *scratch, slot *to) {
  const dt_step_plan plan = dt_sampler_plan(&loader->sampler, at.samples_seen);
  const dt_pass_plan *pass = &loader->tree->passes[at.pass];
  to->batch.samples = 0;
  for (int s = 0; s < pass->shard_count; s++) {
    const int64_t base = s * loader->shard_slots;
    int64_t first;
    const int64_t count = dt_shard_samples(plan.count, loader->tree->shards, pass->first_shard + s, &first);
    for (int64_t i = 0; i < count; i++) {
      const int64_t index = dt_sampler_index(&loader->sampler, plan.epoch, plan.first + first + i);
      load_sample(loader, plan.epoch, index, scratch, to, base + i);
    }
    clear_places(loader, to, base + count, base + loader->shard_slots);
    to->filled[s] = (int32_t)count;
    to->place[s] = first;
    to->batch.samples += count;
  }
}

static void cursor_advance(const dt_loader *loader, cursor *next) {
  next->pass_number++;
  if (++next->pass < loader->tree->pass_count) return;
  next->pass = 0;
  next->samples_seen += dt_sampler_plan(&loader->sampler, next->samples_seen).count;
}

/* Passes whose slots are not yet the workers' again: those being filled, waiting, or read by the caller. */
static int64_t slots_in_use(const dt_loader *loader) {
  const int64_t consumed = loader->handed > 0 ? loader->handed - 1 : 0;
  return loader->next.pass_number - consumed;
}

static bool at_end(const dt_loader *loader) {
  return loader->next.samples_seen >= loader->end_samples;
}

static void *work(void *context) {
  worker *self = context;
  dt_loader *loader = self->loader;
  pthread_mutex_lock(&loader->lock);
  while (!loader->stop && !at_end(loader)) {
    if (slots_in_use(loader) >= loader->slot_count) {
      pthread_cond_wait(&loader->room, &loader->lock);
      continue;
    }
    const cursor mine = loader->next;
    cursor_advance(loader, &loader->next);
    slot *to = &loader->slots[mine.pass_number % loader->slot_count];
    pthread_mutex_unlock(&loader->lock);
    fill_slot(loader, mine, self->scratch, to);
    pthread_mutex_lock(&loader->lock);
    to->ready = mine.pass_number + 1;
    if (mine.pass_number == loader->handed - 1) pthread_cond_signal(&loader->filled);
  }
  pthread_mutex_unlock(&loader->lock);
  return NULL;
}

dt_status dt_loader_next(dt_loader *loader, const dt_batch **out) {
  pthread_mutex_lock(&loader->lock);
  const bool over = at_end(loader) && loader->handed >= loader->next.pass_number;
  slot *from = &loader->slots[loader->handed % loader->slot_count];
  if (!over) {
    loader->handed++;
    if (loader->slot_count - slots_in_use(loader) >= loader->wake_at) pthread_cond_broadcast(&loader->room);
    while (from->ready != loader->handed) pthread_cond_wait(&loader->filled, &loader->lock);
  }
  pthread_mutex_unlock(&loader->lock);
  DT_REQUIRE(!over, DT_INTERNAL, "the loader was asked for a pass beyond its end");
  *out = &from->batch;
  return DT_OK;
}

static dt_status check_request(const dt_dataset *dataset, const dt_choices *augment, const dt_sampler *sampler) {
  DT_REQUIRE(dt_sampler_epoch_samples(sampler) > 0, DT_USAGE,
             "found %lld samples, expected train.global_batch (%lld) or more, as data.last_batch is drop",
             (long long)sampler->dataset_count, (long long)sampler->global_batch);
  DT_REQUIRE(augment->count == 0 || (dataset->dtype == DT_U8 && dataset->shape.ndim == 3), DT_USAGE,
             "data.augment: found samples that are no images of bytes, expected [C, H, W]");
  return DT_OK;
}

static dt_status create_slot(const dt_loader *loader, slot *to) {
  const int shards = loader->tree->pass_shards;
  const size_t places = (size_t)(shards * loader->shard_slots), elements = places * (size_t)loader->elements;
  if (loader->dataset->held != NULL) {
    DT_TRY(dt_alloc(places, sizeof *to->index, &to->index));
    DT_TRY(dt_alloc(places * (size_t)loader->augment->count, sizeof *to->move, &to->move));
  } else if (loader->dataset->dtype == DT_U8) {
    DT_TRY(dt_alloc(elements, 1, &to->pixels));
  } else {
    DT_TRY(dt_alloc(elements, sizeof *to->values, &to->values));
  }
  DT_TRY(dt_alloc(places, sizeof *to->labels, &to->labels));
  DT_TRY(dt_alloc((size_t)shards, sizeof *to->filled, &to->filled));
  DT_TRY(dt_alloc((size_t)shards, sizeof *to->place, &to->place));
  to->batch = (dt_batch){.pixels = to->pixels,
                         .values = to->values,
                         .held = loader->dataset->held,
                         .index = to->index,
                         .move = to->move,
                         .moves = loader->augment->count,
                         .labels = to->labels,
                         .filled = to->filled,
                         .place = to->place};
  return DT_OK;
}

static void destroy_slot(slot *used) {
  free(used->pixels);
  free(used->values);
  free(used->index);
  free(used->move);
  free(used->labels);
  free(used->filled);
  free(used->place);
}

/* Workers take no signals: those are for the thread that trains. */
static dt_status start_workers(dt_loader *loader, int threads) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int code = 0;
  for (int i = 0; i < threads && code == 0; i++) {
    code = pthread_create(&loader->workers[i].thread, NULL, work, &loader->workers[i]);
    if (code == 0) loader->worker_count++;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  DT_REQUIRE(code == 0, DT_ENVIRONMENT, "could not start a prefetch thread: %s", strerror(code));
  return DT_OK;
}

static dt_status create_parts(dt_loader *loader, int threads) {
  DT_TRY(dt_alloc((size_t)loader->slot_count, sizeof *loader->slots, &loader->slots));
  for (int i = 0; i < loader->slot_count; i++) DT_TRY(create_slot(loader, &loader->slots[i]));
  DT_TRY(dt_alloc((size_t)threads, sizeof *loader->workers, &loader->workers));
  DT_TRY(dt_alloc((size_t)threads, (size_t)loader->elements, &loader->scratch));
  for (int i = 0; i < threads; i++) {
    loader->workers[i] = (worker){.loader = loader, .scratch = loader->scratch + i * loader->elements};
  }
  return start_workers(loader, threads);
}

dt_status dt_loader_create(const dt_dataset *dataset, const dt_choices *augment, const dt_sampler *sampler, const dt_tree *tree,
                           int64_t samples_seen, int64_t end_samples, int prefetch, int threads, dt_loader **out) {
  DT_ASSERT(prefetch >= 1 && threads >= 1);
  DT_TRY(check_request(dataset, augment, sampler));
  dt_loader *loader;
  DT_TRY(dt_alloc(1, sizeof *loader, &loader));
  *loader = (dt_loader){
      .dataset = dataset,
      .augment = augment,
      .tree = tree,
      .sampler = *sampler,
      .end_samples = tree->pass_count > 0 ? end_samples : samples_seen,
      .elements = dt_shape_count(&dataset->shape),
      .shard_slots = (sampler->global_batch + tree->shards - 1) / tree->shards,
      .slot_count = prefetch + 1,
      .wake_at = (prefetch + 1) / 2,
      .next.samples_seen = samples_seen,
  };
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
  for (int i = 0; self->slots != NULL && i < self->slot_count; i++) destroy_slot(&self->slots[i]);
  free(self->slots);
  free(self->scratch);
  free(self->workers);
  free(self);
  *loader = NULL;
}
