/* The reducer that goes through host memory.
 *
 * begin copies this rank's roots of a bucket to the host, waits for them and hands them to the communicator's own reducer,
 * whose gradient block has the same partial sums; end waits for the sum and enqueues the copy of partial sum 0 back to the
 * device. What is summed and in which order is the host reducer's, so the bits are those of the cpu.
 *
 * From the moment at which a bucket's gradients are there until it is handed over, and while it is waited for, nothing is
 * enqueued: the compute stream stands still, and that is what wait_seconds counts. A peer that hangs keeps end waiting in MPI
 * without a deadline, as it does on the cpu.
 *
 * Host memory is pageable: copies go through the device's staging (staging.h), and have let go of it when they return. */
#include <stdlib.h>

#include "core/clock.h"
#include "core/config/spec.h"
#include "gpu/await.h"
#include "gpu/reducer.h"
#include "gpu/staging.h"

typedef struct staged_reducer {
  dt_gpu_reducer gpu;
  dt_reducer *host;
} staged_reducer;

static float *host_gradient(const staged_reducer *r, int node, int64_t element) {
  return (float *)r->host->gradient + node * r->gpu.options.partial_elements + element;
}

static dt_status staged_begin(dt_reducer *reducer, int bucket) {
  staged_reducer *r = (staged_reducer *)reducer;
  const dt_tree *tree = r->gpu.options.tree;
  const dt_bucket *b = &r->gpu.options.bucket[bucket];
  size_t bytes = (size_t)b->count * sizeof(float);
  cudaStream_t stream = dt_gpu_comm_stream(&r->gpu);
  DT_TRY(dt_gpu_await_stream((dt_gpu *)r->gpu.device, stream, "the gradients of a step"));
  double start = dt_clock_seconds();
  for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
    int node = tree->roots[i].partial;
    DT_TRY(dt_gpu_fetch((dt_gpu *)r->gpu.device, stream, host_gradient(r, node, b->first),
                        dt_gpu_gradient(&r->gpu, node, b->first), bytes, "the copy of gradients"));
  }
  DT_TRY(r->host->ops->begin(r->host, bucket));
  reducer->wait_seconds += dt_clock_seconds() - start;
  return DT_OK;
}

static dt_status staged_end(dt_reducer *reducer, int bucket) {
  staged_reducer *r = (staged_reducer *)reducer;
  const dt_bucket *b = &r->gpu.options.bucket[bucket];
  double start = dt_clock_seconds();
  DT_TRY(r->host->ops->end(r->host, bucket));
  DT_TRY(dt_gpu_send((dt_gpu *)r->gpu.device, dt_gpu_comm_stream(&r->gpu), dt_gpu_gradient(&r->gpu, 0, b->first),
                     host_gradient(r, 0, b->first), (size_t)b->count * sizeof(float), "the copy of sums"));
  reducer->wait_seconds += dt_clock_seconds() - start;
  return DT_OK;
}

static void staged_destroy(dt_reducer **reducer) {
  staged_reducer *r = (staged_reducer *)*reducer;
  if (r == NULL) return;
  if (r->host != NULL) r->host->ops->destroy(&r->host);
  dt_gpu_reducer_free(&r->gpu);
  *reducer = NULL;
}

static const dt_reducer_ops staged_ops = {.begin = staged_begin, .end = staged_end, .destroy = staged_destroy};

static dt_status start(dt_device *device, dt_comm *comm, const dt_reducer_options *options, staged_reducer **out) {
  DT_TRY(dt_alloc(1, sizeof **out, out));
  DT_TRY(dt_gpu_reducer_start(&(*out)->gpu, &staged_ops, false, device, comm, options));
  return dt_gpu_reducer_alloc(&(*out)->gpu);
}

dt_status dt_staged_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  staged_reducer *r = NULL;
  dt_reducer_options host = *options;
  if (host.transport == DT_TRANSPORT_STAGED) host.transport = DT_TRANSPORT_AUTO;
  /* When one rank has no memory, none may go into making the host's reducer. */
  dt_status status = dt_comm_agree(comm, start(device, comm, options, &r));
  if (status == DT_OK) status = comm->ops->reducer_create(comm, &host, &r->host);
  if (r != NULL) *out = &r->gpu.base;
  if (status != DT_OK) staged_destroy(out);
  return status;
}
