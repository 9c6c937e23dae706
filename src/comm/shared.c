/* The ordered reducer of ranks that share one host's memory.
 *
 * Every rank's partial sums stand in one shared-memory window, so a sum needs no messages: whoever has time reads a chunk of
 * all roots, adds it in the tree's order and writes it to partial sum 0 of every rank, while it is in the first cache. Each
 * byte is read once and written once. It does not matter which rank sums a chunk, so chunks are taken from a common counter and
 * no rank waits for one that has lost its core.
 *
 * There is no thread behind this: a rank that is computing has no core to spare for sums, and one that waits in end has.
 *
 * A bucket in round g (its g-th reduction) of n ranks and c chunks:
 * 1. begin: arrived += 1. Nobody touches the bucket's gradients until arrived = n*g. The last to arrive in a bucket of one
 *    chunk sums it there and then: the others need no second hand-over.
 * 2. end: from arrived = n*g on, ranks take tickets. A ticket below c is a chunk to sum, done += 1 after it; any other ends the
 *    search. So a round uses up c + n tickets exactly, and the next round, which cannot start before every rank has left this
 *    one, counts from there.
 * 3. end returns when done = c*g: all chunks stand in every rank's partial sum 0. */
#include <linux/futex.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "comm/mpi_comm.h"

enum {
  PAGE = 4096,
  CHUNK_TRAFFIC = 1 << 17, /* bytes of all sources that a chunk reads; 32 to 512 KiB measured alike */
  CHUNK_LEAST = 1 << 13,
  SPINS = 100, /* a few us: two ranks may have been put on one core, and 2000 spins made small sums 10 times slower there */
  YIELDS = 100,
};

/* A counter on which ranks wait. Counts wrap around. */
typedef struct shared_counter {
  _Alignas(64) _Atomic uint32_t value;
  _Atomic uint32_t waiting; /* ranks asleep in the kernel */
} shared_counter;

typedef struct shared_bucket {
  shared_counter arrived, done;
  _Alignas(64) _Atomic uint64_t ticket;
} shared_bucket;

typedef struct local_bucket {
  uint32_t round;
  int64_t chunk; /* elements of a chunk; the last may be shorter */
  uint32_t chunks;
} local_bucket;

typedef struct shared_reducer {
  dt_reducer base;
  mpi_comm *comm;
  dt_reducer_options options; /* bucket and tree are borrowed */
  MPI_Win window;
  shared_bucket *bucket; /* in rank 0's part of the window */
  local_bucket *local;
  void **partial0;      /* [size]: partial sum 0 of every rank */
  void **root;          /* [root_count_all] */
  void **source, **out; /* scratch for a chunk: root and partial0, moved to it */
} shared_reducer;

static bool reached(const shared_counter *counter, uint32_t target) {
  return (int32_t)(atomic_load_explicit(&counter->value, memory_order_acquire) - target) >= 0;
}

/* Returns whether this was the last count that ranks wait for. */
static bool counter_add(shared_counter *counter, uint32_t target) {
  bool last = atomic_fetch_add(&counter->value, 1) + 1 == target;
  if (last && atomic_load(&counter->waiting) > 0) {
    syscall(SYS_futex, &counter->value, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
  }
  return last;
}

/* Spins only where every rank has a core; then lets others run; then sleeps. The value is read after `waiting` is raised and
 * counter_add reads `waiting` after it has raised the value, so no wake-up is missed. */
static void counter_wait(shared_counter *counter, uint32_t target, bool spin) {
  for (int i = 0; spin && i < SPINS; i++) {
    if (reached(counter, target)) return;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  for (int i = 0; i < YIELDS; i++) {
    if (reached(counter, target)) return;
    sched_yield();
  }
  atomic_fetch_add(&counter->waiting, 1);
  for (;;) {
    uint32_t now = atomic_load(&counter->value);
    if ((int32_t)(now - target) >= 0) break;
    syscall(SYS_futex, &counter->value, FUTEX_WAIT, now, NULL, NULL, 0);
  }
  atomic_fetch_sub(&counter->waiting, 1);
}

static void *moved(void *base, int64_t elements, dt_dtype dtype) {
  return (char *)base + elements * (int64_t)dt_dtype_bytes(dtype);
}

static void sum_chunk(shared_reducer *r, int bucket, uint32_t chunk) {
  const dt_reducer_options *o = &r->options;
  const dt_bucket *b = &o->bucket[bucket];
  int64_t at = chunk * r->local[bucket].chunk, count = b->count - at;
  if (count > r->local[bucket].chunk) count = r->local[bucket].chunk;
  for (int i = 0; i < o->tree->root_count_all; i++) r->source[i] = moved(r->root[i], b->first + at, o->dtype);
  for (int i = 0; i < r->comm->base.size; i++) r->out[i] = moved(r->partial0[i], b->first + at, o->dtype);
  dt_fold_to_all(o->dtype, o->tree->fold, o->tree->fold_count, r->source, o->tree->root_count_all, count, r->out,
                 r->comm->base.size);
}

static void take_chunks(shared_reducer *r, int bucket) {
  const local_bucket *l = &r->local[bucket];
  shared_bucket *s = &r->bucket[bucket];
  uint64_t before = (uint64_t)(l->round - 1) * (l->chunks + (uint32_t)r->comm->base.size);
  for (;;) {
    uint64_t ticket = atomic_fetch_add_explicit(&s->ticket, 1, memory_order_relaxed) - before;
    if (ticket >= l->chunks) return;
    sum_chunk(r, bucket, (uint32_t)ticket);
    counter_add(&s->done, l->chunks * l->round);
  }
}

static dt_status shared_begin(dt_reducer *reducer, int bucket) {
  shared_reducer *r = (shared_reducer *)reducer;
  local_bucket *l = &r->local[bucket];
  shared_bucket *s = &r->bucket[bucket];
  uint32_t size = (uint32_t)r->comm->base.size;
  dt_comm_mark(&r->comm->base, DT_COLLECTIVE_REDUCE_BEGIN, r->options.dtype, (uint64_t)r->options.bucket[bucket].count);
  uint32_t everyone = ++l->round * size;
  bool last = counter_add(&s->arrived, everyone);
  if (l->chunks == 1 && last) {
    double start = dt_clock_seconds();
    sum_chunk(r, bucket, 0);
    counter_add(&s->done, l->round);
    reducer->wait_seconds += dt_clock_seconds() - start;
  }
  return DT_OK;
}

static dt_status shared_end(dt_reducer *reducer, int bucket) {
  shared_reducer *r = (shared_reducer *)reducer;
  const local_bucket *l = &r->local[bucket];
  shared_bucket *s = &r->bucket[bucket];
  dt_comm_mark(&r->comm->base, DT_COLLECTIVE_REDUCE_END, r->options.dtype, (uint64_t)r->options.bucket[bucket].count);
  double start = dt_clock_seconds();
  if (l->chunks > 1) {
    counter_wait(&s->arrived, l->round * (uint32_t)r->comm->base.size, r->comm->spin);
    take_chunks(r, bucket);
  }
  counter_wait(&s->done, l->chunks * l->round, r->comm->spin);
  reducer->wait_seconds += dt_clock_seconds() - start;
  return DT_OK;
}

static void shared_destroy(dt_reducer **reducer) {
  shared_reducer *r = (shared_reducer *)*reducer;
  if (r == NULL) return;
  if (r->window != MPI_WIN_NULL) MPI_Win_free(&r->window);
  free(r->out);
  free(r->source);
  free(r->root);
  free(r->partial0);
  free(r->local);
  free(r);
  *reducer = NULL;
}

static dt_status shared_bcast(dt_reducer *reducer, int64_t first, int64_t count, int root) {
  const shared_reducer *r = (const shared_reducer *)reducer;
  return dt_reducer_bcast(reducer, &r->comm->base, r->options.dtype, first, count, root);
}

static const dt_reducer_ops shared_ops = {
    .begin = shared_begin,
    .end = shared_end,
    .bcast = shared_bcast,
    .destroy = shared_destroy,
};

static size_t page_up(size_t bytes) {
  return (bytes + PAGE - 1) / PAGE * PAGE;
}

/* Whether /dev/shm, where windows live, holds `bytes` more on every rank. Open MPI finds out on one rank only and leaves the
 * others waiting for ever, and containers give 64 MB by default, so it is asked first. */
static dt_status check_room(MPI_Comm host, size_t bytes) {
  int64_t needed = (int64_t)bytes, room = INT64_MAX;
  DT_MPI(MPI_Allreduce(MPI_IN_PLACE, &needed, 1, MPI_INT64_T, MPI_SUM, host));
  struct statvfs fs;
  if (statvfs("/dev/shm", &fs) == 0) room = (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
  DT_MPI(MPI_Allreduce(MPI_IN_PLACE, &room, 1, MPI_INT64_T, MPI_MIN, host));
  DT_REQUIRE(
      needed < room, DT_ENVIRONMENT,
      "gradients of this host's ranks need %lld bytes of /dev/shm, %lld are free; enlarge it (docker: --shm-size), or use "
      "comm.transport: messages",
      (long long)needed, (long long)room);
  return DT_OK;
}

/* Every rank comes out with the same status. */
static dt_status allocate_window(MPI_Comm host, size_t bytes, void **own, MPI_Win *window) {
  MPI_Info info = MPI_INFO_NULL;
  DT_TRY(check_room(host, bytes));
  DT_MPI(MPI_Info_create(&info));
  MPI_Info_set(info, "alloc_shared_noncontig", "true");
  int code = MPI_Win_allocate_shared((MPI_Aint)bytes, 1, info, host, own, window);
  MPI_Info_free(&info);
  int failed = code != MPI_SUCCESS;
  DT_MPI(MPI_Allreduce(MPI_IN_PLACE, &failed, 1, MPI_INT, MPI_MAX, host));
  if (failed) *window = MPI_WIN_NULL; /* freeing is collective: a window that only some ranks have must be left alone */
  DT_REQUIRE(!failed, DT_ENVIRONMENT, "this MPI gives no shared-memory window of %zu bytes; use comm.transport: messages",
             bytes);
  return DT_OK;
}

static size_t counter_bytes(const dt_reducer_options *options) {
  return page_up((size_t)options->bucket_count * sizeof(shared_bucket));
}

size_t dt_shared_window_bytes(const dt_reducer_options *options, int rank) {
  return page_up(dt_gradient_bytes(options)) + (rank == 0 ? counter_bytes(options) : 0) + PAGE; /* a page to align on */
}

/* One part for each rank, of its own pages; rank 0's begins with the counters. */
static dt_status open_window(shared_reducer *r) {
  const dt_reducer_options *o = &r->options;
  int rank = r->comm->base.rank, size = r->comm->base.size;
  size_t bytes = dt_shared_window_bytes(o, rank);
  void *own = NULL;
  DT_TRY(allocate_window(r->comm->host, bytes, &own, &r->window));
  memset(own, 0, bytes); /* touched by its owner first */
  for (int i = 0; i < size; i++) {
    MPI_Aint part = 0;
    int unit = 0;
    char *base = NULL;
    DT_MPI(MPI_Win_shared_query(r->window, i, &part, &unit, &base));
    base += (PAGE - (uintptr_t)base % PAGE) % PAGE;
    if (i == 0) r->bucket = (shared_bucket *)base;
    r->partial0[i] = base + (i == 0 ? counter_bytes(o) : 0);
  }
  r->base.gradient = r->partial0[rank];
  DT_MPI(MPI_Barrier(r->comm->host));
  return DT_OK;
}

static void plan_chunks(shared_reducer *r) {
  const dt_reducer_options *o = &r->options;
  int64_t bytes = CHUNK_TRAFFIC / (o->tree->root_count_all > 0 ? o->tree->root_count_all : 1);
  if (bytes < CHUNK_LEAST) bytes = CHUNK_LEAST;
  for (int b = 0; b < o->bucket_count; b++) {
    local_bucket *l = &r->local[b];
    l->chunk = bytes / (int64_t)dt_dtype_bytes(o->dtype);
    int64_t chunks = (o->bucket[b].count + l->chunk - 1) / l->chunk;
    l->chunks = chunks > 0 ? (uint32_t)chunks : 1;
  }
}

static dt_status allocate_tables(shared_reducer *r) {
  size_t size = (size_t)r->comm->base.size, roots = (size_t)r->options.tree->root_count_all;
  DT_TRY(dt_alloc((size_t)r->options.bucket_count, sizeof *r->local, &r->local));
  DT_TRY(dt_alloc(size, sizeof *r->partial0, &r->partial0));
  DT_TRY(dt_alloc(size, sizeof *r->out, &r->out));
  DT_TRY(dt_alloc(roots, sizeof *r->root, &r->root));
  return dt_alloc(roots, sizeof *r->source, &r->source);
}

dt_status dt_shared_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  dt_status status = DT_OK;
  const dt_tree *tree = options->tree;
  dt_reducer *base = NULL;
  shared_reducer *r = NULL;
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  base = &r->base;
  base->ops = &shared_ops;
  r->comm = comm;
  r->options = *options;
  r->window = MPI_WIN_NULL;
  /* When one rank has no memory, none may go into making the window. */
  DT_TRY_GOTO(fail, dt_comm_agree(&comm->base, allocate_tables(r)));
  plan_chunks(r);
  DT_TRY_GOTO(fail, open_window(r));
  for (int i = 0; i < tree->root_count_all; i++) {
    r->root[i] = moved(r->partial0[tree->roots[i].rank], tree->roots[i].partial * options->partial_elements, options->dtype);
  }
  *out = base;
  return DT_OK;
fail:
  shared_destroy(&base);
  return status;
}
