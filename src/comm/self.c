/* A world of one. Its collectives have nothing to do; its reducer sums this rank's roots, when the tree left several. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/cores.h"
#include "comm/internal.h"

typedef struct self_reducer {
  dt_reducer base;
  dt_comm *comm;
  dt_reducer_options options; /* bucket and tree are borrowed */
  void **source;              /* scratch: [root_count] */
} self_reducer;

static dt_status self_allreduce_i64(dt_comm *comm, int64_t *value, int count, dt_reduce_op op) {
  dt_comm_mark(comm, DT_COLLECTIVE_ALLREDUCE, DT_I64, (uint64_t)count);
  return DT_OK;
}

static dt_status self_bcast(dt_comm *comm, void *data, size_t bytes, int root) {
  dt_comm_mark(comm, DT_COLLECTIVE_BCAST, DT_U8, bytes);
  return DT_OK;
}

static dt_status self_gather(dt_comm *comm, const void *data, size_t bytes, void *out, int root) {
  dt_comm_mark(comm, DT_COLLECTIVE_GATHER, DT_U8, bytes);
  memcpy(out, data, bytes);
  return DT_OK;
}

static dt_status self_barrier(dt_comm *comm) {
  dt_comm_mark(comm, DT_COLLECTIVE_BARRIER, DT_U8, 0);
  return DT_OK;
}

static dt_status reducer_begin(dt_reducer *reducer, int bucket) {
  self_reducer *r = (self_reducer *)reducer;
  const dt_reducer_options *o = &r->options;
  const dt_bucket *b = &o->bucket[bucket];
  size_t element = dt_dtype_bytes(o->dtype);
  dt_comm_mark(r->comm, DT_COLLECTIVE_REDUCE_BEGIN, o->dtype, (uint64_t)b->count);
  for (int i = 0; i < o->tree->root_count; i++) {
    r->source[i] = (char *)r->base.gradient + (size_t)(o->tree->roots[i].partial * o->partial_elements + b->first) * element;
  }
  void *out = (char *)r->base.gradient + (size_t)b->first * element;
  dt_fold_to_all(o->dtype, o->tree->fold, o->tree->fold_count, r->source, o->tree->root_count, b->count, &out, 1);
  return DT_OK;
}

static dt_status reducer_end(dt_reducer *reducer, int bucket) {
  self_reducer *r = (self_reducer *)reducer;
  dt_comm_mark(r->comm, DT_COLLECTIVE_REDUCE_END, r->options.dtype, (uint64_t)r->options.bucket[bucket].count);
  return DT_OK;
}

static void reducer_destroy(dt_reducer **reducer) {
  self_reducer *r = (self_reducer *)*reducer;
  if (r == NULL) return;
  free(r->source);
  free(r->base.gradient);
  free(r);
  *reducer = NULL;
}

static const dt_reducer_ops reducer_ops = {
    .begin = reducer_begin,
    .end = reducer_end,
    .destroy = reducer_destroy,
};

static dt_status self_reducer_create(dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  dt_status status = DT_OK;
  dt_reducer *base = NULL;
  self_reducer *r = NULL;
  const dt_tree *tree = options->tree;
  dt_comm_mark(comm, DT_COLLECTIVE_REDUCER_CREATE, options->dtype, (uint64_t)options->partial_elements);
  DT_REQUIRE(tree->size == 1, DT_INTERNAL, "a tree for %d ranks in a world of one", tree->size);
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  base = &r->base;
  base->ops = &reducer_ops;
  r->comm = comm;
  r->options = *options;
  DT_TRY_GOTO(fail, dt_alloc((size_t)tree->root_count, sizeof *r->source, &r->source));
  DT_TRY_GOTO(fail, dt_block_alloc(dt_gradient_bytes(options), &base->gradient));
  *out = base;
  return DT_OK;
fail:
  reducer_destroy(&base);
  return status;
}

static void self_abort(dt_comm *comm, int exit_code) {
  fflush(NULL);
  _Exit(exit_code);
}

static void self_destroy(dt_comm **comm) {
  if (*comm == NULL) return;
  free(*comm);
  *comm = NULL;
}

static void self_end(dt_comm **comm, int exit_code) {
  self_destroy(comm);
}

static const dt_comm_ops self_ops = {
    .name = "self",
    .allreduce_i64 = self_allreduce_i64,
    .bcast = self_bcast,
    .gather = self_gather,
    .barrier = self_barrier,
    .reducer_create = self_reducer_create,
    .abort = self_abort,
    .end = self_end,
    .destroy = self_destroy,
};

dt_status dt_comm_self_create(dt_comm **out) {
  dt_comm *comm = NULL;
  DT_TRY(dt_alloc(1, sizeof *comm, &comm));
  comm->ops = &self_ops;
  comm->size = comm->local_size = 1;
  comm->cores = dt_cores_available();
  *out = comm;
  return DT_OK;
}
