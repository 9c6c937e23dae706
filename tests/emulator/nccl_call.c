/* Calls and groups of the emulated NCCL: a group is one piece of work on its stream. The real library launches what is called
 * on a non-blocking communicator from a thread of its own, at any time until the communicator says that it is done; here that
 * is as late as it can be, when the state is first asked for. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "emulator.h"
#include "nccl_emulated.h"

/* The operations of a group, or a single one. */
typedef struct group {
  ncclComm_t comm;
  cudaStream_t stream;
  nccl_operation *operation;
  int count, capacity;
  bool recorded; /* part of a graph */
} group;

static _Thread_local group open_group;
static _Thread_local int depth;

size_t nccl_type_bytes(ncclDataType_t type) {
  static const size_t bytes[ncclNumTypes] = {
      [ncclInt8] = 1,    [ncclUint8] = 1,   [ncclInt32] = 4,   [ncclUint32] = 4,   [ncclInt64] = 8,      [ncclUint64] = 8,
      [ncclFloat16] = 2, [ncclFloat32] = 4, [ncclFloat64] = 8, [ncclBfloat16] = 2, [ncclFloat8e4m3] = 1, [ncclFloat8e5m2] = 1};
  return bytes[type];
}

static void wait_for_abort(ncclComm_t comm) {
  while (!comm->ended) nccl_pause();
}

/* What the options have planned for this operation. */
static void meet_fate(ncclComm_t comm) {
  unsigned long operation = ++comm->operation_count;
  if (nccl_is_planned("nccl_die", comm->rank, operation)) _exit(1);
  if (nccl_is_planned("nccl_kill", comm->rank, operation)) kill(getpid(), SIGKILL);
  if (nccl_is_planned("nccl_stop", comm->rank, operation)) kill(getpid(), SIGSTOP);
  if (nccl_is_planned("nccl_error", comm->rank, operation)) {
    nccl_fail_later(comm, ncclSystemError, "emulated network error at operation %lu", operation);
    wait_for_abort(comm);
  }
  if (nccl_is_planned("nccl_hang", comm->rank, operation)) wait_for_abort(comm);
}

/* Like the kernels of the real library, an operation on a broken communicator does not end before it is aborted. */
static void run(void *context) {
  group *g = context;
  if (g->comm->aborted) return;
  if (g->comm->ended) emulator_fail("nccl: an operation runs on a communicator that has been destroyed");
  g->comm->running++;
  meet_fate(g->comm);
  emulator_take(emulator_number("slow_nccl", 0));
  if (!g->comm->ended && !nccl_run(g->comm, g->operation, g->count)) wait_for_abort(g->comm);
  g->comm->running--;
}

static void drop(void *context) {
  group *g = context;
  if (g->recorded) g->comm->recorded--;
  nccl_drop(g->comm);
  free(g->operation);
  free(g);
}

/* Takes the group, and holds its communicator already. */
static ncclResult_t launch(group *g) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  emulator_work work = {"nccl", run, drop, g};
  cudaStreamIsCapturing(g->stream, &status);
  g->recorded = status == cudaStreamCaptureStatusActive;
  if (g->recorded) g->comm->recorded++;
  return emulator_enqueue(g->stream, &work) == cudaSuccess ? ncclSuccess
                                                           : nccl_fail(ncclUnhandledCudaError, "the stream takes no work");
}

/* Trees can't gather: of what NCCL_ALGO allows, something else must be there for it. */
static bool has_algorithm(const group *g) {
  static const char *const gathering[] = {"ring", "collnetdirect", "nvls", "pat"};
  const char *allowed = getenv("NCCL_ALGO");
  bool gathers = false;
  for (int i = 0; i < g->count; i++) gathers |= g->operation[i].kind == NCCL_ALL_GATHER;
  if (!gathers || allowed == NULL || *allowed == '^') return true;
  for (size_t i = 0; i < sizeof gathering / sizeof *gathering; i++) {
    if (strcasestr(allowed, gathering[i]) != NULL) return true;
  }
  return false;
}

void nccl_launch_pending(ncclComm_t comm) {
  group *g = comm->pending;
  comm->pending = NULL;
  if (g == NULL) return;
  if (!has_algorithm(g)) {
    nccl_fail_later(
        comm, ncclInvalidUsage,
        "Error : no algorithm/protocol available for function AllGather with datatype ncclFloat32. NCCL_ALGO was set "
        "to %s.",
        getenv("NCCL_ALGO"));
    drop(g);
  } else if (launch(g) != ncclSuccess) {
    nccl_fail_later(comm, ncclUnhandledCudaError, "the stream takes no work");
  }
}

void nccl_drop_pending(ncclComm_t comm) {
  if (comm->pending != NULL) drop(comm->pending);
  comm->pending = NULL;
}

/* Sends of the rank to itself, less what it receives from itself. */
static int unmatched(const group *g) {
  int sends = 0;
  for (int i = 0; i < g->count; i++) {
    if (nccl_is_to_itself(g->comm, &g->operation[i])) sends += g->operation[i].kind == NCCL_SEND ? 1 : -1;
  }
  return sends;
}

/* Takes the operations of g. */
static ncclResult_t enqueue(group *g) {
  ncclComm_t comm = g->comm;
  if (unmatched(g) != 0) {
    const char *text =
        unmatched(g) > 0 ? "Trying to send to self without a matching recv" : "Trying to recv to self without a matching send";
    free(g->operation);
    memset(g, 0, sizeof *g);
    return nccl_fail(ncclInvalidUsage, "%s", text);
  }
  group *kept = malloc(sizeof *kept);
  if (!kept) return nccl_fail(ncclSystemError, "out of host memory");
  *kept = *g;
  memset(g, 0, sizeof *g);
  nccl_hold(comm);
  if (comm->blocking) return launch(kept);
  comm->pending = kept;
  comm->unsettled = true;
  return ncclInProgress;
}

ncclResult_t ncclGroupStart(void) {
  depth++;
  return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void) {
  if (depth == 0) return nccl_fail(ncclInvalidUsage, "ncclGroupEnd: not in a group call");
  depth--;
  return depth > 0 || open_group.count == 0 ? ncclSuccess : enqueue(&open_group);
}

static ncclResult_t add(const nccl_operation *operation, ncclComm_t comm, cudaStream_t stream) {
  group *g = &open_group;
  ncclResult_t result = nccl_ready(comm);
  if (result != ncclSuccess) return result;
  if (operation->peer < 0 || operation->peer >= comm->size) {
    return nccl_fail(ncclInvalidArgument, "found rank %d, expected 0 to %d", operation->peer, comm->size - 1);
  }
  if ((unsigned)operation->type >= ncclNumTypes) return nccl_fail(ncclInvalidArgument, "unknown type %d", operation->type);
  if (g->count > 0 && (g->comm != comm || g->stream != stream)) {
    return nccl_fail(ncclInvalidUsage, "a group over several communicators or streams is not emulated");
  }
  if (g->count == g->capacity) {
    int capacity = g->capacity ? 2 * g->capacity : 8;
    nccl_operation *grown = realloc(g->operation, (size_t)capacity * sizeof *grown);
    if (!grown) return nccl_fail(ncclSystemError, "out of host memory");
    g->operation = grown;
    g->capacity = capacity;
  }
  g->comm = comm;
  g->stream = stream;
  g->operation[g->count] = *operation;
  g->operation[g->count++].count *= (size_t)emulator_number("count_scale", 1);
  return depth > 0 ? ncclSuccess : enqueue(g);
}

ncclResult_t ncclSend(const void *sendbuff, size_t count, ncclDataType_t datatype, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return add(&(nccl_operation){NCCL_SEND, sendbuff, NULL, count, datatype, peer}, comm, stream);
}

ncclResult_t ncclRecv(void *recvbuff, size_t count, ncclDataType_t datatype, int peer, ncclComm_t comm, cudaStream_t stream) {
  return add(&(nccl_operation){NCCL_RECEIVE, NULL, recvbuff, count, datatype, peer}, comm, stream);
}

ncclResult_t ncclAllReduce(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t datatype, ncclRedOp_t op,
                           ncclComm_t comm, cudaStream_t stream) {
  if (datatype != ncclFloat32 || op != ncclSum) return nccl_fail(ncclInvalidArgument, "only sums of float32 are emulated");
  return add(&(nccl_operation){NCCL_ALL_REDUCE, sendbuff, recvbuff, count, datatype, 0}, comm, stream);
}

ncclResult_t ncclAllGather(const void *sendbuff, void *recvbuff, size_t sendcount, ncclDataType_t datatype, ncclComm_t comm,
                           cudaStream_t stream) {
  return add(&(nccl_operation){NCCL_ALL_GATHER, sendbuff, recvbuff, sendcount, datatype, 0}, comm, stream);
}

ncclResult_t ncclBroadcast(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t datatype, int root,
                           ncclComm_t comm, cudaStream_t stream) {
  return add(&(nccl_operation){NCCL_BROADCAST, sendbuff, recvbuff, count, datatype, root}, comm, stream);
}
