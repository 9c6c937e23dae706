/* The contract of a communicator.
 *
 * self is a world of one with no special case anywhere; mpi works in host memory with a progress thread; nccl (device memory)
 * fills the same table. Set-up, agreement and control always go over the host calls (allreduce_i64, bcast, gather, barrier).
 * Every collective carries a sequence number and a signature that a watchdog can read (dt_comm.sequence, .signature). */
#ifndef DT_COMM_COMM_H
#define DT_COMM_COMM_H

#include <stdatomic.h>

#include "core/rank_state.h"
#include "core/reducer.h"

typedef struct dt_comm dt_comm;

typedef enum dt_reduce_op { DT_SUM, DT_MIN, DT_MAX } dt_reduce_op;

typedef struct dt_comm_ops {
  const char *name;
  /* Collective, blocking, host memory. */
  dt_status (*allreduce_i64)(dt_comm *comm, int64_t *value, int count, dt_reduce_op op);
  dt_status (*bcast)(dt_comm *comm, void *data, size_t bytes, int root);
  /* Every rank's bytes at the root: data is `bytes` on each rank; out holds size*bytes at the root, unused elsewhere. */
  dt_status (*gather)(dt_comm *comm, const void *data, size_t bytes, void *out, int root);
  dt_status (*barrier)(dt_comm *comm);
  /* The reducer owns the gradient block (tree->partials_max partial sums), so that a communicator can place it where it reduces
   * fastest (a shared-memory window, registered memory). Collective. */
  dt_status (*reducer_create)(dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
  /* Tells every rank of a failure that only this one has seen, as far as the communicator can: ends the job. May
   * return before this process is ended, which the caller then does itself. */
  void (*abort)(dt_comm *comm, int exit_code);
  /* Leaves the ranks after a failure that every rank knows and rank 0 has told, and has the launcher end the job with
   * exit_code, without words of its own where it can. The caller then ends with that code. Collective. */
  void (*end)(dt_comm **comm, int exit_code);
  void (*destroy)(dt_comm **comm);
} dt_comm_ops;

struct dt_comm {
  const dt_comm_ops *ops;
  int rank, size;
  int local_rank, local_size; /* among the ranks that share this host's memory */
  double cores;               /* of this host that are this rank's; a core that several ranks may use is shared equally */
  dt_rank_state state;        /* of this rank */
  _Atomic uint64_t sequence;  /* collectives begun */
  _Atomic uint64_t signature; /* op << 56 | dtype << 48 | count of the last one */
};

/* Name and version of the MPI library, one line, for the record. Not collective. */
const char *dt_comm_library(void);
dt_status dt_comm_self_create(dt_comm **out);
/* Initialises MPI (THREAD_MULTIPLE), quietly; finalizes it in destroy. */
dt_status dt_comm_mpi_create(int *argc, char ***argv, dt_comm **out);
/* self, or mpi when a launcher started this process. Launcher variables that promise several ranks without a way to reach them
 * (srun without PMIx) raise DT_ENVIRONMENT with the line to use. */
dt_status dt_comm_create(int *argc, char ***argv, dt_comm **out);

/* The rank that a launcher gave this process, before MPI is started; 0 without one. Not collective. */
int dt_launcher_rank(void);
/* Whether a launcher started this process. Not collective. */
bool dt_launcher_exists(void);

/* Folds one rank's status into all: returns DT_OK when every rank is well; else every rank returns the status of the lowest
 * failing rank, and those that were well get its error text ("rank 2: ..."). Collective. */
dt_status dt_comm_agree(dt_comm *comm, dt_status status);
/* Compares a text over all ranks; on a difference every rank raises DT_ENVIRONMENT naming the rank and the first line that
 * differs, with both versions. Collective. */
dt_status dt_comm_agree_text(dt_comm *comm, const char *what, const char *text);

/* The ordered local sum of one slice: out = fold over roots, element by element in the tree's order. source[i] is root i's
 * slice; scratch holds what fold needs. out may be source[0]. Pure; used by every transport and by tests. */
void dt_fold_f32(const dt_merge *fold, int fold_count, float *const *source, int source_count, int64_t count, float *out);
void dt_fold_f64(const dt_merge *fold, int fold_count, double *const *source, int source_count, int64_t count, double *out);

#endif
