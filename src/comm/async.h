/* Reductions by MPI messages in the background.
 *
 * MPI moves nothing unless somebody calls it. Whoever has time does: begin posts the first messages itself, a rank that waits
 * in end polls without pause, and in between a thread looks in every 200 us, so that messages go on under the backward pass
 * without taking a core from it. A mutex lets one of them in at a time. */
#ifndef DT_COMM_ASYNC_H
#define DT_COMM_ASYNC_H

#include <pthread.h>

#include "comm/mpi_comm.h"

typedef struct async_reducer async_reducer;

/* A bucket goes through the phases of its transport; each posts requests, and when they are complete the next is entered. */
struct async_reducer {
  dt_reducer base;
  mpi_comm *comm;
  MPI_Comm channel;           /* of this reducer alone */
  dt_reducer_options options; /* bucket and tree are borrowed */
  int phases;                 /* of a bucket */
  /* Enters a phase: adds requests to request[*count]. Runs under the lock. */
  dt_status (*enter)(async_reducer *r, int bucket, int phase, MPI_Request *request, int *count);
  void (*release)(async_reducer *r); /* of what the transport added; may be NULL */

  struct async_bucket {
    int phase; /* phases = done */
    MPI_Request *request;
    int count;
  } * bucket;
  MPI_Request *requests; /* behind bucket[].request */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t work;
  bool thread_started, stop;
  bool asleep;     /* the thread waits for work */
  bool waited_for; /* the caller polls in end: the thread stays away */
  int active;      /* buckets begun and not done */
  dt_status failed;
  char failed_text[512];
};

/* Fills in the base, the gradient block and the thread; enter, phases and what the transport needs are set before. Each bucket
 * has up to `requests` requests at a time. On failure the caller destroys r. Collective. */
dt_status dt_async_start(async_reducer *r, mpi_comm *comm, const dt_reducer_options *options, int requests);
void dt_async_destroy(dt_reducer **reducer);

/* Address of an element of a partial sum. */
static inline void *dt_async_element(const async_reducer *r, int node, int64_t element) {
  return (char *)r->base.gradient + (node * r->options.partial_elements + element) * (int64_t)dt_dtype_bytes(r->options.dtype);
}
static inline MPI_Datatype dt_async_type(const async_reducer *r) {
  return r->options.dtype == DT_F64 ? MPI_DOUBLE : MPI_FLOAT;
}

#endif
