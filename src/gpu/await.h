/* Waiting for the GPU, never without a deadline: one that hangs would keep the process for ever. */
#ifndef DT_GPU_AWAIT_H
#define DT_GPU_AWAIT_H

#include "comm/comm.h"
#include "gpu/gpu.h"

/* Holds the seconds after which a wait for the GPU, or for other ranks' GPUs, ends. */
#define DT_GPU_TIMEOUT_VARIABLE "DTRAIN_GPU_TIMEOUT"
/* Reads it: 120 when it is not set, "inf" for no deadline (a debugger may hold a GPU). DT_ENVIRONMENT. */
dt_status dt_gpu_timeout_read(double *out);

/* Between two looks at what has been waited for so many seconds: leaves the core to others that want it, and sleeps once a
 * millisecond is over. What a GPU or a library has to do is mostly done by then; a long wait is not worth a core. */
void dt_gpu_pause(double waited_seconds);
/* Waits until all that is on the stream has ended. `what` names it in the error: "the copy of 12 bytes". DT_PEER at the
 * deadline; then the rank is DT_RANK_HUNG. */
dt_status dt_gpu_await_stream(dt_gpu *gpu, cudaStream_t stream, const char *what);
/* Waits for an event. A reducer that has a poll (NULL: none has) is asked meanwhile and has the deadline, since it knows more
 * of the other ranks. */
dt_status dt_gpu_await_event(dt_gpu *gpu, cudaEvent_t event, dt_reducer *reducer, const char *what);

#endif
