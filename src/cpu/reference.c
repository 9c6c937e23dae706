/* The reference device: its memory and its table of kernels. Everything runs on the caller, at once. */
#include "cpu/reference.h"

#include <stdlib.h>
#include <string.h>

static bool fuses_nothing(const dt_device *device, dt_fusion fusion, const dt_instr *into) {
  return false;
}

static size_t round_to_line(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t reference_buffer_bytes(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_slots,
                                     int shards) {
  size_t elements = (size_t)shards * (size_t)dt_shape_count(shape);
  switch (kind) {
    case DT_BUF_VALUE:
      return round_to_line(elements * (size_t)shard_slots * sizeof(double));
    case DT_BUF_INDEX:
      return round_to_line(elements * (size_t)shard_slots);
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
  *out = instr->op == DT_OP_BN_UPDATE ? 0 : round_to_line(row * (size_t)program->pass_shards * sizeof(double));
  return DT_OK;
}

static dt_status reference_alloc(dt_device *device, size_t bytes, void **out) {
  size_t padded = round_to_line(bytes > 0 ? bytes : 1);
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

static dt_status reference_add_elements(dt_device *device, void *into, const void *from, int64_t count) {
  double *sum = into;
  const double *value = from;
  for (int64_t i = 0; i < count; i++) sum[i] += value[i];
  return DT_OK;
}

/* The arena's memory of a VALUE buffer, and the bytes that a pass fills of it. */
static void *value_of(const dt_run *run, int buffer, const dt_pass *pass, size_t *out_bytes) {
  const dt_buffer *b = &run->program->buffer[buffer];
  DT_ASSERT(b->kind == DT_BUF_VALUE);
  *out_bytes = (size_t)(pass->shard_count * run->program->shard_slots * dt_shape_count(&b->shape)) * sizeof(double);
  while (b->alias_of >= 0) b = &run->program->buffer[b->alias_of];
  return (char *)run->blocks.arena + b->offset;
}

static dt_status reference_read_value(dt_run *run, int buffer, const dt_pass *pass, double *out) {
  size_t bytes;
  const void *value = value_of(run, buffer, pass, &bytes);
  memcpy(out, value, bytes);
  return DT_OK;
}

static dt_status reference_write_value(dt_run *run, int buffer, const dt_pass *pass, const double *in) {
  size_t bytes;
  void *value = value_of(run, buffer, pass, &bytes);
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
    .fuses = fuses_nothing,
    .buffer_bytes = reference_buffer_bytes,
    .work_bytes = reference_work_bytes,
    .alloc = reference_alloc,
    .free = reference_free,
    .upload = reference_copy,
    .download = reference_copy,
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
            [DT_OP_LOAD] = dt_reference_load,
            [DT_OP_CONV_FWD] = dt_reference_conv_fwd,
            [DT_OP_CONV_DGRAD] = dt_reference_conv_dgrad,
            [DT_OP_CONV_WGRAD] = dt_reference_conv_wgrad,
            [DT_OP_LINEAR_FWD] = dt_reference_linear_fwd,
            [DT_OP_LINEAR_DGRAD] = dt_reference_linear_dgrad,
            [DT_OP_LINEAR_WGRAD] = dt_reference_linear_wgrad,
            [DT_OP_POOL_FWD] = dt_reference_pool_fwd,
            [DT_OP_POOL_BWD] = dt_reference_pool_bwd,
            [DT_OP_ACT_FWD] = dt_reference_act_fwd,
            [DT_OP_ACT_BWD] = dt_reference_act_bwd,
            [DT_OP_BN_FWD] = dt_reference_bn_fwd,
            [DT_OP_BN_EVAL] = dt_reference_bn_eval,
            [DT_OP_BN_BWD] = dt_reference_bn_bwd,
            [DT_OP_DROPOUT_FWD] = dt_reference_dropout_fwd,
            [DT_OP_DROPOUT_BWD] = dt_reference_dropout_bwd,
            [DT_OP_ADD] = dt_reference_add,
            [DT_OP_CONCAT] = dt_reference_concat,
            [DT_OP_SLICE] = dt_reference_slice,
            [DT_OP_SOFTMAX] = dt_reference_softmax,
            [DT_OP_LOSS] = dt_reference_loss,
            [DT_OP_SCORE] = dt_reference_score,
            [DT_OP_GRAD_NORM] = dt_reference_grad_norm,
            [DT_OP_UPDATE] = dt_reference_update,
            [DT_OP_BN_UPDATE] = dt_reference_bn_update,
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
