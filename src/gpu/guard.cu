/* What fills buffers and looks at their guards. A buffer is filled by the instruction that writes it first, behind all that it
 * waits for: so nothing that still uses the memory for another buffer is on its way, on whatever stream. */
#include "gpu/guard.h"

#include <stdlib.h>

#include "gpu/device.h"
#include "gpu/kernel.cuh"

#define VARIABLE "DTRAIN_GPU_GUARDS"

enum { GARBAGE = 0xFF };

static __global__ void check_guard(const uint8_t *guard, int64_t bytes) {
  if (dt_thread_index() < bytes && guard[dt_thread_index()] != GARBAGE) __trap();
}

bool dt_gpu_guards(void) {
  const char *text = getenv(VARIABLE);
  return text != NULL && strcmp(text, "1") == 0;
}

dt_status dt_gpu_guards_check(void) {
  const char *text = getenv(VARIABLE);
  DT_REQUIRE(text == NULL || strcmp(text, "0") == 0 || strcmp(text, "1") == 0, DT_ENVIRONMENT,
             VARIABLE ": found '%s', expected 0 (none) or 1 (garbage behind every buffer)", text);
  return DT_OK;
}

/* TENSOR buffers are sized where no device is asked, and have no guard. */
static bool has_guard(const dt_buffer *buffer) {
  switch (buffer->kind) {
    case DT_BUF_VALUE:
    case DT_BUF_INDEX:
    case DT_BUF_BITS:
    case DT_BUF_TERMS:
    case DT_BUF_SHARD:
    case DT_BUF_WORK:
      return buffer->alias_of < 0 && buffer->last >= 0 && buffer->bytes > DT_GPU_GUARD_BYTES;
    default:
      return false;
  }
}

/* Where the guard begins: what rounds a buffer up belongs to nobody either. */
static size_t guard_begin_of(const dt_run *run, const dt_buffer *buffer) {
  const dt_program *program = run->program;
  if (buffer->kind == DT_BUF_WORK) return buffer->bytes - DT_GPU_GUARD_BYTES;
  return dt_gpu_filled_bytes(dt_gpu_of(run), buffer->kind, &buffer->shape, program->shard_capacity,
                             program->micro_batch_shards);
}

dt_status dt_gpu_guard_begin(dt_run *run, const dt_instr *instr) {
  const int index = (int)(instr - run->program->instr);
  for (int i = 0; i < run->program->buffer_count; i++) {
    const dt_buffer *buffer = &run->program->buffer[i];
    if (!has_guard(buffer) || buffer->first != index) continue;
    char *memory = static_cast<char *>(run->blocks.arena) + buffer->offset;
    DT_CUDA(cudaMemsetAsync(memory, GARBAGE, buffer->bytes, dt_gpu_stream(run, instr)));
  }
  return DT_OK;
}

dt_status dt_gpu_guard_end(dt_run *run, const dt_instr *instr) {
  const int index = (int)(instr - run->program->instr);
  for (int i = 0; i < run->program->buffer_count; i++) {
    const dt_buffer *buffer = &run->program->buffer[i];
    if (!has_guard(buffer) || buffer->last != index) continue;
    const size_t begin = guard_begin_of(run, buffer), bytes = buffer->bytes - begin;
    const uint8_t *guard = static_cast<const uint8_t *>(run->blocks.arena) + buffer->offset + begin;
    DT_LAUNCH(check_guard, dt_grid((int64_t)bytes), dim3(DT_BLOCK), dt_gpu_stream(run, instr), guard, (int64_t)bytes);
  }
  return DT_OK;
}
