#include "data/store.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Who has read a sample first fills its place; whoever comes meanwhile has read it too, and leaves it at that. */
enum { EMPTY, FILLING, FULL };

typedef struct dt_store_kept {
  uint8_t *samples; /* [count][bytes] */
  size_t bytes;
  _Atomic uint8_t state[]; /* [count] */
} kept;

static uint8_t *place_of(const dt_store *store, int64_t sample) {
  return store->kept->samples + (size_t)sample * store->bytes;
}

static void keep_sample(const dt_store *store, int64_t sample, const void *from) {
  uint8_t expected = EMPTY;
  if (!atomic_compare_exchange_strong(&store->kept->state[sample], &expected, FILLING)) return;
  memcpy(place_of(store, sample), from, store->bytes);
  atomic_store(&store->kept->state[sample], FULL);
}

dt_status dt_store_read(dt_store *store, int64_t sample, void *to) {
  DT_ASSERT(sample >= 0 && sample < store->count);
  if (store->kept == NULL) return store->ops->read(store, sample, to);
  if (atomic_load(&store->kept->state[sample]) == FULL) {
    memcpy(to, place_of(store, sample), store->bytes);
    return DT_OK;
  }
  DT_TRY(store->ops->read(store, sample, to));
  keep_sample(store, sample, to);
  return DT_OK;
}

void dt_store_keep(dt_store *store) {
  const size_t count = (size_t)store->count;
  if (store->kept != NULL || store->bytes == 0 || count > SIZE_MAX / store->bytes) return;
  kept *k = calloc(1, sizeof *k + count);
  if (k == NULL) return;
  k->bytes = count * store->bytes;
  void *samples = mmap(NULL, k->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (samples == MAP_FAILED) {
    free(k);
    return;
  }
  k->samples = samples;
  store->kept = k;
}

dt_store *dt_store_share(dt_store *store) {
  store->users++;
  return store;
}

void dt_store_release(dt_store **pointer) {
  dt_store *store = *pointer;
  *pointer = NULL;
  if (store == NULL || --store->users > 0) return;
  if (store->kept != NULL) munmap(store->kept->samples, store->kept->bytes);
  free(store->kept);
  store->ops->destroy(store);
}
