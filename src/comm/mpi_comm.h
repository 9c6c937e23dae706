/* Inside the mpi communicator. MPI's header stays in src/comm. */
#ifndef DT_COMM_MPI_COMM_H
#define DT_COMM_MPI_COMM_H

#include <mpi.h>

#include "comm/internal.h"

typedef struct mpi_comm {
  dt_comm base;
  MPI_Comm world; /* our duplicate: host collectives */
  MPI_Comm host;  /* the ranks that share this host's memory */
  bool spin;      /* every rank of this host has a core for itself */
} mpi_comm;

/* Hands MPI's errors on as DT_PEER, with the call that failed. */
#define DT_MPI(call)                                                                               \
  do {                                                                                             \
    int dt_mpi_code_ = (call);                                                                     \
    if (dt_mpi_code_ != MPI_SUCCESS) return dt_mpi_raise(dt_mpi_code_, #call, __FILE__, __LINE__); \
  } while (0)
#define DT_MPI_GOTO(label, call)                                      \
  do {                                                                \
    int dt_mpi_code_ = (call);                                        \
    if (dt_mpi_code_ != MPI_SUCCESS) {                                \
      status = dt_mpi_raise(dt_mpi_code_, #call, __FILE__, __LINE__); \
      goto label;                                                     \
    }                                                                 \
  } while (0)
dt_status dt_mpi_raise(int code, const char *call, const char *file, int line);

/* The reducers behind one contract. Collective. DT_ENVIRONMENT from shared when the host gives no shared memory: the caller
 * may take messages then. */
dt_status dt_shared_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out);
dt_status dt_messages_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out);
dt_status dt_fast_reducer_create(mpi_comm *comm, const dt_reducer_options *options, dt_reducer **out);

#endif
