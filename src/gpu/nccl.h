/* NCCL for one communicator: set-up and tear-down with deadlines, and errors in dtrain's grammar. */
#ifndef DT_GPU_NCCL_H
#define DT_GPU_NCCL_H

#include <nccl.h>

#include "comm/comm.h"
#include "gpu/gpu.h"

typedef struct dt_nccl dt_nccl;

/* Makes the communicator of all ranks of comm, a GPU each. A wait for other ranks ends after gpu->timeout. DT_ENVIRONMENT when
 * the library is older than the one dtrain was built with or two ranks have one GPU; DT_MEMORY; DT_PEER when a rank is lost.
 * Collective; an error is everyone's. Returns new. */
dt_status dt_nccl_open(const dt_gpu *gpu, dt_comm *comm, dt_nccl **out);
/* Ends the communicator, by abort after a failure, in a thread of its own. False when that has not ended within 5 s: then the
 * thread and all that it may touch are left behind, device memory included. Collective unless something has failed. */
bool dt_nccl_close(dt_nccl **nccl);

/* Device memory that NCCL allocates, which it can let other ranks' GPUs read and write where it lies; zeroed. *out is NULL
 * where NCCL has none to give. What NCCL rounds up is not ours to count: it is part of the allowance. DT_PEER when the GPU
 * hangs. */
dt_status dt_nccl_alloc(dt_gpu *gpu, size_t bytes, void **out);
void dt_nccl_free(void *memory);
/* Tells the communicator of memory that many calls will be given, until it is closed. What NCCL refuses goes on without;
 * `refused` gets its reason then, else NULL. The memory must outlive the communicator. DT_PEER, DT_ENVIRONMENT. */
dt_status dt_nccl_register(dt_nccl *nccl, void *memory, size_t bytes, const char **refused);

/* "NCCL 2.28.9": the library that is loaded. */
void dt_nccl_print_version(const dt_nccl *nccl, char *out, size_t bytes);
/* Valid until close. */
ncclComm_t dt_nccl_comm(const dt_nccl *nccl);

/* Raises what a call returned. NCCL going on in the background (ncclInProgress) is no error: dt_nccl_drain waits for it. */
dt_status dt_nccl_check(dt_nccl *nccl, ncclResult_t code, const char *call, const char *file, int line);
#define DT_NCCL(nccl, call) DT_TRY(dt_nccl_check((nccl), (call), #call, __FILE__, __LINE__))

/* Waits until everything that was called has been enqueued: nothing may be put behind it on a stream before that. `what` names
 * it in the error. DT_PEER at the deadline. */
dt_status dt_nccl_drain(dt_nccl *nccl, const char *what);

/* dt_reducer_ops.poll. */
dt_status dt_nccl_poll(dt_nccl *nccl, double waited_seconds);

#endif
