/* Which communicator a process gets, told from what its launcher left in the environment. */
#include <stdlib.h>
#include <string.h>

#include "comm/internal.h"

/* A launcher that MPI can talk to sets its variable of rank in each process; size promises how many there are. */
static const struct {
  const char *rank, *size;
} launchers[] = {
    {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"},
    {"PMIX_RANK", "SLURM_STEP_NUM_TASKS"},
    {"PMI_RANK", "PMI_SIZE"},
};

static int64_t env_count(const char *name) {
  const char *text = getenv(name);
  if (text == NULL) return 0;
  char *end = NULL;
  long long value = strtoll(text, &end, 10);
  return end != text && *end == '\0' && value > 0 ? value : 0;
}

int dt_launcher_rank(void) {
  for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
    if (getenv(launchers[i].rank) != NULL) return (int)env_count(launchers[i].rank);
  }
  return (int)env_count("SLURM_PROCID");
}

bool dt_launcher_exists(void) {
  for (size_t i = 0; i < sizeof launchers / sizeof launchers[0]; i++) {
    if (getenv(launchers[i].rank) != NULL) return true;
  }
  return getenv("SLURM_PROCID") != NULL;
}

/* Several tasks of one srun step. A batch script and the shell of salloc know SLURM_NTASKS too, and the script even
 * SLURM_PROCID, but only srun promises tasks of a step, so that one process in an allocation stays a world of one. */
static int64_t srun_tasks(void) {
  return getenv("SLURM_PROCID") != NULL ? env_count("SLURM_STEP_NUM_TASKS") : 0;
}

#define SRUN_LINE \
  "start it with `srun --mpi=pmix ...` (`srun --mpi=list` shows what this Slurm has), or with mpirun inside sbatch or salloc"

dt_status dt_comm_create(int *argc, char ***argv, dt_comm **out) {
  size_t launcher = 0, launcher_count = sizeof launchers / sizeof launchers[0];
  while (launcher < launcher_count && getenv(launchers[launcher].rank) == NULL) launcher++;
  if (launcher == launcher_count) {
    int64_t tasks = srun_tasks();
    DT_REQUIRE(tasks <= 1, DT_ENVIRONMENT, "srun started %lld processes that cannot reach each other: " SRUN_LINE,
               (long long)tasks);
    return dt_comm_self_create(out);
  }
  int64_t promised = env_count(launchers[launcher].size);
  dt_comm *comm = NULL;
  DT_TRY(dt_comm_mpi_create(argc, argv, &comm));
  if (promised > 0 && promised != comm->size) {
    int size = comm->size;
    comm->ops->destroy(&comm);
    DT_RAISE(
        DT_ENVIRONMENT, "%s promises %lld ranks, MPI has %d: %s", launchers[launcher].size, (long long)promised, size,
        getenv("SLURM_PROCID") != NULL ? SRUN_LINE : "start it with the mpirun of the MPI library that dtrain was built with");
  }
  *out = comm;
  return DT_OK;
}

/* As self and mpi choose. */
size_t dt_reducer_bytes(const dt_reducer_options *options, bool one_host) {
  size_t own = dt_block_bytes(dt_gradient_bytes(options));
  if (options->tree->size == 1 || options->mode == DT_REDUCE_FAST) return own;
  bool shared = options->transport == DT_TRANSPORT_SHARED || (options->transport != DT_TRANSPORT_MESSAGES && one_host);
  return shared ? dt_shared_window_bytes(options, options->tree->rank) : own + dt_messages_received_bytes(options);
}
