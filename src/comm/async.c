#include "comm/async.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/locale.h"

enum {
  NAP_NS = 200000,
  NAPS = 50, /* after which a thread that finds nothing to do goes to sleep until it is called */
  POLLS = 1000,
  POLL_PAUSE_NS = 20000,
};

/* Enters phases until one has something to wait for, or the bucket is done. */
static dt_status enter_next(async_reducer *r, int index) {
  struct async_bucket *b = &r->bucket[index];
  for (b->count = 0; b->phase < r->phases && b->count == 0;) {
    DT_TRY(r->enter(r, index, b->phase, b->request, &b->count));
    if (b->count == 0) b->phase++;
  }
  if (b->phase == r->phases) r->active--;
  return DT_OK;
}

static dt_status advance_bucket(async_reducer *r, int index) {
  struct async_bucket *b = &r->bucket[index];
  while (b->phase < r->phases) {
    int complete = 0;
    DT_MPI(MPI_Testall(b->count, b->request, &complete, MPI_STATUSES_IGNORE));
    if (!complete) return DT_OK;
    b->phase++;
    DT_TRY(enter_next(r, index));
  }
  return DT_OK;
}

/* A failure may happen on the thread; its text is kept for the caller. */
static void keep_failure(async_reducer *r, dt_status status) {
  if (status == DT_OK || r->failed != DT_OK) return;
  r->failed = status;
  snprintf(r->failed_text, sizeof r->failed_text, "%s", dt_error_text());
}

static void advance(async_reducer *r) {
  for (int i = 0; i < r->options.bucket_count && r->active > 0 && r->failed == DT_OK; i++)
    keep_failure(r, advance_bucket(r, i));
}

static void pause_ns(long ns) {
  nanosleep(&(struct timespec){.tv_nsec = ns}, NULL);
}

/* Calling a sleeping thread costs more than a small bucket, so it naps between the buckets of a step and is called once. */
static void *run_thread(void *context) {
  async_reducer *r = context;
  pthread_mutex_lock(&r->lock);
  for (int idle = 0; !r->stop;) {
    bool busy = r->active > 0 && r->failed == DT_OK;
    if (busy && !r->waited_for) advance(r);
    idle = busy ? 0 : idle + 1;
    if (idle > NAPS) {
      r->asleep = true;
      pthread_cond_wait(&r->work, &r->lock);
      r->asleep = false;
      idle = 0;
    } else {
      pthread_mutex_unlock(&r->lock);
      pause_ns(NAP_NS);
      pthread_mutex_lock(&r->lock);
    }
  }
  pthread_mutex_unlock(&r->lock);
  return NULL;
}

static dt_status async_begin(dt_reducer *reducer, int index) {
  async_reducer *r = (async_reducer *)reducer;
  dt_comm_mark(&r->comm->base, DT_COLLECTIVE_REDUCE_BEGIN, r->options.dtype, (uint64_t)r->options.bucket[index].count);
  pthread_mutex_lock(&r->lock);
  r->bucket[index].phase = 0;
  r->active++;
  dt_status status = enter_next(r, index);
  keep_failure(r, status);
  if (r->asleep) pthread_cond_signal(&r->work);
  pthread_mutex_unlock(&r->lock);
  return status;
}

/* Polls hard for a moment, then lets the cores cool: the peers may be busy for long. */
static void wait_done(async_reducer *r, int index) {
  for (int polls = 0; r->failed == DT_OK; polls++) {
    advance(r);
    if (r->bucket[index].phase == r->phases) return;
    pthread_mutex_unlock(&r->lock);
    if (polls < POLLS)
      sched_yield();
    else
      pause_ns(POLL_PAUSE_NS);
    pthread_mutex_lock(&r->lock);
  }
}

static dt_status async_end(dt_reducer *reducer, int index) {
  async_reducer *r = (async_reducer *)reducer;
  dt_comm_mark(&r->comm->base, DT_COLLECTIVE_REDUCE_END, r->options.dtype, (uint64_t)r->options.bucket[index].count);
  double start = dt_clock_seconds();
  pthread_mutex_lock(&r->lock);
  if (r->bucket[index].phase < r->phases) {
    r->waited_for = true;
    wait_done(r, index);
    r->waited_for = false;
  }
  dt_status failed = r->failed;
  pthread_mutex_unlock(&r->lock);
  reducer->wait_seconds += dt_clock_seconds() - start;
  DT_REQUIRE(failed == DT_OK, failed, "%s", r->failed_text);
  return DT_OK;
}

static void stop_thread(async_reducer *r) {
  if (!r->thread_started) return;
  pthread_mutex_lock(&r->lock);
  r->stop = true;
  pthread_cond_signal(&r->work);
  pthread_mutex_unlock(&r->lock);
  pthread_join(r->thread, NULL);
  pthread_cond_destroy(&r->work);
  pthread_mutex_destroy(&r->lock);
}

void dt_async_destroy(dt_reducer **reducer) {
  async_reducer *r = (async_reducer *)*reducer;
  if (r == NULL) return;
  stop_thread(r);
  if (r->channel != MPI_COMM_NULL) MPI_Comm_free(&r->channel);
  if (r->release != NULL) r->release(r);
  free(r->requests);
  free(r->bucket);
  free(r->base.gradient);
  free(r);
  *reducer = NULL;
}

static dt_status async_bcast(dt_reducer *reducer, int64_t first, int64_t count, int root) {
  const async_reducer *r = (const async_reducer *)reducer;
  return dt_reducer_bcast(reducer, &r->comm->base, r->options.dtype, first, count, root);
}

static const dt_reducer_ops async_ops = {
    .begin = async_begin,
    .end = async_end,
    .bcast = async_bcast,
    .destroy = dt_async_destroy,
};

static dt_status start_thread(async_reducer *r) {
  pthread_mutex_init(&r->lock, NULL);
  pthread_cond_init(&r->work, NULL);
  int code = dt_thread_create(&r->thread, run_thread, r);
  if (code != 0) {
    pthread_cond_destroy(&r->work);
    pthread_mutex_destroy(&r->lock);
    DT_RAISE(DT_ENVIRONMENT, "could not start the thread that drives messages: %s", strerror(code));
  }
  r->thread_started = true;
  return DT_OK;
}

dt_status dt_async_start(async_reducer *r, mpi_comm *comm, const dt_reducer_options *options, int requests) {
  r->base.ops = &async_ops;
  r->comm = comm;
  r->options = *options;
  r->channel = MPI_COMM_NULL;
  DT_MPI(MPI_Comm_dup(comm->world, &r->channel));
  DT_MPI(MPI_Comm_set_errhandler(r->channel, MPI_ERRORS_RETURN));
  DT_TRY(dt_alloc((size_t)options->bucket_count, sizeof *r->bucket, &r->bucket));
  DT_TRY(dt_alloc((size_t)options->bucket_count * (size_t)requests, sizeof(MPI_Request), &r->requests));
  for (int b = 0; b < options->bucket_count; b++) {
    DT_REQUIRE(options->bucket[b].count <= INT_MAX, DT_USAGE, "a bucket of %lld elements: at most %d; lower comm.bucket_bytes",
               (long long)options->bucket[b].count, INT_MAX);
    r->bucket[b].request = r->requests + (size_t)b * (size_t)requests;
    r->bucket[b].phase = r->phases;
  }
  DT_TRY(dt_block_alloc(dt_gradient_bytes(options), &r->base.gradient));
  return start_thread(r);
}
