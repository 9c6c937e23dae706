/* Which reducer gradients in device memory get, and the one of a world of one.
 *
 * alone    one rank: its own roots are folded into partial sum 0.
 * nccl     ranks with a GPU each: nccl_reducer.c. One rank too where it is asked for by name, so that a machine with a single
 * GPU can check it. staged   through host memory and the communicator's own reducer: staged.c. It lets several ranks share one
 * GPU. */
#include "gpu/reducer.h"

#include <stdlib.h>

#include "core/config/spec.h"

dt_status dt_gpu_reducer_start(dt_gpu_reducer *reducer, const dt_reducer_ops *ops, bool records, dt_device *device,
                               dt_comm *comm, const dt_reducer_options *options) {
  reducer->base.ops = ops;
  reducer->base.records = records;
  reducer->device = device;
  reducer->comm = comm;
  reducer->options = *options;
  DT_REQUIRE(options->dtype == DT_F32, DT_INTERNAL, "gradients on a gpu are F32, found %s", dt_dtype_name(options->dtype));
  DT_REQUIRE(options->tree->size == comm->size, DT_INTERNAL, "a tree for %d ranks in a world of %d", options->tree->size,
             comm->size);
  return DT_OK;
}

size_t dt_gpu_reducer_block(const dt_reducer_options *options) {
  return (size_t)options->tree->partials_max * (size_t)options->partial_elements * sizeof(float);
}

dt_status dt_gpu_reducer_alloc(dt_gpu_reducer *reducer) {
  return reducer->device->ops->alloc(reducer->device, dt_gpu_reducer_block(&reducer->options), &reducer->base.gradient);
}

void dt_gpu_reducer_free(dt_gpu_reducer *reducer) {
  reducer->device->ops->free(reducer->device, reducer->base.gradient);
  free(reducer);
}

/* --- alone --- */

typedef struct alone_reducer {
  dt_gpu_reducer gpu;
  dt_gpu_rounds rounds;
  float **source; /* scratch: [root_count] */
} alone_reducer;

static dt_status alone_begin(dt_reducer *reducer, int bucket) {
  alone_reducer *r = (alone_reducer *)reducer;
  const dt_tree *tree = r->gpu.options.tree;
  const dt_bucket *b = &r->gpu.options.bucket[bucket];
  for (int i = 0; i < tree->root_count; i++) r->source[i] = dt_gpu_gradient(&r->gpu, tree->roots[i].partial, b->first);
  return dt_gpu_rounds_fold(&r->rounds, r->source, b->count, dt_gpu_gradient(&r->gpu, 0, b->first),
                            dt_gpu_comm_stream(&r->gpu));
}

static dt_status alone_end(dt_reducer *reducer, int bucket) {
  return DT_OK;
}

static void alone_destroy(dt_reducer **reducer) {
  alone_reducer *r = (alone_reducer *)*reducer;
  if (r == NULL) return;
  free(r->source);
  dt_gpu_rounds_release(&r->rounds);
  dt_gpu_reducer_free(&r->gpu);
  *reducer = NULL;
}

static const dt_reducer_ops alone_ops = {.begin = alone_begin, .end = alone_end, .destroy = alone_destroy};

static dt_status alone_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  alone_reducer *r = NULL;
  const dt_tree *tree = options->tree;
  dt_status status = DT_OK;
  DT_TRY(dt_alloc(1, sizeof *r, &r));
  *out = &r->gpu.base;
  DT_TRY_GOTO(fail, dt_gpu_reducer_start(&r->gpu, &alone_ops, true, device, comm, options));
  DT_TRY_GOTO(fail, dt_gpu_reducer_alloc(&r->gpu));
  DT_TRY_GOTO(fail, dt_alloc((size_t)tree->root_count, sizeof *r->source, &r->source));
  DT_TRY_GOTO(fail, dt_gpu_rounds_create(tree->fold, tree->fold_count, tree->root_count, &r->rounds));
  r->gpu.base.idle = tree->root_count == 1 && tree->roots[0].partial == 0;
  return DT_OK;
fail:
  alone_destroy(out);
  return status;
}

/* --- the choice --- */

/* shared and messages are ways through host memory, which gradients of a GPU reach by staging. */
bool dt_gpu_reduces_over_nccl(const dt_reducer_options *options) {
  return options->transport == DT_TRANSPORT_NCCL || (options->transport == DT_TRANSPORT_AUTO && options->tree->size > 1);
}

dt_status dt_gpu_reducer_create(dt_device *device, dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  *out = NULL;
  if (dt_gpu_reduces_over_nccl(options)) return dt_nccl_reducer_create(device, comm, options, out);
  return (options->tree->size == 1 ? alone_create : dt_staged_reducer_create)(device, comm, options, out);
}

size_t dt_gpu_reducer_bytes(const dt_device *device, const dt_reducer_options *options) {
  return dt_gpu_reduces_over_nccl(options) ? dt_nccl_reducer_bytes(options) : 0;
}
