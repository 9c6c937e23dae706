/* The pieces of UPDATE where not all parameters are updated alike: segments cut at the borders of
 * buckets and into lengths that one block of threads works on. */
#include <stdlib.h>
#include <string.h>

#include "gpu/bound.h"

enum { PIECE_ELEMENTS = 8192 };

/* The first border behind `first` at which a piece of this segment ends. */
static int64_t piece_end(const dt_program *program, const dt_segment *segment, int64_t first) {
  int64_t end = segment->first + segment->count;
  if (end > first + PIECE_ELEMENTS) end = first + PIECE_ELEMENTS;
  for (int k = 0; k < program->bucket_count; k++) {
    int64_t border = program->bucket[k].first;
    if (border > first && border < end) end = border;
  }
  return end;
}

int dt_gpu_pieces_fill(const dt_program *program, dt_segment *piece) {
  int count = 0;
  if (program->mode != DT_PROGRAM_TRAIN || dt_program_is_uniform(program)) return 0;
  for (int s = 0; s < program->segment_count; s++) {
    const dt_segment *segment = &program->segment[s];
    int64_t end = segment->first + segment->count;
    for (int64_t first = segment->first, next; first < end; first = next) {
      next = piece_end(program, segment, first);
      if (piece != NULL) {
        piece[count] = *segment;
        piece[count].first = first;
        piece[count].count = next - first;
      }
      count++;
    }
  }
  return count;
}

size_t dt_gpu_pieces_bytes(const dt_program *program) {
  return (size_t)dt_gpu_pieces_fill(program, NULL) * sizeof(dt_segment);
}

dt_status dt_gpu_pieces_make(const dt_run *run, dt_gpu_pieces *out) {
  dt_device *device = run->device;
  size_t bytes = dt_gpu_pieces_bytes(run->program);
  *out = (dt_gpu_pieces){.count = (int)(bytes / sizeof(dt_segment))};
  if (bytes == 0) return DT_OK;
  DT_TRY(dt_alloc((size_t)out->count, sizeof *out->host, &out->host));
  dt_gpu_pieces_fill(run->program, out->host);
  DT_TRY(device->ops->alloc(device, bytes, (void **)&out->piece));
  return device->ops->upload(device, out->piece, out->host, bytes);
}

void dt_gpu_pieces_release(dt_gpu_pieces *pieces) {
  cudaFree(pieces->piece);
  free(pieces->host);
  *pieces = (dt_gpu_pieces){0};
}

dt_gpu_pieces dt_gpu_pieces_within(const dt_gpu_pieces *all, const dt_gpu_stretch *stretch) {
  int first = 0, end;
  while (first < all->count && all->host[first].first < stretch->first) first++;
  for (end = first; end < all->count && all->host[end].first < stretch->first + stretch->count;) end++;
  return (dt_gpu_pieces){.host = all->host + first, .piece = all->piece + first, .count = end - first};
}

size_t dt_gpu_tensors_bytes(const dt_program *program) {
  for (int i = program->micro_batch_end; i < program->count; i++) {
    const dt_op op = program->instr[i].op;
    if (op == DT_OP_TENSOR_NORM || op == DT_OP_CLIP_UNITS || op == DT_OP_MAX_NORM)
      return (size_t)program->segment_count * sizeof(dt_segment);
  }
  return 0;
}

dt_status dt_gpu_tensors_make(const dt_run *run, dt_segment **out) {
  dt_device *device = run->device;
  size_t bytes = dt_gpu_tensors_bytes(run->program);
  if (bytes == 0) return DT_OK;
  DT_TRY(device->ops->alloc(device, bytes, (void **)out));
  return device->ops->upload(device, *out, run->program->segment, bytes);
}
