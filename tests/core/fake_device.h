/* A device that computes nothing: it says what it fuses and how large things are, so that lowering can be tested alone. */
#ifndef DT_TESTS_CORE_FAKE_DEVICE_H
#define DT_TESTS_CORE_FAKE_DEVICE_H

#include <stdlib.h>
#include <string.h>

#include "core/device.h"

typedef struct fake_device {
  dt_device base;
  unsigned fusions; /* bits by dt_fusion */
  size_t work;      /* bytes of scratch for every CONV and LINEAR instruction */
} fake_device;

#define FAKE_FUSES_ALL (~0u)

static bool fake_fuses(const dt_device *device, dt_fusion fusion, const dt_instr *folded, const dt_instr *into) {
  return ((const fake_device *)device)->fusions >> fusion & 1;
}

static size_t fake_round(size_t bytes) {
  return (bytes + 63) / 64 * 64;
}

static size_t fake_buffer_bytes(const dt_device *device, dt_buffer_kind kind, const dt_shape *shape, int64_t shard_capacity,
                                int shards) {
  size_t places = (size_t)shards * (kind == DT_BUF_SHARD ? 1 : (size_t)shard_capacity);
  if (kind == DT_BUF_BITS)
    return dt_shape_channels(shape) % 4 == 0 ? fake_round(places * (size_t)dt_shape_count(shape) / 4) : 0;
  return fake_round(places * (size_t)dt_shape_count(shape) * (kind == DT_BUF_INDEX ? 1 : sizeof(float)));
}

static dt_status fake_work_bytes(const dt_device *device, const dt_program *program, const dt_instr *instr, size_t *out) {
  bool works = instr->op >= DT_OP_CONV_FWD && instr->op <= DT_OP_LINEAR_WGRAD;
  *out = works ? ((const fake_device *)device)->work : 0;
  return DT_OK;
}

static dt_status fake_alloc(dt_device *device, size_t bytes, void **out) {
  return dt_alloc(1, bytes, out);
}

static void fake_free(dt_device *device, void *memory) {
  free(memory);
}

static dt_status fake_copy(dt_device *device, void *to, const void *from, size_t bytes) {
  if (bytes > 0) memcpy(to, from, bytes);
  return DT_OK;
}

static dt_status fake_clear(dt_device *device, void *memory, size_t bytes) {
  memset(memory, 0, bytes);
  return DT_OK;
}

static dt_status fake_sync(dt_device *device) {
  return DT_OK;
}

static dt_status fake_add(dt_device *device, dt_stream stream, void *into, const void *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) ((float *)into)[i] += ((const float *)from)[i];
  return DT_OK;
}

static const dt_device_ops fake_ops = {
    .name = "fake",
    .dtype = DT_F32,
    .bucket_bytes = DT_HOST_BUCKET_BYTES,
    .fuses = fake_fuses,
    .updates = dt_updates_every,
    .buffer_bytes = fake_buffer_bytes,
    .work_bytes = fake_work_bytes,
    .alloc = fake_alloc,
    .free = fake_free,
    .upload = fake_copy,
    .download = fake_copy,
    .clear = fake_clear,
    .sync = fake_sync,
};

static dt_status fake_kernel(dt_run *run, const dt_instr *instr, const dt_micro_batch *micro) {
  return DT_OK;
}

static inline fake_device fake_make(unsigned fusions, size_t work) {
  fake_device device = {.base = {.ops = &fake_ops, .add = fake_add, .threads = 1}, .fusions = fusions, .work = work};
  for (int op = 0; op < DT_OP_COUNT; op++) device.base.kernel[op] = fake_kernel;
  return device;
}

#endif
