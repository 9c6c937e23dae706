/* The communicator over MPI: start-up, host collectives, and the choice of a reducer. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/cores.h"
#include "comm/mpi_comm.h"
#include "comm/pmix.h"

/* Open MPI's settings with which ranks on one host start fast and quietly and share cores fairly. The user's own environment
 * wins. Across hosts the choice of a network is left to MPI. */
static const struct {
  const char *name, *value;
  bool one_host_only;
} settings[] = {
    {"OMPI_MCA_pml", "ob1", true}, /* skips probing for fabrics: 0.2 s of MPI_Init */
    {"OMPI_MCA_btl", "self,vader,tcp", true},
    {"OMPI_MCA_btl_vader_single_copy_mechanism", "none", false}, /* cma needs ptrace, which containers forbid, and warns */
    {"OMPI_MCA_mpi_yield_when_idle", "1", false},
    {"OMPI_MCA_btl_base_warn_component_unused", "0", false},
};

static bool launched_on_one_host(void) {
  const char *all = getenv("OMPI_COMM_WORLD_SIZE"), *here = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  return all != NULL && here != NULL && strcmp(all, here) == 0;
}

static void prepare_environment(void) {
  bool one_host = launched_on_one_host();
  for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++) {
    if (one_host || !settings[i].one_host_only) setenv(settings[i].name, settings[i].value, 0);
  }
}

dt_status dt_mpi_raise(int code, const char *call, const char *file, int line) {
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  return dt_error_set(DT_PEER, file, line, "%s failed: %s", call, text);
}

static dt_status mpi_allreduce_i64(dt_comm *comm, int64_t *value, int count, dt_reduce_op op) {
  const MPI_Op ops[] = {[DT_SUM] = MPI_SUM, [DT_MIN] = MPI_MIN, [DT_MAX] = MPI_MAX};
  dt_comm_mark(comm, DT_COLLECTIVE_ALLREDUCE, DT_I64, (uint64_t)count);
  DT_MPI(MPI_Allreduce(MPI_IN_PLACE, value, count, MPI_INT64_T, ops[op], ((mpi_comm *)comm)->world));
  return DT_OK;
}

static dt_status mpi_bcast(dt_comm *comm, void *data, size_t bytes, int root) {
  const size_t piece = (size_t)1 << 30; /* MPI counts in int */
  dt_comm_mark(comm, DT_COLLECTIVE_BCAST, DT_U8, bytes);
  for (size_t at = 0; at < bytes; at += piece) {
    size_t here = bytes - at < piece ? bytes - at : piece;
    DT_MPI(MPI_Bcast((char *)data + at, (int)here, MPI_BYTE, root, ((mpi_comm *)comm)->world));
  }
  return DT_OK;
}

static dt_status mpi_gather(dt_comm *comm, const void *data, size_t bytes, void *out, int root) {
  dt_comm_mark(comm, DT_COLLECTIVE_GATHER, DT_U8, bytes);
  DT_REQUIRE(bytes <= (size_t)1 << 30, DT_INTERNAL, "gather of %zu bytes per rank: at most 2^30", bytes);
  DT_MPI(MPI_Gather(data, (int)bytes, MPI_BYTE, out, (int)bytes, MPI_BYTE, root, ((mpi_comm *)comm)->world));
  return DT_OK;
}

static dt_status mpi_barrier(dt_comm *comm) {
  dt_comm_mark(comm, DT_COLLECTIVE_BARRIER, DT_U8, 0);
  DT_MPI(MPI_Barrier(((mpi_comm *)comm)->world));
  return DT_OK;
}

static dt_status mpi_reducer_create(dt_comm *base, const dt_reducer_options *options, dt_reducer **out) {
  mpi_comm *comm = (mpi_comm *)base;
  bool one_host = base->local_size == base->size;
  dt_comm_mark(base, DT_COLLECTIVE_REDUCER_CREATE, options->dtype, (uint64_t)options->partial_elements);
  DT_REQUIRE(options->tree->size == base->size, DT_INTERNAL, "a tree for %d ranks in a world of %d", options->tree->size,
             base->size);
  if (options->mode == DT_REDUCE_FAST) return dt_fast_reducer_create(comm, options, out);
  if (options->transport == DT_TRANSPORT_MESSAGES) return dt_messages_reducer_create(comm, options, out);
  if (options->transport == DT_TRANSPORT_SHARED) {
    DT_REQUIRE(one_host, DT_USAGE, "comm.transport: shared needs all ranks on one host; use auto or messages");
    return dt_shared_reducer_create(comm, options, out);
  }
  if (one_host) {
    dt_status status = dt_shared_reducer_create(comm, options, out);
    if (status != DT_ENVIRONMENT) return status;
    dt_error_clear(); /* no shared memory to be had here, on any rank */
  }
  return dt_messages_reducer_create(comm, options, out);
}

static void mpi_abort(dt_comm *comm, int exit_code) {
  fflush(NULL);
  if (!dt_pmix_abort(exit_code)) MPI_Abort(MPI_COMM_WORLD, exit_code);
}

static void mpi_destroy(dt_comm **base) {
  mpi_comm *comm = (mpi_comm *)*base;
  if (comm == NULL) return;
  if (comm->host != MPI_COMM_NULL) MPI_Comm_free(&comm->host);
  if (comm->world != MPI_COMM_NULL) MPI_Comm_free(&comm->world);
  MPI_Finalize();
  free(comm);
  *base = NULL;
}

/* Waits for the launcher's SIGTERM, which ends this rank; without one for as long as a launcher could need. The signal is taken
 * from the handler that would make it a wish to stop. */
static void await_end(void) {
  static const struct timespec limit = {.tv_sec = 2};
  sigset_t end;
  sigemptyset(&end);
  sigaddset(&end, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &end, NULL);
  while (sigtimedwait(&end, NULL, &limit) == -1 && errno == EINTR) continue; /* SIGCONT comes first */
}

/* mpirun ends all ranks as soon as one has failed and ended. In MPI_Finalize Open MPI 4.1 may crash when mpirun goes away, so
 * that rank 0 waits until the others have come through it, and the others until rank 0 has told the launcher: a rank that ends
 * before makes mpirun say more than was said. It sends SIGCONT, SIGTERM and SIGKILL, a second apart but for where a rank ends
 * meanwhile: rank 0 ends after the first, the others after the second. */
static void mpi_end(dt_comm **base, int exit_code) {
  bool root = (*base)->rank == 0, several = (*base)->size > 1;
  mpi_barrier(*base); /* rank 0 has spoken */
  bool held = dt_pmix_hold();
  mpi_destroy(base);
  if (!held || !dt_pmix_fence()) return;
  if (root) {
    dt_pmix_abort(exit_code);
  } else if (several) {
    await_end();
  }
}

static const dt_comm_ops mpi_ops = {
    .name = "mpi",
    .allreduce_i64 = mpi_allreduce_i64,
    .bcast = mpi_bcast,
    .gather = mpi_gather,
    .barrier = mpi_barrier,
    .reducer_create = mpi_reducer_create,
    .abort = mpi_abort,
    .end = mpi_end,
    .destroy = mpi_destroy,
};

/* A launcher may have bound each rank to a core of its own, or all of them to the same one: ranks wait by spinning where there
 * are as many cores as ranks. */
static dt_status find_cores(mpi_comm *comm) {
  const int count = comm->base.local_size;
  cpu_set_t own, all, *mask;
  dt_cores_mask(&own);
  DT_TRY(dt_alloc((size_t)count, sizeof *mask, &mask));
  dt_status status = DT_OK;
  DT_MPI_GOTO(done, MPI_Allgather(&own, (int)sizeof own, MPI_BYTE, mask, (int)sizeof own, MPI_BYTE, comm->host));
  comm->base.cores = dt_cores_share(mask, count, comm->base.local_rank);
  CPU_ZERO(&all);
  for (int i = 0; i < count; i++) CPU_OR(&all, &all, &mask[i]);
  comm->spin = CPU_COUNT(&all) >= count;
done:
  free(mask);
  return status;
}

static dt_status connect(mpi_comm *comm) {
  DT_MPI(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN)); /* what is made of it inherits this */
  DT_MPI(MPI_Comm_dup(MPI_COMM_WORLD, &comm->world));
  DT_MPI(MPI_Comm_rank(comm->world, &comm->base.rank));
  DT_MPI(MPI_Comm_size(comm->world, &comm->base.size));
  DT_MPI(MPI_Comm_split_type(comm->world, MPI_COMM_TYPE_SHARED, comm->base.rank, MPI_INFO_NULL, &comm->host));
  DT_MPI(MPI_Comm_rank(comm->host, &comm->base.local_rank));
  DT_MPI(MPI_Comm_size(comm->host, &comm->base.local_size));
  return find_cores(comm);
}

dt_status dt_comm_mpi_create(int *argc, char ***argv, dt_comm **out) {
  mpi_comm *comm = NULL;
  dt_comm *base = NULL;
  DT_TRY(dt_alloc(1, sizeof *comm, &comm));
  base = &comm->base;
  base->ops = &mpi_ops;
  comm->world = comm->host = MPI_COMM_NULL;
  prepare_environment();
  int provided = 0;
  if (MPI_Init_thread(argc, argv, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) {
    free(comm);
    DT_RAISE(DT_ENVIRONMENT, "MPI_Init failed");
  }
  dt_status status = connect(comm);
  if (status == DT_OK && provided < MPI_THREAD_MULTIPLE) {
    status = dt_error_set(DT_ENVIRONMENT, __FILE__, __LINE__, "this MPI library does not offer MPI_THREAD_MULTIPLE");
  }
  if (status != DT_OK) mpi_destroy(&base);
  *out = base;
  return status;
}

const char *dt_comm_library(void) {
  static _Thread_local char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  if (MPI_Get_library_version(text, &length) != MPI_SUCCESS) return NULL;
  text[strcspn(text, ",\n")] = '\0';
  return text;
}
