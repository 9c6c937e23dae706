/* The gpu device: its kernels, what it fuses, and its memory. */
#include "gpu/device.h"

#include <stdlib.h>

#include "gpu/await.h"
#include "gpu/bound.h"
#include "gpu/guard.h"
#include "gpu/staging.h"
#include "gpu/switches.h"
#include "gpu/value.h"

/* --- tables --- */

static dt_kernel *const kernels[DT_OP_COUNT] = {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) DT_WHERE_##gpu([DT_OP_##OP] = dt_gpu_##name, )
#include "core/program/ops.def"
#undef DT_OP
};

static dt_status guarded_kernel(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  DT_TRY(dt_gpu_guard_begin(run, instr));
  DT_TRY(kernels[instr->op](run, instr, micro));
  return dt_gpu_guard_end(run, instr);
}

static dt_gpu_work *const work[DT_OP_COUNT] = {
    [DT_OP_CONV_FWD] = dt_gpu_library_work,
    [DT_OP_CONV_DGRAD] = dt_gpu_library_work,
    [DT_OP_CONV_WGRAD] = dt_gpu_library_work,
    [DT_OP_LINEAR_FWD] = dt_gpu_library_work,
    [DT_OP_LINEAR_DGRAD] = dt_gpu_library_work,
    [DT_OP_LINEAR_WGRAD] = dt_gpu_library_work,
    [DT_OP_BIAS_WGRAD] = dt_gpu_bias_wgrad_work,
    [DT_OP_BN_FWD] = dt_gpu_bn_work,
    [DT_OP_BN_BWD] = dt_gpu_bn_work,
    [DT_OP_LN_BWD] = dt_gpu_ln_work,
    [DT_OP_PENALTY] = dt_gpu_penalty_work,
    [DT_OP_ACTIVITY_KL] = dt_gpu_activity_kl_work,
    [DT_OP_GRAD_NORM] = dt_gpu_grad_norm_work,
    [DT_OP_ASCEND] = dt_gpu_grad_norm_work,
    [DT_OP_ORTHOGONALISE] = dt_gpu_orthogonalise_work,
};

#define FUSES(name) (1u << DT_FUSE_##name)
static const unsigned fusions[DT_OP_COUNT] = {
    [DT_OP_CONV_FWD] = FUSES(FORWARD_ACT),
    [DT_OP_LINEAR_FWD] = FUSES(FORWARD_ACT),
    [DT_OP_ADD_BIAS] = FUSES(FORWARD_ACT),
    [DT_OP_POOL_BWD] = FUSES(BACKWARD_ADD) | FUSES(BACKWARD_MASK),
    [DT_OP_ACT_BWD] = FUSES(BACKWARD_ADD),
    [DT_OP_BN_FWD] = FUSES(FORWARD_ACT) | FUSES(FORWARD_ADD),
    [DT_OP_BN_EVAL] = FUSES(FORWARD_ACT) | FUSES(FORWARD_ADD),
    [DT_OP_BN_BWD] = FUSES(BACKWARD_MASK) | FUSES(MASK_BITS),
    [DT_OP_DROPOUT_BWD] = FUSES(BACKWARD_ADD) | FUSES(BACKWARD_MASK),
    [DT_OP_ADD] = FUSES(FORWARD_ACT) | FUSES(BACKWARD_ADD) | FUSES(BACKWARD_MASK) | FUSES(MASK_BITS),
    [DT_OP_SLICE] = FUSES(BACKWARD_ADD) | FUSES(BACKWARD_MASK),
};

static bool gpu_fuses(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  if (fusion == DT_FUSE_MASK_BITS && !dt_gpu_does(DT_GPU_DOES_mask_bits)) return false;
  return fusions[into->op] >> fusion & 1;
}

/* --- sizes --- */

size_t dt_gpu_filled_bytes(const dt_gpu *gpu, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity, int shards) {
  const size_t pack = 16 / dt_gpu_type_bytes(gpu->type);
  size_t count = (size_t)dt_shape_count(shape) * (size_t)shards;
  switch (kind) {
    case DT_BUF_VALUE:
      return count * (size_t)shard_capacity * dt_gpu_type_bytes(gpu->type);
    case DT_BUF_TERMS:
      return count * (size_t)shard_capacity * sizeof(float);
    case DT_BUF_INDEX:
      return count * (size_t)shard_capacity;
    case DT_BUF_BITS: /* a byte for each pack, where channels are whole packs */
      if ((size_t)dt_shape_channels(shape) % pack != 0) return 0;
      return count / pack * (size_t)shard_capacity;
    default:
      return count * sizeof(float);
  }
}

static size_t gpu_buffer_bytes(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity,
                               int shards) {
  return dt_gpu_guarded(dt_gpu_round_up(dt_gpu_filled_bytes((const dt_gpu *)device, kind, shape, shard_capacity, shards)));
}

static dt_status gpu_work_bytes(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out) {
  *out = 0;
  if (work[instr->op] == NULL) return DT_OK;
  DT_TRY(work[instr->op]((const dt_gpu *)device, program, instr, out));
  *out = dt_gpu_guarded(dt_gpu_round_up(*out));
  return DT_OK;
}

/* --- memory --- */

static dt_gpu *gpu_of(dt_device *device) {
  return (dt_gpu *)device;
}

static cudaStream_t compute_of(dt_device *device) {
  return gpu_of(device)->stream[DT_STREAM_COMPUTE];
}

static dt_status gpu_memory(dt_device *device, size_t *free_bytes, size_t *total_bytes) {
  const dt_gpu *gpu = gpu_of(device);
  *free_bytes = *total_bytes = gpu->model_memory;
  if (gpu->index >= 0) DT_CUDA(cudaMemGetInfo(free_bytes, total_bytes));
  return DT_OK;
}

/* Out of memory is no error yet; *out is NULL then. */
static dt_status try_alloc(size_t bytes, void **out) {
  cudaError_t code = cudaMalloc(out, bytes > 0 ? bytes : 1);
  if (code != cudaErrorMemoryAllocation) return dt_gpu_check(code, "cudaMalloc", __FILE__, __LINE__);
  cudaGetLastError(); /* it would come back from the next call that looks */
  *out = NULL;
  return DT_OK;
}

static dt_status gpu_alloc(dt_device *device, size_t bytes, void **out) {
  size_t room = 0, all = 0;
  *out = NULL;
  DT_REQUIRE(gpu_of(device)->index >= 0, DT_ENVIRONMENT, "%s is a plan without a GPU: nothing can be computed on it",
             gpu_of(device)->title);
  DT_TRY(try_alloc(bytes, out));
  if (*out == NULL) {
    DT_TRY(gpu_memory(device, &room, &all));
    DT_RAISE(DT_MEMORY, "could not allocate %zu bytes of GPU memory; %zu of %zu are free", bytes, room, all);
  }
  DT_CUDA(cudaMemsetAsync(*out, 0, bytes, compute_of(device)));
  return dt_gpu_await_stream(gpu_of(device), compute_of(device), "clearing memory");
}

static size_t gpu_block_bytes(size_t bytes) {
  return bytes;
}

/* cudaFree waits for the device. */
static void gpu_free(dt_device *device, void *memory) {
  if (!dt_device_is_stuck(device)) cudaFree(memory);
}

static dt_status gpu_upload(dt_device *device, void *to, const void *from, size_t bytes) {
  DT_TRY(dt_gpu_await_stream(gpu_of(device), compute_of(device), "what comes before a copy"));
  DT_TRY(dt_gpu_send(gpu_of(device), compute_of(device), to, from, bytes, "a copy"));
  return dt_gpu_await_stream(gpu_of(device), compute_of(device), "a copy");
}

static dt_status gpu_download(dt_device *device, void *to, const void *from, size_t bytes) {
  DT_TRY(dt_gpu_await_stream(gpu_of(device), compute_of(device), "what comes before a copy"));
  return dt_gpu_fetch(gpu_of(device), compute_of(device), to, from, bytes, "a copy");
}

static dt_status gpu_clear(dt_device *device, void *memory, size_t bytes) {
  DT_CUDA(cudaMemsetAsync(memory, 0, bytes, compute_of(device)));
  return DT_OK;
}

static dt_status gpu_sync(dt_device *device) {
  for (int s = 0; s < DT_STREAMS; s++) DT_TRY(dt_gpu_await_stream(gpu_of(device), gpu_of(device)->stream[s], "its work"));
  return DT_OK;
}

/* The sum has had its place since parameters were bound: in mid-run a full GPU may have no 8 bytes left. */
static dt_status gpu_hash(dt_device *device, const void *memory, size_t bytes, uint64_t *out) {
  unsigned long long sum = 0, *place = gpu_of(device)->hash;
  _Static_assert(sizeof sum == DT_GPU_HASH_BYTES, "the plan knows of it");
  DT_ASSERT(place != NULL);
  DT_CUDA(cudaMemsetAsync(place, 0, sizeof sum, compute_of(device)));
  DT_TRY(dt_gpu_hash_words(memory, (int64_t)(bytes / 4), place, compute_of(device)));
  DT_TRY(gpu_download(device, &sum, place, sizeof sum));
  *out = sum;
  return DT_OK;
}

static dt_status gpu_exchange(dt_device *device, void *a, void *b, size_t bytes) {
  return dt_gpu_exchange(a, b, bytes, compute_of(device));
}

/* --- data sets --- */

/* What is left free beside a data set: for libraries, recordings, batches of other data sets. */
static size_t spare_bytes(size_t total) {
  return total / 32;
}

static void gpu_release(dt_device *device, void *cached) {
  dt_gpu_cached *h = cached;
  if (h == NULL) return;
  for (int f = 0; f < DT_FIELDS_MAX; f++) gpu_free(device, h->memory[f]);
  free(h);
}

static size_t field_bytes(const dt_samples *samples, int field) {
  return samples->values[field] != NULL ? (size_t)samples->count * samples->sample_bytes[field] : 0;
}

/* *out_fits is false where there is no memory for one of the fields. */
static dt_status copy_fields(dt_device *device, const dt_samples *samples, dt_gpu_cached *cached, bool *out_fits) {
  *out_fits = true;
  for (int f = 0; f < DT_FIELDS_MAX && *out_fits; f++) {
    if (samples->values[f] == NULL) continue;
    DT_TRY(try_alloc(field_bytes(samples, f), &cached->memory[f]));
    *out_fits = cached->memory[f] != NULL;
    if (*out_fits) DT_TRY(gpu_upload(device, cached->memory[f], samples->values[f], field_bytes(samples, f)));
  }
  return DT_OK;
}

static dt_status gpu_cache(dt_device *device, const dt_samples *samples, size_t reserve, void **out) {
  size_t room, all, bytes = 0;
  bool fits;
  dt_gpu_cached *cached = NULL;
  *out = NULL;
  DT_TRY(gpu_memory(device, &room, &all));
  for (int f = 0; f < DT_FIELDS_MAX; f++) bytes += field_bytes(samples, f);
  if (bytes == 0 || bytes + reserve + spare_bytes(all) > room) return DT_OK;
  DT_TRY(dt_alloc(1, sizeof *cached, &cached));
  dt_status status = copy_fields(device, samples, cached, &fits);
  if (status == DT_OK && fits) {
    *out = cached;
    return DT_OK;
  }
  gpu_release(device, cached);
  return status;
}

/* --- the device --- */

/* Libraries too may wait for the device when they are closed. */
static void gpu_destroy(dt_device **device) {
  dt_gpu *gpu = gpu_of(*device);
  *device = NULL;
  if (gpu == NULL || dt_device_is_stuck(&gpu->base)) return;
  dt_gpu_libraries_close(gpu);
  dt_gpu_staging_close(gpu);
  cudaFree(gpu->hash);
  for (int s = 0; s < DT_STREAMS; s++) {
    if (gpu->stream[s] != NULL) cudaStreamDestroy(gpu->stream[s]);
  }
  free(gpu);
}

static const dt_stream_ops stream_ops = {
    .bind = dt_gpu_bind,
    .unbind = dt_gpu_unbind,
    .bound_bytes = dt_gpu_bound_bytes,
    .refresh = dt_gpu_refresh,
    .ask = dt_gpu_ask,
    .stage = dt_gpu_stage,
    .begin = dt_gpu_begin,
    .end = dt_gpu_end,
    .wait = dt_gpu_wait,
    .record = dt_gpu_record,
    .outcome = dt_gpu_result,
    .take_score = dt_gpu_take_score,
};

static const dt_own_memory_ops own_memory_ops = {
    .reducer_create = dt_gpu_reducer_create,
    .reducer_bytes = dt_gpu_reducer_bytes,
    .cache_data = gpu_cache,
    .release_data = gpu_release,
    .hash = gpu_hash,
    .exchange = gpu_exchange,
};

static const dt_library_ops library_ops = {
    .print_plans = dt_gpu_print_plans,
    .print_plan_table = dt_gpu_print_plan_table,
    .time_plans = dt_gpu_time_plans,
    .warning = dt_gpu_warning,
    .library_bytes = dt_gpu_library_bytes,
};

/* A bucket is two exchanges and a sum, each of which takes some 10 us however little is in it; at the 370 GB/s that NCCL is
 * known for among eight GPUs, 16 MiB are 80 us. More would only make the last bucket longer, which nothing hides. */
enum { BUCKET_BYTES = 16 << 20 };

static const dt_device_ops gpu_ops = {
    .name = "gpu",
    .dtype = DT_F32,
    .channels_last = true,
    .micro_batch_shards = DT_GPU_SHARDS_MAX,
    .bucket_bytes = BUCKET_BYTES,
    .streams = &stream_ops,
    .own_memory = &own_memory_ops,
    .libraries = &library_ops,
    .fuses = gpu_fuses,
    .updates = dt_gpu_updates,
    .buffer_bytes = gpu_buffer_bytes,
    .work_bytes = gpu_work_bytes,
    .alloc = gpu_alloc,
    .block_bytes = gpu_block_bytes,
    .free = gpu_free,
    .memory = gpu_memory,
    .upload = gpu_upload,
    .download = gpu_download,
    .field = dt_gpu_field,
    .read_value = dt_gpu_read_value,
    .write_value = dt_gpu_write_value,
    .clear = gpu_clear,
    .sync = gpu_sync,
    .destroy = gpu_destroy,
};

void dt_gpu_init(dt_gpu *gpu, dt_rank_state *rank) {
  gpu->base = (dt_device){.ops = &gpu_ops,
                          .add = dt_gpu_add_elements,
                          .rank = rank != NULL ? rank : &gpu->no_rank,
                          .threads = 1,
                          .side_stream = dt_gpu_does(DT_GPU_DOES_side_stream),
                          .kernels = gpu->kernels,
                          .library = gpu->library,
                          .steps = dt_gpu_records() ? "recorded as a graph" : "issued one by one (DTRAIN_GPU_GRAPH=0)",
                          .id = gpu->id,
                          .title = gpu->title};
  for (int op = 0; op < DT_OP_COUNT; op++) {
    gpu->base.kernel[op] = kernels[op] != NULL && dt_gpu_guards() ? guarded_kernel : kernels[op];
  }
}
