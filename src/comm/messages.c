/* The ordered reducer by messages, for any set of hosts.
 *
 * A bucket is cut into one slice per rank. Phase 0: every rank sends its roots' slices to the slices' ranks. Phase 1: a rank
 * adds its slice of all roots in the tree's order into its partial sum 0 and sends the sum to everyone. Each rank sends (n-1)/n
 * of its roots and (n-1)/n of the bucket: with one root per rank the bytes of a ring.
 *
 * Phase 1 writes partial sum 0 where phase 0 read it only after all of phase 0 is complete, sends included. Messages between
 * two ranks with one tag arrive in the order in which they were sent, which keeps apart a rank's roots, and one round from the
 * next. */
#include "comm/async.h"

#include <stdlib.h>

typedef struct messages_reducer {
  async_reducer base;
  void **received; /* [bucket]: slices of other ranks' roots, in shard order, own roots left out */
  void *memory;    /* behind received */
  void **source;   /* scratch: [root_count_all] */
} messages_reducer;

static int64_t slice_first(const dt_bucket *bucket, int size, int rank) {
  return bucket->count * rank / size;
}

static int slice_count(const dt_bucket *bucket, int size, int rank) {
  return (int)(slice_first(bucket, size, rank + 1) - slice_first(bucket, size, rank));
}

/* Where root i's part of this rank's slice stands. */
static void *root_slice(messages_reducer *m, int bucket, int i) {
  const async_reducer *r = &m->base;
  const dt_tree *tree = r->options.tree;
  const dt_bucket *b = &r->options.bucket[bucket];
  int size = tree->size, rank = tree->rank;
  if (tree->roots[i].rank == rank) {
    return dt_async_element(r, tree->roots[i].partial, b->first + slice_first(b, size, rank));
  }
  int64_t place = i < tree->root_first ? i : i - tree->root_count;
  return (char *)m->received[bucket] + place * slice_count(b, size, rank) * (int64_t)dt_dtype_bytes(r->options.dtype);
}

static dt_status exchange_roots(messages_reducer *m, int bucket, MPI_Request *request, int *count) {
  async_reducer *r = &m->base;
  const dt_tree *tree = r->options.tree;
  const dt_bucket *b = &r->options.bucket[bucket];
  int size = tree->size, rank = tree->rank, tag = 2 * bucket;
  for (int i = 0; i < tree->root_count_all; i++) {
    if (tree->roots[i].rank == rank) continue;
    DT_MPI(MPI_Irecv(root_slice(m, bucket, i), slice_count(b, size, rank), dt_async_type(r), tree->roots[i].rank, tag,
                     r->channel, &request[(*count)++]));
  }
  for (int step = 1; step < size; step++) {
    int peer = (rank + step) % size;
    for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
      DT_MPI(MPI_Isend(dt_async_element(r, tree->roots[i].partial, b->first + slice_first(b, size, peer)),
                       slice_count(b, size, peer), dt_async_type(r), peer, tag, r->channel, &request[(*count)++]));
    }
  }
  return DT_OK;
}

static dt_status spread_sum(messages_reducer *m, int bucket, MPI_Request *request, int *count) {
  async_reducer *r = &m->base;
  const dt_tree *tree = r->options.tree;
  const dt_bucket *b = &r->options.bucket[bucket];
  int size = tree->size, rank = tree->rank, tag = 2 * bucket + 1;
  for (int i = 0; i < tree->root_count_all; i++) m->source[i] = root_slice(m, bucket, i);
  void *sum = dt_async_element(r, 0, b->first + slice_first(b, size, rank));
  dt_fold_to_all(r->options.dtype, tree->fold, tree->fold_count, m->source, tree->root_count_all, slice_count(b, size, rank),
                 &sum, 1);
  for (int step = 1; step < size; step++) {
    int from = (rank - step + size) % size, to = (rank + step) % size;
    DT_MPI(MPI_Irecv(dt_async_element(r, 0, b->first + slice_first(b, size, from)), slice_count(b, size, from),
                     dt_async_type(r), from, tag, r->channel, &request[(*count)++]));
    DT_MPI(MPI_Isend(sum, slice_count(b, size, rank), dt_async_type(r), to, tag, r->channel, &request[(*count)++]));
  }
  return DT_OK;
}

static dt_status messages_enter(async_reducer *r, int bucket, int phase, MPI_Request *request, int *count) {
  messages_reducer *m = (messages_reducer *)r;
  return phase == 0 ? exchange_roots(m, bucket, request, count) : spread_sum(m, bucket, request, count);
}

static void messages_release(async_reducer *r) {
  messages_reducer *m = (messages_reducer *)r;
  free(m->source);
  free(m->memory);
  free(m->received);
}

static int64_t received_bytes(const dt_reducer_options *options, int bucket) {
  const dt_tree *tree = options->tree;
  int64_t slices = tree->root_count_all - tree->root_count;
  int64_t bytes =
      slices * slice_count(&options->bucket[bucket], tree->size, tree->rank) * (int64_t)dt_dtype_bytes(options->dtype);
  return (bytes + 63) / 64 * 64;
}

static size_t all_received_bytes(const dt_reducer_options *options) {
  size_t bytes = 0;
  for (int b = 0; b < options->bucket_count; b++) bytes += (size_t)received_bytes(options, b);
  return bytes;
}

size_t dt_messages_received_bytes(const dt_reducer_options *options) {
  return dt_block_bytes(all_received_bytes(options));
}

static dt_status place_received(messages_reducer *m, const dt_reducer_options *options) {
  DT_TRY(dt_alloc((size_t)options->bucket_count, sizeof *m->received, &m->received));
  DT_TRY(dt_alloc((size_t)options->tree->root_count_all, sizeof *m->source, &m->source));
  DT_TRY(dt_block_alloc(all_received_bytes(options), &m->memory));
  int64_t at = 0;
  for (int b = 0; b < options->bucket_count; at += received_bytes(options, b), b++) m->received[b] = (char *)m->memory + at;
  return DT_OK;
}

dt_status dt_messages_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  messages_reducer *m = NULL;
  const dt_tree *tree = options->tree;
  DT_TRY(dt_alloc(1, sizeof *m, &m));
  m->base.phases = 2;
  m->base.enter = messages_enter;
  m->base.release = messages_release;
  m->base.channel = MPI_COMM_NULL;
  dt_reducer *base = &m->base.base;
  int peers = tree->size - 1;
  int exchange = tree->root_count_all - tree->root_count + peers * tree->root_count, spread = 2 * peers;
  /* When one rank has no memory, none may go into making the channel. */
  dt_status status = dt_comm_agree(&comm->base, place_received(m, options));
  if (status == DT_OK) status = dt_async_start(&m->base, comm, options, exchange > spread ? exchange : spread);
  if (status != DT_OK) dt_async_destroy(&base);
  *out = base;
  return status;
}
