/* The contract of a communicator, and the reducer that brings the gradient's buckets together.
 *
 * self is a world of one with no special case anywhere; mpi works in host memory with a progress thread; nccl (device memory)
 * fills the same table. Set-up, agreement and control always go over the host calls (allreduce_i64, bcast, gather, barrier).
 * Every collective carries a sequence number and a signature that a watchdog can read (dt_comm.sequence, .signature). */
#ifndef DT_COMM_COMM_H
#define DT_COMM_COMM_H

#include <stdatomic.h>

#include "core/program.h"
#include "core/spec.h"
#include "core/tensor.h"
#include "core/tree.h"

typedef struct dt_comm dt_comm;
typedef struct dt_reducer dt_reducer;

typedef enum dt_reduce_op { DT_SUM, DT_MIN, DT_MAX } dt_reduce_op;

typedef struct dt_reducer_options {
  const dt_tree *tree;
  int mode;       /* dt_reduce_mode */
  int transport;  /* dt_transport */
  dt_dtype dtype; /* DT_F32 or DT_F64 */
  const dt_bucket *bucket;
  int bucket_count;
  int64_t node_elements; /* stride between gradient nodes: program->grad_elements */
} dt_reducer_options;

typedef struct dt_comm_ops {
  const char *name;
  /* Collective, blocking, host memory. */
  dt_status (*allreduce_i64)(dt_comm *comm, int64_t *value, int count, dt_reduce_op op);
  dt_status (*bcast)(dt_comm *comm, void *data, size_t bytes, int root);
  /* Every rank's bytes at the root: data is `bytes` on each rank; out holds size*bytes at the root, unused elsewhere. */
  dt_status (*gather)(dt_comm *comm, const void *data, size_t bytes, void *out, int root);
  dt_status (*barrier)(dt_comm *comm);
  /* The reducer owns the gradient block (tree->nodes_max nodes), so that a communicator can place it where it reduces
   * fastest (a shared-memory window, registered memory). Collective. */
  dt_status (*reducer_create)(dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
  /* Tells every rank of a failure that only this one has seen, as far as the communicator can: ends the job. */
  void (*abort)(dt_comm *comm, int exit_code);
  void (*destroy)(dt_comm **comm);
} dt_comm_ops;

struct dt_comm {
  const dt_comm_ops *ops;
  int rank, size;
  int local_rank, local_size; /* among the ranks that share this host's memory */
  bool diverged;              /* this rank failed where the others could not know it: only abort can end the job */
  bool stranded;              /* all know that a rank hangs (DT_PEER): nothing is taken down, and abort ends the job */
  _Atomic uint64_t sequence;  /* collectives begun */
  _Atomic uint64_t signature; /* op << 56 | dtype << 48 | count of the last one */
};

typedef struct dt_reducer_ops {
  /* Starts the reduction of a bucket of this rank's roots; asynchronous. Every rank calls it for the same buckets in the same
   * order. The elements must not be touched until the end. Collective. */
  dt_status (*begin)(dt_reducer *reducer, int bucket);
  /* Waits: afterwards node 0 of every rank holds the sum over all shards. Collective. */
  dt_status (*end)(dt_reducer *reducer, int bucket);
  void (*destroy)(dt_reducer **reducer);
  /* Called now and then by who waits for a step that begin and end were recorded in, and has waited for so many seconds:
   * DT_PEER when a rank is lost, or the step has not ended by the reducer's deadline. Does not wait. NULL: end tells it all. */
  dt_status (*poll)(dt_reducer *reducer, double waited_seconds);
} dt_reducer_ops;

struct dt_reducer {
  const dt_reducer_ops *ops;
  void *gradient;      /* nodes_max * node_elements elements, 64-byte aligned; in device memory for a device's own reducer */
  bool records;        /* a device's own: begin and end only enqueue, so that a step with them can be recorded as a graph */
  double wait_seconds; /* time the caller has waited in end: exposed communication */
  const char *library; /* that takes part besides MPI, with its version, for the record: "NCCL 2.28.9"; may be NULL */
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
