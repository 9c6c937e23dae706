/* The reducer over NCCL. Everything is enqueued on the comm stream by begin, so that a step with it can be recorded.
 *
 * ordered: a bucket is cut into one slice a rank. Every rank sends its roots' slices to the slices' ranks; a rank adds its
 * slice of all roots in the tree's order into its partial sum 0; the sums are gathered by everyone. The order of additions is
 * the tree's, so the bits are those of one rank alone, and of the cpu's ordered reducers. With one root a rank the bytes are
 * those of a ring.
 *
 * A rank alone is its own peer: it sends its roots to itself, and adds what it has received. So every call is made as it is
 * among several, with the bits of a rank that calls nobody.
 *
 * fast: a rank adds up its own roots, and NCCL's all-reduce does the rest in whatever order it likes.
 *
 * Received slices share one place for all buckets: the stream ends one bucket before it begins the next.
 *
 * Among several ranks the gradient block and that place are one piece of memory that NCCL has allocated and the communicator is
 * told of: other GPUs can then read and write it where it lies, without NCCL's buffers in between. Where NCCL refuses, all goes
 * on through those, with the same bits, and a line says so. */
#include <stdlib.h>
#include <string.h>

#include "core/config/spec.h"
#include "gpu/nccl.h"
#include "gpu/reducer.h"

enum { SLICE_ALIGN = 16 }; /* elements: slices begin at a multiple of 64 bytes, as buckets do */

typedef struct nccl_reducer {
  dt_gpu_reducer gpu;
  dt_nccl *nccl;
  dt_gpu_rounds rounds; /* ordered: over all roots; fast: over this rank's */
  float
      *received;  /* ordered: slices of the roots that are received, in shard order; device memory. NULL where there are none */
  float **source; /* scratch: [root_count_all] */
  void *memory;   /* NCCL's, with the gradient block and what is received; NULL: both are the device's */
  char library[24], note[160];
} nccl_reducer;

/* --- slices --- */

typedef struct slice {
  int64_t first, count; /* elements of the gradient block */
} slice;

/* Elements of the largest slice of a bucket. */
static int64_t slice_length(const dt_bucket *bucket, int size) {
  int64_t each = (bucket->count + size - 1) / size;
  return (each + SLICE_ALIGN - 1) / SLICE_ALIGN * SLICE_ALIGN;
}

/* The slice that a rank sums; the last ones may be short or empty. */
static slice slice_of(const dt_bucket *bucket, int size, int rank) {
  int64_t length = slice_length(bucket, size), begin = rank * length, end = begin + length;
  if (begin > bucket->count) begin = bucket->count;
  if (end > bucket->count) end = bucket->count;
  return (slice){.first = bucket->first + begin, .count = end - begin};
}

/* --- ordered --- */

static dt_status send(nccl_reducer *r, const float *from, int64_t count, int peer) {
  if (count > 0) {
    DT_NCCL(r->nccl, ncclSend(from, (size_t)count, ncclFloat, peer, dt_nccl_comm(r->nccl), dt_gpu_comm_stream(&r->gpu)));
  }
  return DT_OK;
}

static dt_status receive(nccl_reducer *r, float *into, int64_t count, int peer) {
  if (count > 0) {
    DT_NCCL(r->nccl, ncclRecv(into, (size_t)count, ncclFloat, peer, dt_nccl_comm(r->nccl), dt_gpu_comm_stream(&r->gpu)));
  }
  return DT_OK;
}

/* Whether this rank's own roots come to it by NCCL. */
static bool is_own_peer(const dt_tree *tree) {
  return tree->size == 1;
}

static bool is_received(const dt_tree *tree, int root) {
  return is_own_peer(tree) || tree->roots[root].rank != tree->rank;
}

/* Where every root's part of this rank's slice stands once the exchange is over. */
static void find_sources(nccl_reducer *r, slice own) {
  const dt_tree *tree = r->gpu.options.tree;
  float *place = r->received;
  for (int i = 0; i < tree->root_count_all; i++) {
    bool comes = is_received(tree, i);
    r->source[i] = comes ? place : dt_gpu_gradient(&r->gpu, tree->roots[i].partial, own.first);
    if (comes) place += own.count;
  }
}

/* Messages between two ranks arrive in the order in which they were sent, which keeps a rank's roots apart. */
static dt_status exchange_roots(nccl_reducer *r, const dt_bucket *bucket, slice own) {
  const dt_tree *tree = r->gpu.options.tree;
  DT_NCCL(r->nccl, ncclGroupStart());
  for (int step = is_own_peer(tree) ? 0 : 1; step < tree->size; step++) {
    int peer = (tree->rank + step) % tree->size;
    slice theirs = slice_of(bucket, tree->size, peer);
    for (int i = tree->root_first; i < tree->root_first + tree->root_count; i++) {
      DT_TRY(send(r, dt_gpu_gradient(&r->gpu, tree->roots[i].partial, theirs.first), theirs.count, peer));
    }
  }
  for (int i = 0; i < tree->root_count_all; i++) {
    if (is_received(tree, i)) DT_TRY(receive(r, r->source[i], own.count, tree->roots[i].rank));
  }
  DT_NCCL(r->nccl, ncclGroupEnd());
  return dt_nccl_drain(r->nccl, "the exchange of gradients");
}

/* Slices of equal length, and the only one of a rank alone, are gathered in place; of others, everyone sends his to everyone.
 */
static dt_status gather_sums(nccl_reducer *r, const dt_bucket *bucket, slice own) {
  const dt_tree *tree = r->gpu.options.tree;
  int size = tree->size, rank = tree->rank;
  float *sum = dt_gpu_gradient(&r->gpu, 0, own.first);
  /* The same answer on every rank, also where a short slice could pass for an equal share. */
  if (is_own_peer(tree) || slice_length(bucket, size) * size == bucket->count) {
    DT_NCCL(r->nccl, ncclAllGather(sum, dt_gpu_gradient(&r->gpu, 0, bucket->first), (size_t)own.count, ncclFloat,
                                   dt_nccl_comm(r->nccl), dt_gpu_comm_stream(&r->gpu)));
    return dt_nccl_drain(r->nccl, "the gathering of gradients");
  }
  DT_NCCL(r->nccl, ncclGroupStart());
  for (int step = 1; step < size; step++) {
    int to = (rank + step) % size, from = (rank - step + size) % size;
    slice theirs = slice_of(bucket, size, from);
    DT_TRY(send(r, sum, own.count, to));
    DT_TRY(receive(r, dt_gpu_gradient(&r->gpu, 0, theirs.first), theirs.count, from));
  }
  DT_NCCL(r->nccl, ncclGroupEnd());
  return dt_nccl_drain(r->nccl, "the gathering of gradients");
}

static dt_status begin_ordered(dt_reducer *reducer, int bucket) {
  nccl_reducer *r = (nccl_reducer *)reducer;
  const dt_tree *tree = r->gpu.options.tree;
  const dt_bucket *b = &r->gpu.options.bucket[bucket];
  slice own = slice_of(b, tree->size, tree->rank);
  if (b->count == 0) return DT_OK;
  find_sources(r, own);
  DT_TRY(exchange_roots(r, b, own));
  DT_TRY(dt_gpu_rounds_fold(&r->rounds, r->source, own.count, dt_gpu_gradient(&r->gpu, 0, own.first),
                            dt_gpu_comm_stream(&r->gpu)));
  return gather_sums(r, b, own);
}

/* --- fast --- */

/* Leaves the sum of this rank's roots in partial sum 0; a rank without shards gives zeros. */
static dt_status sum_own_roots(nccl_reducer *r, const dt_bucket *b) {
  const dt_tree *tree = r->gpu.options.tree;
  float *sum = dt_gpu_gradient(&r->gpu, 0, b->first);
  if (tree->root_count == 0) {
    DT_CUDA(cudaMemsetAsync(sum, 0, (size_t)b->count * sizeof(float), dt_gpu_comm_stream(&r->gpu)));
    return DT_OK;
  }
  for (int i = 0; i < tree->root_count; i++) {
    r->source[i] = dt_gpu_gradient(&r->gpu, tree->roots[tree->root_first + i].partial, b->first);
  }
  return dt_gpu_rounds_fold(&r->rounds, r->source, b->count, sum, dt_gpu_comm_stream(&r->gpu));
}

static dt_status begin_fast(dt_reducer *reducer, int bucket) {
  nccl_reducer *r = (nccl_reducer *)reducer;
  const dt_bucket *b = &r->gpu.options.bucket[bucket];
  float *sum = dt_gpu_gradient(&r->gpu, 0, b->first);
  if (b->count == 0) return DT_OK;
  DT_TRY(sum_own_roots(r, b));
  DT_NCCL(r->nccl,
          ncclAllReduce(sum, sum, (size_t)b->count, ncclFloat, ncclSum, dt_nccl_comm(r->nccl), dt_gpu_comm_stream(&r->gpu)));
  return dt_nccl_drain(r->nccl, "the sum of gradients");
}

/* --- both --- */

static dt_status nccl_end(dt_reducer *reducer, int bucket) {
  return DT_OK;
}

static dt_status nccl_poll(dt_reducer *reducer, double waited_seconds) {
  return dt_nccl_poll(((nccl_reducer *)reducer)->nccl, waited_seconds);
}

/* Memory that a communicator which has not ended may still write stays allocated, and freeing it could wait for ever. */
static void nccl_destroy(dt_reducer **reducer) {
  nccl_reducer *r = (nccl_reducer *)*reducer;
  if (r == NULL) return;
  *reducer = NULL;
  if (!dt_nccl_close(&r->nccl)) return;
  if (r->memory != NULL) {
    if (!dt_device_is_stuck(r->gpu.device)) dt_nccl_free(r->memory);
    r->gpu.base.gradient = NULL;
  } else {
    r->gpu.device->ops->free(r->gpu.device, r->received);
  }
  free(r->source);
  dt_gpu_rounds_release(&r->rounds);
  dt_gpu_reducer_free(&r->gpu);
}

static const dt_reducer_ops ordered_ops = {.begin = begin_ordered, .end = nccl_end, .destroy = nccl_destroy, .poll = nccl_poll};
static const dt_reducer_ops fast_ops = {.begin = begin_fast, .end = nccl_end, .destroy = nccl_destroy, .poll = nccl_poll};

/* Roots that are not sent to their own rank, of the rank that has the fewest: it receives the most. */
static int fewest_kept(const dt_tree *tree) {
  int fewest = is_own_peer(tree) || tree->size > tree->shards ? 0 : tree->root_count_all;
  for (int i = 0, first = 0; i < tree->root_count_all; i++) {
    if (i + 1 < tree->root_count_all && tree->roots[i + 1].rank == tree->roots[first].rank) continue;
    if (i + 1 - first < fewest) fewest = i + 1 - first;
    first = i + 1;
  }
  return fewest;
}

/* For the rank that receives the most: what one rank says of its memory holds for all. */
size_t dt_nccl_reducer_bytes(const dt_reducer_options *o) {
  int64_t longest = 0;
  if (o->mode == DT_REDUCE_FAST) return 0;
  for (int b = 0; b < o->bucket_count; b++) {
    int64_t length = slice_length(&o->bucket[b], o->tree->size);
    if (length > longest) longest = length;
  }
  return (size_t)(o->tree->root_count_all - fewest_kept(o->tree)) * (size_t)longest * sizeof(float);
}

static size_t memory_bytes(const nccl_reducer *r) {
  return dt_gpu_reducer_block(&r->gpu.options) + dt_nccl_reducer_bytes(&r->gpu.options);
}

/* Partial sums end where a slice may begin. */
static dt_status alloc_memory(nccl_reducer *r) {
  const size_t block = dt_gpu_reducer_block(&r->gpu.options), received = dt_nccl_reducer_bytes(&r->gpu.options);
  dt_device *device = r->gpu.device;
  if (!is_own_peer(r->gpu.options.tree)) DT_TRY(dt_nccl_alloc((dt_gpu *)device, memory_bytes(r), &r->memory));
  if (r->memory != NULL) {
    r->gpu.base.gradient = r->memory;
    r->received = received > 0 ? (float *)((char *)r->memory + block) : NULL;
    return DT_OK;
  }
  DT_TRY(dt_gpu_reducer_alloc(&r->gpu));
  return received > 0 ? device->ops->alloc(device, received, (void **)&r->received) : DT_OK;
}

/* A rank alone sends to itself, which is for tests. */
static dt_status tell_communicator(nccl_reducer *r) {
  const char *refused = "ncclMemAlloc";
  if (is_own_peer(r->gpu.options.tree)) return DT_OK;
  if (r->memory != NULL) DT_TRY(dt_nccl_register(r->nccl, r->memory, memory_bytes(r), &refused));
  if (refused == NULL) return DT_OK;
  snprintf(r->note, sizeof r->note, "gradients go through buffers of NCCL's own: it refuses to register them (%s)", refused);
  r->gpu.base.note = r->note;
  return DT_OK;
}

/* fast: from the youngest root to the oldest, as the host's reducer adds them. */
static dt_status cut_own_roots(nccl_reducer *r) {
  const dt_tree *tree = r->gpu.options.tree;
  dt_merge *chain = NULL;
  DT_TRY(dt_alloc((size_t)tree->root_count, sizeof *chain, &chain));
  int count = 0;
  for (int i = tree->root_count - 1; i > 0; i--) chain[count++] = (dt_merge){.into = i - 1, .from = i};
  dt_status status = dt_gpu_rounds_create(chain, count, tree->root_count, &r->rounds);
  free(chain);
  return status;
}

/* What a rank does for itself. */
static dt_status start(dt_device *device, dt_comm *comm, const dt_reducer_options *options, nccl_reducer **out) {
  const dt_tree *tree = options->tree;
  bool fast = options->mode == DT_REDUCE_FAST;
  DT_TRY(dt_alloc(1, sizeof **out, out));
  nccl_reducer *r = *out;
  DT_TRY(dt_gpu_reducer_start(&r->gpu, fast ? &fast_ops : &ordered_ops, true, device, comm, options));
  DT_TRY(alloc_memory(r));
  DT_TRY(dt_alloc((size_t)tree->root_count_all, sizeof *r->source, &r->source));
  if (fast) return cut_own_roots(r);
  return dt_gpu_rounds_create(tree->fold, tree->fold_count, tree->root_count_all, &r->rounds);
}

dt_status dt_nccl_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  nccl_reducer *r = NULL;
  /* When one rank has no memory, none may go into making the communicator. */
  dt_status status = dt_comm_agree(comm, start(device, comm, options, &r));
  if (status == DT_OK) status = dt_nccl_open((dt_gpu *)device, comm, &r->nccl);
  if (r != NULL) *out = &r->gpu.base;
  if (status == DT_OK) status = dt_comm_agree(comm, tell_communicator(r));
  if (status == DT_OK) {
    dt_nccl_print_version(r->nccl, r->library, sizeof r->library);
    r->gpu.base.library = r->library;
  }
  if (status != DT_OK) nccl_destroy(out);
  return status;
}
