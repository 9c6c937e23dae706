/* Copies between pageable host memory and the device. CUDA makes such a copy wait in the call itself, where no deadline holds;
 * here it goes piece by piece through pinned memory, which the device has for it, and every wait is one of await.h's. */
#ifndef DT_GPU_STAGING_H
#define DT_GPU_STAGING_H

#include "gpu/gpu.h"

/* Two pieces take turns: while one crosses the bus the host fills, or empties, the other. */
typedef struct dt_gpu_staging {
  char *host[2];       /* pinned */
  cudaEvent_t over[2]; /* the last copy out of, or into, host[i] is over */
} dt_gpu_staging;

/* Makes gpu->staging. DT_MEMORY. close takes one that was not made; nothing may be on its way. */
dt_status dt_gpu_staging_open(dt_gpu *gpu);
void dt_gpu_staging_close(dt_gpu *gpu);

/* Host to device, on the stream. `from` is the caller's again on return; the copy need not have ended. `what` names it where
 * the GPU hangs. DT_PEER at the deadline. */
dt_status dt_gpu_send(dt_gpu *gpu, cudaStream_t stream, void *to, const void *from, size_t bytes, const char *what);
/* Device to host, behind what is on the stream. Waits until it is there. Otherwise like dt_gpu_send. */
dt_status dt_gpu_fetch(dt_gpu *gpu, cudaStream_t stream, void *to, const void *from, size_t bytes, const char *what);

#endif
