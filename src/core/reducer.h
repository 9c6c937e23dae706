/* The contract of a reducer, which brings the gradient's buckets together over ranks. A communicator makes one for host memory
 * (comm/comm.h), a device its own for device memory (dt_own_memory_ops.reducer_create). */
#ifndef DT_CORE_REDUCER_H
#define DT_CORE_REDUCER_H

#include "core/config/spec.h"
#include "core/program/program.h"
#include "core/tensor.h"
#include "core/tree.h"

typedef struct dt_reducer dt_reducer;

typedef struct dt_reducer_options {
  const dt_tree *tree;
  int mode;       /* dt_reduce_mode */
  int transport;  /* dt_transport */
  dt_dtype dtype; /* DT_F32 or DT_F64 */
  const dt_bucket *bucket;
  int bucket_count;
  int64_t partial_elements; /* stride between partial sums: program->grad_elements */
} dt_reducer_options;

typedef struct dt_reducer_ops {
  /* Starts the reduction of a bucket of this rank's roots; asynchronous. Every rank calls it for the same buckets in the same
   * order. The elements must not be touched until the end. Collective. */
  dt_status (*begin)(dt_reducer *reducer, int bucket);
  /* Waits: afterwards partial sum 0 of every rank holds the sum over all shards. Collective. */
  dt_status (*end)(dt_reducer *reducer, int bucket);
  /* Elements of partial sum 0 become on every rank what they are on `root`, when no reduction is on its way. NULL: ranks do not
   * share such work. Collective. */
  dt_status (*bcast)(dt_reducer *reducer, int64_t first, int64_t count, int root);
  void (*destroy)(dt_reducer **reducer);
  /* Called now and then by who waits for a step that begin and end were recorded in, and has waited for so many seconds:
   * DT_PEER when a rank is lost, or the step has not ended by the reducer's deadline. Does not wait. NULL: end tells it all. */
  dt_status (*poll)(dt_reducer *reducer, double waited_seconds);
} dt_reducer_ops;

struct dt_reducer {
  const dt_reducer_ops *ops;
  void *gradient; /* partials_max * partial_elements elements, 64-byte aligned; in device memory for a device's own reducer */
  bool records;   /* a device's own: begin and end only enqueue, so that a step with them can be recorded as a graph */
  bool idle;      /* likewise: they enqueue nothing, since the only rank's only root is partial sum 0 */
  double wait_seconds; /* time the caller has waited in end: exposed communication */
  const char *note;    /* what a user should know of it, in a line; NULL: nothing */
  const char *library; /* that takes part besides MPI, with its version, for the record: "NCCL 2.28.9"; may be NULL */
};

/* What the reducer that a communicator of options->tree->size ranks makes takes in host memory on rank tree->rank, gradients
 * included; of a window that ranks share, this rank's part. one_host: all ranks share a host's memory. Not collective. */
size_t dt_reducer_bytes(const dt_reducer_options *options, bool one_host);

#endif
