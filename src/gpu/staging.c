#include "gpu/staging.h"

#include <stdlib.h>
#include <string.h>

#include "gpu/await.h"

enum { PIECE_BYTES = 4 << 20 }; /* large enough that starting a copy costs nothing beside it */

dt_status dt_gpu_staging_open(dt_gpu *gpu) {
  DT_TRY(dt_alloc(1, sizeof *gpu->staging, &gpu->staging));
  for (int i = 0; i < 2; i++) {
    DT_CUDA(cudaMallocHost((void **)&gpu->staging->host[i], PIECE_BYTES));
    DT_CUDA(cudaEventCreateWithFlags(&gpu->staging->over[i], cudaEventDisableTiming));
  }
  return DT_OK;
}

void dt_gpu_staging_close(dt_gpu *gpu) {
  if (gpu->staging == NULL) return;
  for (int i = 0; i < 2; i++) {
    if (gpu->staging->over[i] != NULL) cudaEventDestroy(gpu->staging->over[i]);
    cudaFreeHost(gpu->staging->host[i]);
  }
  free(gpu->staging);
  gpu->staging = NULL;
}

static size_t piece_at(size_t begin, size_t bytes) {
  return bytes - begin < PIECE_BYTES ? bytes - begin : PIECE_BYTES;
}

/* Starts the copy of a piece between the device and host[turn]. */
static dt_status start(dt_gpu_staging *staging, int turn, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                       cudaStream_t stream) {
  DT_CUDA(cudaMemcpyAsync(to, from, bytes, kind, stream));
  DT_CUDA(cudaEventRecord(staging->over[turn], stream));
  return DT_OK;
}

dt_status dt_gpu_send(dt_gpu *gpu, cudaStream_t stream, void *to, const void *from, size_t bytes, const char *what) {
  dt_gpu_staging *staging = gpu->staging;
  int turn = 0;
  for (size_t at = 0; at < bytes; at += PIECE_BYTES, turn = 1 - turn) {
    size_t piece = piece_at(at, bytes);
    DT_TRY(dt_gpu_await_event(gpu, staging->over[turn], NULL, what));
    memcpy(staging->host[turn], (const char *)from + at, piece);
    DT_TRY(start(staging, turn, (char *)to + at, staging->host[turn], piece, cudaMemcpyHostToDevice, stream));
  }
  return DT_OK;
}

static dt_status start_fetch(dt_gpu *gpu, int turn, const char *from, size_t at, size_t bytes, cudaStream_t stream,
                             const char *what) {
  if (at >= bytes) return DT_OK;
  DT_TRY(dt_gpu_await_event(gpu, gpu->staging->over[turn], NULL, what));
  return start(gpu->staging, turn, gpu->staging->host[turn], from + at, piece_at(at, bytes), cudaMemcpyDeviceToHost, stream);
}

/* A piece is on its way while the one before it is taken out. */
dt_status dt_gpu_fetch(dt_gpu *gpu, cudaStream_t stream, void *to, const void *from, size_t bytes, const char *what) {
  int turn = 0;
  DT_TRY(start_fetch(gpu, turn, from, 0, bytes, stream, what));
  for (size_t at = 0; at < bytes; at += PIECE_BYTES, turn = 1 - turn) {
    DT_TRY(start_fetch(gpu, 1 - turn, from, at + PIECE_BYTES, bytes, stream, what));
    DT_TRY(dt_gpu_await_event(gpu, gpu->staging->over[turn], NULL, what));
    memcpy((char *)to + at, gpu->staging->host[turn], piece_at(at, bytes));
  }
  return DT_OK;
}
