/* reduce: fast. A rank adds up its own roots, and MPI's all-reduce does the rest in whatever order it likes: equal bits on all
 * ranks of a run, other bits for other rank counts. */
#include "comm/async.h"

#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 17 }; /* elements of one call: MPI's own schedules do not cut long buckets, and crawl through them */

/* Adds this rank's roots, from the youngest to the oldest, which leaves the sum in partial sum 0; a rank without shards gives
 * zeros.
 */
static void sum_own_roots(async_reducer *r, const dt_bucket *b) {
  const dt_tree *tree = r->options.tree;
  const dt_root *root = tree->roots + tree->root_first;
  if (tree->root_count == 0) memset(dt_async_element(r, 0, b->first), 0, (size_t)b->count * dt_dtype_bytes(r->options.dtype));
  for (int i = tree->root_count - 1; i > 0; i--) {
    static const dt_merge pair = {.into = 0, .from = 1};
    void *source[2] = {dt_async_element(r, root[i - 1].partial, b->first), dt_async_element(r, root[i].partial, b->first)};
    dt_fold_to_all(r->options.dtype, &pair, 1, source, 2, b->count, source, 1);
  }
}

static dt_status fast_enter(async_reducer *r, int bucket, int phase, MPI_Request *request, int *count) {
  const dt_bucket *b = &r->options.bucket[bucket];
  sum_own_roots(r, b);
  for (int64_t at = 0; at < b->count; at += PIECE) {
    int here = (int)(b->count - at < PIECE ? b->count - at : PIECE);
    DT_MPI(MPI_Iallreduce(MPI_IN_PLACE, dt_async_element(r, 0, b->first + at), here, dt_async_type(r), MPI_SUM, r->channel,
                          &request[(*count)++]));
  }
  return DT_OK;
}

dt_status dt_fast_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  async_reducer *r = NULL;
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  r->phases = 1;
  r->enter = fast_enter;
  dt_reducer *base = &r->base;
  int pieces = 1;
  for (int b = 0; b < options->bucket_count; b++) {
    int here = (int)((options->bucket[b].count + PIECE - 1) / PIECE);
    if (here > pieces) pieces = here;
  }
  dt_status status = dt_async_start(r, comm, options, pieces);
  if (status != DT_OK) dt_async_destroy(&base);
  *out = base;
  return status;
}
