/* Communicators of the emulated NCCL.
 *
 * Joining: every rank sends who and where it is to the maker of the unique id, which answers with the table of all. A rank that
 * finds another on its own GPU stops there, as NCCL before 2.30 does; the others go on to wait until all are ready, and hear of
 * it when that rank aborts. A non-blocking communicator joins on a thread of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "emulator.h"
#include "nccl_emulated.h"

enum { ID_MAGIC = 0x4e43434c, TAG_FIRST = 16384, TAG_COMMS = 1024, FIRST_WITH_SHARED_GPUS = 23003 };

static pthread_mutex_t text_lock = PTHREAD_MUTEX_INITIALIZER;
static char last_error[256];

static void keep_text(const char *format, va_list args) {
  pthread_mutex_lock(&text_lock);
  vsnprintf(last_error, sizeof last_error, format, args);
  pthread_mutex_unlock(&text_lock);
}

ncclResult_t nccl_fail(ncclResult_t result, const char *format, ...) {
  va_list args;
  va_start(args, format);
  keep_text(format, args);
  va_end(args);
  return result;
}

void nccl_fail_later(ncclComm_t comm, ncclResult_t result, const char *format, ...) {
  va_list args;
  if (comm->state != ncclSuccess && comm->state != ncclInProgress) return;
  va_start(args, format);
  keep_text(format, args);
  va_end(args);
  comm->state = result;
}

const char *ncclGetLastError(ncclComm_t comm) {
  (void)comm;
  return last_error;
}

const char *ncclGetErrorString(ncclResult_t result) {
  static const char *const texts[ncclNumResults] = {[ncclSuccess] = "no error",
                                                    [ncclUnhandledCudaError] = "unhandled cuda error",
                                                    [ncclSystemError] = "unhandled system error",
                                                    [ncclInternalError] = "internal error",
                                                    [ncclInvalidArgument] = "invalid argument",
                                                    [ncclInvalidUsage] = "invalid usage",
                                                    [ncclRemoteError] = "remote process exited or there was a network error",
                                                    [ncclInProgress] = "NCCL operation in progress"};
  return (unsigned)result < ncclNumResults ? texts[result] : "unknown result code";
}

int nccl_version(void) {
  return (int)emulator_number("nccl_version", NCCL_VERSION_CODE);
}

ncclResult_t ncclGetVersion(int *version) {
  if (!version) return nccl_fail(ncclInvalidArgument, "ncclGetVersion: the place for the version is NULL");
  *version = nccl_version();
  return ncclSuccess;
}

bool nccl_is_planned(const char *name, int rank, unsigned long operation) {
  const char *text = emulator_text(name);
  int planned_rank = -1;
  unsigned long planned_operation = 0;
  if (!text || sscanf(text, "%d:%lu", &planned_rank, &planned_operation) < 1) return false;
  return planned_rank == rank && planned_operation == operation;
}

/* --- unique ids --- */

typedef struct unique_id {
  int32_t magic, root, sequence;
} unique_id;
_Static_assert(sizeof(unique_id) <= sizeof(ncclUniqueId), "an id holds ours");

static bool mpi_is_there(void) {
  int initialized = 0, finalized = 0, level = MPI_THREAD_SINGLE;
  MPI_Initialized(&initialized);
  MPI_Finalized(&finalized);
  if (initialized && !finalized) MPI_Query_thread(&level);
  return level == MPI_THREAD_MULTIPLE;
}

static int world_rank(void) {
  int rank = 0;
  if (mpi_is_there()) MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  return rank;
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *uniqueId) {
  static _Atomic(int) sequence;
  if (!uniqueId) return nccl_fail(ncclInvalidArgument, "ncclGetUniqueId: the place for the id is NULL");
  unique_id id = {ID_MAGIC, world_rank(), sequence++};
  memset(uniqueId, 0, sizeof *uniqueId);
  memcpy(uniqueId, &id, sizeof id);
  return ncclSuccess;
}

/* --- joining --- */

/* Who a rank is, as it tells the maker of the id. */
typedef struct joiner {
  int32_t rank, size, world, version;
  char uuid[16];
} joiner;

static ncclResult_t describe(ncclComm_t comm, joiner *out) {
  struct cudaDeviceProp properties;
  if (cudaGetDeviceProperties(&properties, comm->device) != cudaSuccess) {
    return nccl_fail(ncclUnhandledCudaError, "cudaGetDeviceProperties failed");
  }
  *out = (joiner){.rank = comm->rank, .size = comm->size, .world = world_rank(), .version = nccl_version()};
  memcpy(out->uuid, properties.uuid.bytes, sizeof out->uuid);
  return ncclSuccess;
}

static bool exchange(ncclComm_t comm, void *data, size_t bytes, int world, int tag, bool send) {
  MPI_Request request;
  if (send) {
    nccl_post_send(comm, data, bytes, world, tag, &request);
  } else {
    nccl_post_receive(comm, data, bytes, world, tag, &request);
  }
  return nccl_wait(comm, &request, 1);
}

/* The maker of the id: collects all ranks and sends everyone the table. Messages come in any order, so they are taken from any
 * source. */
static bool host_meeting(ncclComm_t comm, const joiner *self, joiner *table) {
  memset(table, 0, (size_t)comm->size * sizeof *table);
  table[comm->rank] = *self;
  for (int i = 1; i < comm->size; i++) {
    joiner guest = {0};
    if (!exchange(comm, &guest, sizeof guest, MPI_ANY_SOURCE, NCCL_TAG_JOIN, false)) return false;
    if (guest.size != comm->size || guest.rank < 0 || guest.rank >= comm->size || table[guest.rank].size != 0) {
      emulator_fail("nccl: rank %d of %d joins a communicator of %d a second time or with another size", guest.rank, guest.size,
                    comm->size);
    }
    table[guest.rank] = guest;
  }
  for (int i = 0; i < comm->size; i++) {
    size_t bytes = (size_t)comm->size * sizeof *table;
    if (i != comm->rank && !exchange(comm, table, bytes, table[i].world, NCCL_TAG_TABLE, true)) return false;
  }
  return true;
}

static bool meet(ncclComm_t comm, joiner *self, joiner *table) {
  if (self->world == comm->root) return host_meeting(comm, self, table);
  return exchange(comm, self, sizeof *self, comm->root, NCCL_TAG_JOIN, true) &&
         exchange(comm, table, (size_t)comm->size * sizeof *table, comm->root, NCCL_TAG_TABLE, false);
}

static bool gpus_can_be_shared(void) {
  const char *enabled = getenv("NCCL_MULTI_RANK_GPU_ENABLE");
  return nccl_version() >= FIRST_WITH_SHARED_GPUS && enabled && strcmp(enabled, "1") == 0;
}

static bool finds_duplicate(ncclComm_t comm, const joiner *table) {
  for (int i = 0; i < comm->size && !gpus_can_be_shared(); i++) {
    if (i == comm->rank || memcmp(table[i].uuid, table[comm->rank].uuid, sizeof table[i].uuid) != 0) continue;
    nccl_fail_later(comm, ncclInvalidUsage, "Duplicate GPU detected : rank %d and rank %d both on CUDA device %x", comm->rank,
                    i, comm->device);
    return true;
  }
  return false;
}

/* What NCCL_ALGO and NCCL_PROTO may name; the real library also takes names of functions before a colon. */
static const struct {
  const char *variable, *known[8];
} choices[] = {{"NCCL_PROTO", {"LL", "LL128", "Simple"}},
               {"NCCL_ALGO", {"Tree", "Ring", "CollNetDirect", "CollNetChain", "NVLS", "NVLSTree", "PAT"}}};

static bool is_known(const char *const known[8], const char *token, size_t length) {
  for (int i = 0; i < 8 && known[i] != NULL; i++) {
    if (strlen(known[i]) == length && strncasecmp(known[i], token, length) == 0) return true;
  }
  return false;
}

static bool finds_unknown_choice(ncclComm_t comm) {
  for (size_t v = 0; v < sizeof choices / sizeof *choices; v++) {
    const char *text = getenv(choices[v].variable), *token = text;
    while (token != NULL && *token != '\0') {
      token += *token == '^';
      size_t length = strcspn(token, ",");
      if (!is_known(choices[v].known, token, length)) {
        nccl_fail_later(comm, ncclInvalidUsage, "Unrecognized element token \"%.*s\" when parsing \"%s\"", (int)length, token,
                        text);
        return true;
      }
      token += length + (token[length] == ',');
    }
  }
  return false;
}

/* Nobody goes on before all can. */
static bool wait_for_all(ncclComm_t comm) {
  char word = 1;
  if (comm->world[comm->rank] != comm->root) {
    return exchange(comm, &word, 1, comm->root, NCCL_TAG_READY, true) &&
           exchange(comm, &word, 1, comm->root, NCCL_TAG_GO, false);
  }
  for (int i = 0; i < comm->size; i++) {
    if (i != comm->rank && !exchange(comm, &word, 1, comm->world[i], NCCL_TAG_READY, false)) return false;
  }
  for (int i = 0; i < comm->size; i++) {
    if (i != comm->rank && !exchange(comm, &word, 1, comm->world[i], NCCL_TAG_GO, true)) return false;
  }
  return true;
}

static void join(ncclComm_t comm) {
  joiner *self = calloc((size_t)comm->size + 1, sizeof *self), *table = self + 1;
  if (!self || describe(comm, self) != ncclSuccess) {
    nccl_fail_later(comm, ncclUnhandledCudaError, "the rank's GPU is not to be found");
    free(self);
    return;
  }
  if (!meet(comm, self, table)) {
    nccl_leave(self);
    return;
  }
  for (int i = 0; i < comm->size; i++) comm->world[i] = table[i].world;
  bool done = !finds_duplicate(comm, table) && !finds_unknown_choice(comm) && wait_for_all(comm);
  free(self);
  if (done) comm->state = ncclSuccess;
}

static void *join_on_thread(void *context) {
  ncclComm_t comm = context;
  join(comm);
  comm->running--;
  nccl_drop(comm);
  return NULL;
}

static ncclResult_t begin_to_join(ncclComm_t comm) {
  pthread_t thread;
  comm->state = ncclInProgress;
  if (comm->blocking) {
    join(comm);
    return comm->state;
  }
  comm->running++;
  nccl_hold(comm);
  if (pthread_create(&thread, NULL, join_on_thread, comm) != 0) {
    comm->running--;
    nccl_drop(comm);
    return nccl_fail(ncclSystemError, "no thread to join on");
  }
  pthread_detach(thread);
  return ncclInProgress;
}

static ncclResult_t create(const unique_id *id, int size, int rank, bool blocking, ncclComm_t *out) {
  ncclComm_t comm = calloc(1, sizeof *comm);
  *out = comm;
  if (!comm) return nccl_fail(ncclSystemError, "out of host memory");
  comm->world = malloc((size_t)size * sizeof *comm->world);
  if (!comm->world) return nccl_fail(ncclSystemError, "out of host memory");
  for (int i = 0; i < size; i++) comm->world[i] = -1;
  comm->rank = rank;
  comm->size = size;
  comm->blocking = blocking;
  comm->root = id->root;
  comm->tag = TAG_FIRST + (id->root * 37 + id->sequence) % TAG_COMMS * NCCL_TAGS;
  comm->holders = 1;
  return cudaGetDevice(&comm->device) == cudaSuccess ? ncclSuccess : nccl_fail(ncclUnhandledCudaError, "cudaGetDevice failed");
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank, ncclConfig_t *config) {
  unique_id id;
  memcpy(&id, &commId, sizeof id);
  if (!comm || nranks < 1 || rank < 0 || rank >= nranks || id.magic != ID_MAGIC) {
    return nccl_fail(ncclInvalidArgument, "ncclCommInitRank: rank %d of %d, or an id that ncclGetUniqueId did not make", rank,
                     nranks);
  }
  if (config && (config->magic != 0xcafebeef || config->size != sizeof *config)) {
    return nccl_fail(ncclInvalidArgument, "ncclConfig_t argument not initialized via NCCL_CONFIG_INITIALIZER");
  }
  if (nranks > 1 && !mpi_is_there()) return nccl_fail(ncclSystemError, "MPI is not there with MPI_THREAD_MULTIPLE");
  if (emulator_number("nccl_init_die", -1) == rank) _exit(1);
  if (emulator_number("nccl_init_kill", -1) == rank) kill(getpid(), SIGKILL);
  bool blocking = !config || config->blocking != 0;
  ncclResult_t result = create(&id, nranks, rank, blocking, comm);
  if (result != ncclSuccess) return result;
  if (nranks > 1) return begin_to_join(*comm);
  (*comm)->unsettled = !blocking;
  return blocking ? ncclSuccess : ncclInProgress;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank) {
  return ncclCommInitRankConfig(comm, nranks, commId, rank, NULL);
}

/* --- in use --- */

void nccl_hold(ncclComm_t comm) {
  comm->holders++;
}

void nccl_drop(ncclComm_t comm) {
  if (--comm->holders > 0) return;
  free(comm->world);
  free(comm);
}

ncclResult_t nccl_ready(ncclComm_t comm) {
  if (!comm) return nccl_fail(ncclInvalidArgument, "the communicator is NULL");
  if (comm->unsettled || comm->state == ncclInProgress) {
    return nccl_fail(ncclInvalidArgument, "Attempt to use communicator before the previous operation returned ncclSuccess");
  }
  return comm->state;
}

/* A non-blocking communicator says once that an operation is in progress, and issues it, before it says that it was issued. */
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *asyncError) {
  if (!comm || !asyncError) return nccl_fail(ncclInvalidArgument, "ncclCommGetAsyncError: an argument is NULL");
  nccl_look_for_notice(comm);
  *asyncError = comm->state;
  if (*asyncError != ncclSuccess || !atomic_exchange(&comm->unsettled, false)) return ncclSuccess;
  nccl_launch_pending(comm);
  *asyncError = ncclInProgress;
  return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count) {
  *count = comm->size;
  return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int *device) {
  *device = comm->device;
  return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank) {
  *rank = comm->rank;
  return ncclSuccess;
}

/* --- the end --- */

/* The real library waits for the graphs that its operations were recorded in, on every way to its end. */
void nccl_require_no_graph(ncclComm_t comm, const char *call) {
  if (comm->recorded == 0) return;
  emulator_fail("%s: a graph that has not been destroyed uses the communicator, and NCCL would wait for its end for ever",
                call);
}

static void wait_for_work(ncclComm_t comm) {
  while (comm->running > 0) nccl_pause();
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  ncclResult_t result = nccl_ready(comm);
  if (result != ncclSuccess) return result;
  nccl_require_no_graph(comm, __func__);
  nccl_require_no_memory(comm, __func__);
  if (!comm->blocking) {
    comm->unsettled = true;
    return ncclInProgress;
  }
  wait_for_work(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  if (!comm) return ncclSuccess;
  nccl_require_no_graph(comm, __func__);
  nccl_require_no_memory(comm, __func__);
  nccl_drop_pending(comm);
  wait_for_work(comm);
  comm->ended = true;
  nccl_drop(comm);
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  if (!comm) return ncclSuccess;
  while (emulator_number("nccl_abort_hangs", 0)) nccl_pause();
  nccl_require_no_graph(comm, __func__);
  nccl_drop_pending(comm);
  nccl_forget_memory(comm);
  comm->aborted = true;
  comm->ended = true;
  if (comm->size > 1) nccl_notify(comm);
  wait_for_work(comm);
  nccl_drop(comm);
  return ncclSuccess;
}
