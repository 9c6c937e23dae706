/* The reference device: its memory and its table of kernels. Everything runs on the caller, at once. */
#include "cpu/reference.h"

#include <stdlib.h>
#include <string.h>

#include "core/host_memory.h"

static bool fuses_nothing(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  return false;
}

static size_t round_to_line(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t reference_buffer_bytes(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape,
                                     int64_t shard_capacity, int shards) {
  size_t elements = (size_t)shards * (size_t)dt_shape_count(shape);
  switch (kind) {
    case DT_BUF_VALUE:
    case DT_BUF_TERMS:
      return round_to_line(elements * (size_t)shard_capacity * sizeof(double));
    case DT_BUF_INDEX:
      return round_to_line(elements * (size_t)shard_capacity);
    case DT_BUF_SHARD:
      return round_to_line(elements * sizeof(double));
    default:
      DT_ASSERT(!"a buffer of the arena");
      return 0;
  }
}

static size_t elements_of(const dt_program *program, const dt_instr *instr, dt_arg arg) {
  return instr->arg[arg] < 0 ? 0 : (size_t)dt_shape_count(&program->buffer[instr->arg[arg]].shape);
}

/* Whatever is summed over shards needs a row for each. */
static dt_status reference_work_bytes(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out) {
  size_t row = elements_of(program, instr, DT_ARG_DW) + elements_of(program, instr, DT_ARG_DB) +
               elements_of(program, instr, DT_ARG_STAT);
  *out = round_to_line(row * (size_t)program->micro_batch_shards * sizeof(double));
  if (instr->op == DT_OP_BN_UPDATE) *out = 0;
  if (instr->op == DT_OP_ORTHOGONALISE) *out = round_to_line(dt_reference_orthogonalise_work(program));
  return DT_OK;
}

static size_t reference_block_bytes(size_t bytes) {
  return round_to_line(bytes > 0 ? bytes : 1);
}

static dt_status reference_alloc(dt_device *device, size_t bytes, void **out) {
  size_t padded = reference_block_bytes(bytes);
  void *memory = aligned_alloc(64, padded);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "%zu bytes for the reference device", bytes);
  memset(memory, 0, padded);
  *out = memory;
  return DT_OK;
}

static void reference_free(dt_device *device, void *memory) {
  free(memory);
}

static dt_status reference_copy(dt_device *device, void *to, const void *from, size_t bytes) {
  if (bytes > 0) memcpy(to, from, bytes);
  return DT_OK;
}

static dt_status reference_add_elements(dt_device *device, dt_stream stream, void *into, const void *from, int64_t count) {
  double *sum = into;
  const double *value = from;
  for (int64_t i = 0; i < count; i++) sum[i] += value[i];
  return DT_OK;
}

/* The arena's memory of a VALUE buffer, and the bytes that a micro-batch fills of it. */
static void *value_of(const dt_run *run, int buffer, const dt_micro_batch *micro, size_t *out_bytes) {
  const dt_buffer *b = &run->program->buffer[buffer];
  DT_ASSERT(b->kind == DT_BUF_VALUE);
  *out_bytes = (size_t)(micro->shard_count * run->program->shard_capacity * dt_shape_count(&b->shape)) * sizeof(double);
  while (b->alias_of >= 0) b = &run->program->buffer[b->alias_of];
  return (char *)run->blocks.arena + b->offset;
}

static dt_status reference_read_value(dt_run *run, int buffer, const dt_micro_batch *micro, double *out) {
  size_t bytes;
  const void *value = value_of(run, buffer, micro, &bytes);
  memcpy(out, value, bytes);
  return DT_OK;
}

static dt_status reference_write_value(dt_run *run, int buffer, const dt_micro_batch *micro, const double *in) {
  size_t bytes;
  void *value = value_of(run, buffer, micro, &bytes);
  memcpy(value, in, bytes);
  return DT_OK;
}

static dt_status reference_clear(dt_device *device, void *memory, size_t bytes) {
  memset(memory, 0, bytes);
  return DT_OK;
}

static dt_status reference_sync(dt_device *device) {
  return DT_OK;
}

static void reference_destroy(dt_device **device) {
  free(*device);
  *device = NULL;
}

static const dt_device_ops reference_ops = {
    .name = "reference",
    .dtype = DT_F64,
    .bucket_bytes = DT_HOST_BUCKET_BYTES,
    .fuses = fuses_nothing,
    .updates = dt_updates_every,
    .buffer_bytes = reference_buffer_bytes,
    .work_bytes = reference_work_bytes,
    .alloc = reference_alloc,
    .block_bytes = reference_block_bytes,
    .free = reference_free,
    .memory = dt_host_memory_device,
    .upload = reference_copy,
    .download = reference_copy,
    .field = dt_host_field,
    .read_value = reference_read_value,
    .write_value = reference_write_value,
    .clear = reference_clear,
    .sync = reference_sync,
    .destroy = reference_destroy,
};

static const dt_device reference_device = {
    .ops = &reference_ops,
    .kernel =
        {
#define DT_OP(OP, name, section, attr, reference, cpu, gpu, reads, writes) \
  DT_WHERE_##reference([DT_OP_##OP] = dt_reference_##name, )
#include "core/program/ops.def"
#undef DT_OP
        },
    .add = reference_add_elements,
    .threads = 1,
};

dt_status dt_reference_create(const dt_device_options *options, dt_device **out) {
  dt_device *device;
  DT_TRY(dt_alloc(1, sizeof *device, &device));
  *device = reference_device;
  *out = device;
  return DT_OK;
}
