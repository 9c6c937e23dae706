/* The threads of the cpu device, which share out the indices of a task.
 *
 * Each thread has a range of the indices as its own, so that it meets the same pieces of memory kernel after kernel; who has
 * finished takes from the ranges of others. A range is one atomic word, end and next index together, so that claiming is one
 * addition and a claim is valid or void by itself. A late thread therefore need not be waited for: the caller returns as soon
 * as every index is done, whoever did it.
 *
 * Waiting threads spin for a while and then sleep on a futex; without spinning they sleep at once. */
#include "cpu/cpu.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/locale.h"

enum { CACHE_LINE = 64, SPIN_ROUNDS = 4096 };

typedef struct range {
  _Alignas(CACHE_LINE) _Atomic uint64_t claim; /* end << 32 | next */
} range;

typedef struct worker {
  dt_threads *pool;
  pthread_t id;
  int thread;
} worker;

struct dt_threads {
  range *range;   /* [threads] */
  worker *worker; /* [threads - 1] */
  int threads, started;
  int spin_rounds;
  /* Written by the caller before it publishes ranges; read by whoever holds a valid claim. */
  dt_task *_Atomic task;
  void *_Atomic context;
  _Alignas(CACHE_LINE) _Atomic uint32_t job; /* counts runs; workers wait for it to change */
  _Atomic int sleepers;
  atomic_bool stop;
  _Alignas(CACHE_LINE) _Atomic uint32_t done; /* indices of this run that are finished */
  _Atomic int caller_sleeps;
};

static void futex_wait(_Atomic uint32_t *word, uint32_t value) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(_Atomic uint32_t *word) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static inline void relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

/* Works off one range; returns how many indices it did. */
static uint32_t drain(dt_threads *pool, range *from, int thread) {
  uint32_t finished = 0;
  for (;;) {
    uint64_t claim = atomic_load_explicit(&from->claim, memory_order_relaxed);
    if ((uint32_t)claim >= claim >> 32) return finished;
    claim = atomic_fetch_add_explicit(&from->claim, 1, memory_order_acquire);
    if ((uint32_t)claim >= claim >> 32) return finished;
    dt_task *task = atomic_load_explicit(&pool->task, memory_order_relaxed);
    task(atomic_load_explicit(&pool->context, memory_order_relaxed), (int)(uint32_t)claim, thread);
    finished++;
  }
}

static uint32_t drain_all(dt_threads *pool, int thread) {
  uint32_t finished = 0;
  for (int i = 0; i < pool->threads; i++) {
    int owner = thread + i < pool->threads ? thread + i : thread + i - pool->threads;
    finished += drain(pool, &pool->range[owner], thread);
  }
  return finished;
}

static void wait_for_job(dt_threads *pool, uint32_t seen) {
  for (int i = 0; i < pool->spin_rounds; i++) {
    if (atomic_load_explicit(&pool->job, memory_order_acquire) != seen) return;
    relax();
  }
  atomic_fetch_add(&pool->sleepers, 1);
  while (atomic_load(&pool->job) == seen) futex_wait(&pool->job, seen);
  atomic_fetch_sub(&pool->sleepers, 1);
}

static void *worker_main(void *argument) {
  worker *self = argument;
  dt_threads *pool = self->pool;
  uint32_t seen = 0;
  for (;;) {
    wait_for_job(pool, seen);
    /* In this order: a stop that is announced after `seen` was read changes the job again, and one before it is seen here. */
    seen = atomic_load(&pool->job);
    if (atomic_load(&pool->stop)) return NULL;
    uint32_t finished = drain_all(pool, self->thread);
    if (finished == 0) continue;
    atomic_fetch_add(&pool->done, finished);
    if (atomic_load(&pool->caller_sleeps)) futex_wake(&pool->done);
  }
}

static void announce(dt_threads *pool) {
  atomic_fetch_add(&pool->job, 1);
  if (atomic_load(&pool->sleepers) > 0) futex_wake(&pool->job);
}

static void wait_for_done(dt_threads *pool, uint32_t count) {
  for (int i = 0; i < pool->spin_rounds; i++) {
    if (atomic_load_explicit(&pool->done, memory_order_acquire) == count) return;
    relax();
  }
  atomic_store(&pool->caller_sleeps, 1);
  for (uint32_t done; (done = atomic_load(&pool->done)) != count;) futex_wait(&pool->done, done);
  atomic_store(&pool->caller_sleeps, 0);
}

void dt_threads_run(dt_threads *pool, int count, dt_task *task, void *context) {
  if (count <= 1 || pool->threads == 1) {
    for (int i = 0; i < count; i++) task(context, i, 0);
    return;
  }
  atomic_store_explicit(&pool->task, task, memory_order_relaxed);
  atomic_store_explicit(&pool->context, context, memory_order_relaxed);
  atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
  for (int t = 0; t < pool->threads; t++) {
    uint64_t first = (uint64_t)count * (uint64_t)t / (uint64_t)pool->threads;
    uint64_t end = (uint64_t)count * (uint64_t)(t + 1) / (uint64_t)pool->threads;
    atomic_store_explicit(&pool->range[t].claim, end << 32 | first, memory_order_release);
  }
  announce(pool);
  uint32_t finished = drain_all(pool, 0);
  if (atomic_fetch_add(&pool->done, finished) + finished != (uint32_t)count) wait_for_done(pool, (uint32_t)count);
}

/* CPUs this process may use: spinning on more threads than that only keeps the others from their work. */
static int cpus_available(void) {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return INT_MAX;
  return CPU_COUNT(&set);
}

dt_status dt_threads_create(int threads, bool spin, dt_threads **out) {
  *out = NULL;
  DT_REQUIRE(threads >= 1, DT_USAGE, "a pool needs at least 1 thread, not %d", threads);
  dt_threads *pool = aligned_alloc(CACHE_LINE, sizeof *pool);
  DT_REQUIRE(pool != NULL, DT_MEMORY, "could not allocate a pool of %d threads", threads);
  *pool = (dt_threads){.threads = threads, .spin_rounds = spin && threads <= cpus_available() ? SPIN_ROUNDS : 0};
  pool->range = aligned_alloc(CACHE_LINE, (size_t)threads * sizeof(range));
  pool->worker = calloc((size_t)threads, sizeof *pool->worker);
  if (pool->range == NULL || pool->worker == NULL) {
    dt_threads_destroy(&pool);
    DT_RAISE(DT_MEMORY, "could not allocate a pool of %d threads", threads);
  }
  for (int t = 0; t < threads; t++) atomic_init(&pool->range[t].claim, 0);
  for (int t = 1; t < threads; t++) {
    worker *w = &pool->worker[t - 1];
    *w = (worker){.pool = pool, .thread = t};
    if (dt_thread_create(&w->id, worker_main, w) != 0) {
      dt_threads_destroy(&pool);
      DT_RAISE(DT_ENVIRONMENT, "could not start thread %d of %d: is the limit on processes (ulimit -u) reached?", t + 1,
               threads);
    }
    pool->started++;
  }
  *out = pool;
  return DT_OK;
}

void dt_threads_destroy(dt_threads **pool) {
  if (*pool == NULL) return;
  atomic_store(&(*pool)->stop, true);
  announce(*pool);
  for (int i = 0; i < (*pool)->started; i++) pthread_join((*pool)->worker[i].id, NULL);
  free((*pool)->worker);
  free((*pool)->range);
  free(*pool);
  *pool = NULL;
}

int dt_threads_count(const dt_threads *pool) {
  return pool->threads;
}
