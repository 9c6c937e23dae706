/* What the communicators share among themselves. */
#ifndef DT_COMM_INTERNAL_H
#define DT_COMM_INTERNAL_H

#include "comm/comm.h"
#include "core/clock.h"

/* The operation in dt_comm.signature. */
typedef enum dt_collective {
  DT_COLLECTIVE_ALLREDUCE = 1,
  DT_COLLECTIVE_BCAST,
  DT_COLLECTIVE_GATHER,
  DT_COLLECTIVE_BARRIER,
  DT_COLLECTIVE_REDUCER_CREATE,
  DT_COLLECTIVE_REDUCE_BEGIN,
  DT_COLLECTIVE_REDUCE_END,
} dt_collective;

/* Writes down that a collective begins. The signature goes first, so that a watchdog that sees a new sequence number does not
 * read the signature of the collective before. */
static inline void dt_comm_mark(dt_comm *comm, dt_collective op, dt_dtype dtype, uint64_t count) {
  uint64_t signature = (uint64_t)op << 56 | (uint64_t)dtype << 48 | (count & 0xffffffffffffu);
  atomic_store_explicit(&comm->signature, signature, memory_order_relaxed);
  atomic_fetch_add_explicit(&comm->sequence, 1, memory_order_release);
}

/* Sums a slice of `count` elements of DT_F32 or DT_F64 over source_count roots in the tree's order, and writes it to each of
 * out_count places. A place may be a source; sources and places must not overlap in any other way. */
void dt_fold_to_all(dt_dtype dtype, const dt_merge *fold, int fold_count, void *const *source, int source_count, int64_t count,
                    void *const *out, int out_count);

/* dt_reducer_ops.bcast by the communicator's. */
static inline dt_status dt_reducer_bcast(dt_reducer *reducer, dt_comm *comm, dt_dtype dtype, int64_t first, int64_t count,
                                         int root) {
  const size_t bytes = dt_dtype_bytes(dtype);
  const double start = dt_clock_seconds();
  dt_status status = comm->ops->bcast(comm, (char *)reducer->gradient + (size_t)first * bytes, (size_t)count * bytes, root);
  reducer->wait_seconds += dt_clock_seconds() - start;
  return status;
}

/* Zeroed memory aligned to 64 bytes (to huge pages where it spans several). DT_MEMORY. Release with free. */
dt_status dt_block_alloc(size_t bytes, void **out);
/* What dt_block_alloc takes for so many. */
size_t dt_block_bytes(size_t bytes);

/* All of a rank's partial sums. */
static inline size_t dt_gradient_bytes(const dt_reducer_options *options) {
  return (size_t)options->tree->partials_max * (size_t)options->partial_elements * dt_dtype_bytes(options->dtype);
}
/* What the messages reducer takes besides them, and a rank's part of the shared reducer's window, gradients included. */
size_t dt_messages_received_bytes(const dt_reducer_options *options);
size_t dt_shared_window_bytes(const dt_reducer_options *options, int rank);

#endif
