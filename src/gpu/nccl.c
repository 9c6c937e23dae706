/* The communicator.
 *
 * Invariants
 * 1. No call waits without a deadline: the communicator is made non-blocking, and its state is polled.
 * 2. Ranks fail together: each part of the set-up is agreed on over the host communicator before the next begins.
 * 3. A rank that knows a cause speaks before those that only hear its echo (a remote error), and of ranks that wait for the
 * same thing in vain, or that NCCL refuses the same, rank 0 speaks first: the others give it ECHO_SECONDS, in which it ends the
 * job.
 * 4. Abort and destroy may hang inside NCCL: they run on a thread that can be left behind. */
#include "gpu/nccl.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "gpu/await.h"
#include "gpu/reducer.h"

enum { CLOSE_SECONDS = 5, ECHO_SECONDS = 3 };

struct dt_nccl {
  ncclComm_t comm;
  void *registration; /* of memory that the communicator was told of; NULL: of none */
  int device;         /* of CUDA */
  int rank, size;
  int version;       /* of the library, as ncclGetVersion writes it */
  double timeout;    /* seconds */
  bool joined;       /* the set-up, in which ranks agree on what they tell, is over */
  bool failed;       /* only abort can end it */
  double echo_since; /* clock at which another rank's error was first seen; 0 = none */
};

ncclComm_t dt_nccl_comm(const dt_nccl *nccl) {
  return nccl->comm;
}

void dt_nccl_print_version(const dt_nccl *nccl, char *out, size_t bytes) {
  snprintf(out, bytes, "NCCL %d.%d.%d", nccl->version / 10000, nccl->version / 100 % 100, nccl->version % 100);
}

/* --- errors --- */

/* Which status an error of NCCL becomes, told from its code, else from a part of its text, and what to do about it. */
#define DUPLICATE_REMEDY                                                                              \
  "; give each rank a GPU of its own, or set comm.transport: staged, or use NCCL 2.30 or newer with " \
  "NCCL_MULTI_RANK_GPU_ENABLE=1"
static const struct {
  const char *part;
  dt_status status;
  const char *remedy;
} causes[] = {
    {"Duplicate GPU", DT_ENVIRONMENT, DUPLICATE_REMEDY},                         /* before NCCL 2.30 */
    {"Multiple Ranks are using the same GPU", DT_ENVIRONMENT, DUPLICATE_REMEDY}, /* from NCCL 2.30 on */
    {"when parsing", DT_ENVIRONMENT, "; NCCL_ALGO or NCCL_PROTO names what this NCCL does not have: unset it"},
    {"out of memory", DT_MEMORY, NULL},
};

static dt_status raise(dt_nccl *nccl, ncclResult_t code, const char *call, const char *file, int line) {
  const char *text = ncclGetLastError(nccl->comm);
  dt_status status = code == ncclRemoteError ? DT_PEER : DT_ENVIRONMENT;
  const char *remedy = dt_gpu_recording_remedy();
  if (text == NULL) text = "";
  for (size_t i = 0; i < sizeof causes / sizeof causes[0]; i++) {
    if (strstr(text, causes[i].part) == NULL) continue;
    status = causes[i].status;
    if (causes[i].remedy != NULL) remedy = causes[i].remedy;
    break;
  }
  nccl->failed = true;
  int length = (int)strcspn(text, "\n");
  return dt_error_set(status, file, line, "NCCL: %.*s failed: %s%s%.*s%s", (int)strcspn(call, "("), call,
                      ncclGetErrorString(code), length > 0 ? ": " : "", length, text, remedy);
}

dt_status dt_nccl_check(dt_nccl *nccl, ncclResult_t code, const char *call, const char *file, int line) {
  if (code == ncclSuccess || code == ncclInProgress) return DT_OK;
  return raise(nccl, code, call, file, line);
}

static dt_status raise_late(dt_nccl *nccl, const char *what, int line) {
  nccl->failed = true;
  return dt_error_set(DT_PEER, __FILE__, line,
                      "%s has not ended for %g s: a rank is lost or behind (" DT_GPU_TIMEOUT_VARIABLE
                      " sets the limit in seconds)",
                      what, nccl->timeout);
}

/* --- waiting --- */

/* The state of the communicator, or the code of asking for it. */
static ncclResult_t state_of(const dt_nccl *nccl) {
  ncclResult_t state = ncclSuccess;
  ncclResult_t code = ncclCommGetAsyncError(nccl->comm, &state);
  return code != ncclSuccess ? code : state;
}

/* Whether what there is to tell should wait for the word of a rank that knows more, or as much: what NCCL is asked for in a
 * step is asked by all ranks alike. */
static bool is_young_echo(dt_nccl *nccl, ncclResult_t state) {
  double now = dt_clock_seconds();
  const bool shared = state == ncclInvalidUsage && nccl->joined && nccl->rank > 0;
  if (state != ncclRemoteError && !shared) return false;
  if (nccl->echo_since == 0) nccl->echo_since = now;
  return now - nccl->echo_since < ECHO_SECONDS;
}

/* All ranks wait for the same thing: one line is enough. */
static bool is_late(const dt_nccl *nccl, double waited_seconds) {
  return waited_seconds > nccl->timeout + (nccl->rank == 0 ? 0 : ECHO_SECONDS);
}

dt_status dt_nccl_drain(dt_nccl *nccl, const char *what) {
  double start = dt_clock_seconds();
  ncclResult_t state;
  while ((state = state_of(nccl)) == ncclInProgress || is_young_echo(nccl, state)) {
    const double waited = dt_clock_seconds() - start;
    if (state == ncclInProgress && is_late(nccl, waited)) return raise_late(nccl, what, __LINE__);
    dt_gpu_pause(waited);
  }
  return dt_nccl_check(nccl, state, what, __FILE__, __LINE__);
}

dt_status dt_nccl_poll(dt_nccl *nccl, double waited_seconds) {
  ncclResult_t state = state_of(nccl);
  if (is_young_echo(nccl, state)) return DT_OK;
  DT_TRY(dt_nccl_check(nccl, state, "a step", __FILE__, __LINE__));
  return is_late(nccl, waited_seconds) ? raise_late(nccl, "a step", __LINE__) : DT_OK;
}

/* --- set-up --- */

/* NCCL keeps its binary interface within a major version and adds to it with minor ones. */
static dt_status check_version(dt_nccl *nccl) {
  DT_NCCL(nccl, ncclGetVersion(&nccl->version));
  int found = nccl->version;
  int major = found / 10000, minor = found / 100 % 100;
  DT_REQUIRE(major == NCCL_MAJOR && minor >= NCCL_MINOR, DT_ENVIRONMENT,
             "NCCL: found version %d.%d.%d, expected %d.%d or a newer %d.x, which this dtrain was built with; LD_LIBRARY_PATH "
             "says which one is loaded",
             major, minor, found % 100, NCCL_MAJOR, NCCL_MINOR, NCCL_MAJOR);
  return DT_OK;
}

/* With NCCL_COMM_ID ids are no longer NCCL's own, new for each run and sent by MPI: they become an address, at which rank 0
 * must be able to listen, and where another run with the same variable may meet this one. */
static dt_status check_environment(void) {
  const char *id = getenv("NCCL_COMM_ID");
  DT_REQUIRE(
      id == NULL, DT_ENVIRONMENT,
      "NCCL_COMM_ID: found '%s', expected it unset: ranks get their id over MPI (NCCL_SOCKET_IFNAME chooses the network)", id);
  return DT_OK;
}

static dt_status prepare(const dt_gpu *gpu, const dt_comm *comm, dt_nccl **out, ncclUniqueId *id) {
  dt_nccl *nccl = NULL;
  DT_TRY(dt_alloc(1, sizeof *nccl, &nccl));
  *out = nccl;
  nccl->device = gpu->index;
  nccl->timeout = gpu->timeout;
  nccl->rank = comm->rank;
  nccl->size = comm->size;
  DT_TRY(check_version(nccl));
  DT_TRY(check_environment());
  if (comm->rank == 0) DT_NCCL(nccl, ncclGetUniqueId(id));
  return DT_OK;
}

static dt_status join(dt_nccl *nccl, ncclUniqueId id) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  config.blocking = 0;
  DT_NCCL(nccl, ncclCommInitRankConfig(&nccl->comm, nccl->size, id, nccl->rank, &config));
  return dt_nccl_drain(nccl, "ncclCommInitRankConfig");
}

/* Ranks that only know of each other's silence leave the word to those that know a cause. */
static dt_status agree_on_cause(dt_comm *comm, dt_status status) {
  DT_TRY(dt_comm_agree(comm, status == DT_PEER ? DT_OK : status));
  return dt_comm_agree(comm, status);
}

dt_status dt_nccl_open(const dt_gpu *gpu, dt_comm *comm, dt_nccl **out) {
  dt_status status = DT_OK;
  ncclUniqueId id;
  memset(&id, 0, sizeof id);
  *out = NULL;
  DT_TRY_GOTO(fail, dt_comm_agree(comm, prepare(gpu, comm, out, &id)));
  DT_TRY_GOTO(fail, comm->ops->bcast(comm, &id, sizeof id, 0));
  status = join(*out, id);
  /* What has failed here is taken down before the ranks agree, so that it fails on those that wait for it. */
  if (status != DT_OK) dt_nccl_close(out);
  DT_TRY_GOTO(fail, agree_on_cause(comm, status));
  (*out)->joined = true;
  return DT_OK;
fail:
  if (*out != NULL) (*out)->failed = true; /* the others do not join in */
  dt_nccl_close(out);
  return status;
}

/* --- memory --- */

dt_status dt_nccl_alloc(dt_gpu *gpu, size_t bytes, void **out) {
  cudaStream_t stream = gpu->stream[DT_STREAM_COMPUTE];
  if (ncclMemAlloc(out, bytes) != ncclSuccess) {
    cudaGetLastError(); /* it would come back from the next call that looks */
    *out = NULL;
    return DT_OK;
  }
  DT_CUDA(cudaMemsetAsync(*out, 0, bytes, stream));
  return dt_gpu_await_stream(gpu, stream, "clearing memory");
}

void dt_nccl_free(void *memory) {
  if (memory != NULL) ncclMemFree(memory);
}

dt_status dt_nccl_register(dt_nccl *nccl, void *memory, size_t bytes, const char **refused) {
  const ncclResult_t code = ncclCommRegister(nccl->comm, memory, bytes, &nccl->registration);
  *refused = NULL;
  if (code == ncclSuccess || code == ncclInProgress) return dt_nccl_drain(nccl, "ncclCommRegister");
  *refused = ncclGetErrorString(code);
  nccl->registration = NULL;
  return DT_OK;
}

/* --- tear-down --- */

static void *end_communicator(void *context) {
  dt_nccl *nccl = context;
  cudaSetDevice(nccl->device);
  if (nccl->failed) {
    ncclCommAbort(nccl->comm);
    return NULL;
  }
  if (nccl->registration != NULL) ncclCommDeregister(nccl->comm, nccl->registration);
  ncclCommFinalize(nccl->comm);
  for (double start = dt_clock_seconds(); state_of(nccl) == ncclInProgress;) dt_gpu_pause(dt_clock_seconds() - start);
  ncclCommDestroy(nccl->comm);
  return NULL;
}

/* ThreadSanitizer knows of this way to join, not of pthread_clockjoin_np. */
static bool end_in_time(dt_nccl *nccl) {
  pthread_t thread;
  if (nccl->comm == NULL) return true;
  if (pthread_create(&thread, NULL, end_communicator, nccl) != 0) return false;
  const double start = dt_clock_seconds();
  for (double waited = 0; waited < CLOSE_SECONDS; waited = dt_clock_seconds() - start) {
    if (pthread_tryjoin_np(thread, NULL) == 0) return true;
    dt_gpu_pause(waited);
  }
  pthread_detach(thread);
  return false;
}

bool dt_nccl_close(dt_nccl **pointer) {
  dt_nccl *nccl = *pointer;
  if (nccl == NULL) return true;
  *pointer = NULL;
  bool ended = end_in_time(nccl);
  if (ended) free(nccl);
  return ended;
}
