/* mpi_agree: one failing rank after the other, texts that differ on one rank, and the host collectives. */
#include <mpi.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/comm.h"

#define CHECK(condition)                                                                                \
  do {                                                                                                  \
    if (!(condition)) {                                                                                 \
      fprintf(stderr, "%s:%d: %s (error text: %s)\n", __FILE__, __LINE__, #condition, dt_error_text()); \
      MPI_Abort(MPI_COMM_WORLD, 1);                                                                     \
    }                                                                                                   \
  } while (0)

static dt_status fail(int rank) {
  DT_RAISE(DT_DATA, "train.idx of rank %d is short", rank);
}

static void check_agree(dt_comm *comm) {
  CHECK(dt_comm_agree(comm, DT_OK) == DT_OK);
  for (int bad = 0; bad < comm->size; bad++) {
    bool mine = comm->rank == bad;
    CHECK(dt_comm_agree(comm, mine ? fail(bad) : DT_OK) == DT_DATA);
    char expected[128];
    snprintf(expected, sizeof expected, mine ? "train.idx of rank %d is short" : "rank %d: train.idx of rank %d is short", bad,
             bad);
    CHECK(strcmp(dt_error_text(), expected) == 0);
    dt_error_clear();
  }
  /* All fail, each in its own way: the lowest rank's status wins, and each keeps its own text. */
  dt_status own = dt_error_set(comm->rank == 0 ? DT_IO : DT_MEMORY, __FILE__, __LINE__, "mine %d", comm->rank);
  CHECK(dt_comm_agree(comm, own) == DT_IO);
  CHECK(atoi(dt_error_text() + 5) == comm->rank);
  dt_error_clear();
}

static void check_agree_text(dt_comm *comm) {
  CHECK(dt_comm_agree_text(comm, "config", "a: 1\nb: 2\n") == DT_OK);
  CHECK(dt_comm_agree_text(comm, "config", "") == DT_OK);
  static const struct {
    const char *odd, *need[3];
  } cases[] = {
      {"a: 1\nb: 3\n", {"line 2", "`b: 2`", "`b: 3`"}},
      {"a: 1\n", {"line 2", "`b: 2`", "``"}},
      {"a: 1\nb: 2\nc: 3\n", {"line 3", "``", "`c: 3`"}},
      {"a: 1\nb: 2", {"ends after line 2", "config", "differs"}},
      {"", {"line 1", "`a: 1`", "``"}},
  };
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int odd = 1; odd < comm->size; odd++) {
      char rank[32];
      snprintf(rank, sizeof rank, "rank %d", odd);
      CHECK(dt_comm_agree_text(comm, "config", comm->rank == odd ? cases[i].odd : "a: 1\nb: 2\n") == DT_ENVIRONMENT);
      CHECK(strstr(dt_error_text(), rank) != NULL);
      for (int n = 0; n < 3; n++) CHECK(strstr(dt_error_text(), cases[i].need[n]) != NULL);
      dt_error_clear();
    }
  }
}

static void check_host_collectives(dt_comm *comm) {
  int n = comm->size, r = comm->rank;
  uint64_t before = atomic_load(&comm->sequence);
  int64_t v[2] = {r + 1, -r};
  CHECK(comm->ops->allreduce_i64(comm, v, 2, DT_SUM) == DT_OK && v[0] == n * (n + 1) / 2 && v[1] == -n * (n - 1) / 2);
  v[0] = r;
  CHECK(comm->ops->allreduce_i64(comm, v, 1, DT_MIN) == DT_OK && v[0] == 0);
  v[0] = r;
  CHECK(comm->ops->allreduce_i64(comm, v, 1, DT_MAX) == DT_OK && v[0] == n - 1);
  char text[8] = "";
  if (r == n - 1) strcpy(text, "hello");
  CHECK(comm->ops->bcast(comm, text, sizeof text, n - 1) == DT_OK && strcmp(text, "hello") == 0);
  int all[64] = {0};
  CHECK(comm->ops->gather(comm, &r, sizeof r, all, n - 1) == DT_OK);
  for (int i = 0; r == n - 1 && i < n; i++) CHECK(all[i] == i);
  CHECK(comm->ops->barrier(comm) == DT_OK);
  CHECK(atomic_load(&comm->sequence) == before + 6);
  CHECK(comm->local_size == n && comm->local_rank == r);
}

/* Binds this process to one of its cores, dealt out by rank as mpirun does; *out_cores is how many there were. */
static bool bind_to_core(int *out_cores) {
  cpu_set_t own, bound;
  CPU_ZERO(&bound);
  if (sched_getaffinity(0, sizeof own, &own) != 0) return false;
  *out_cores = CPU_COUNT(&own);
  int nth = dt_launcher_rank() % *out_cores;
  for (int core = 0; core < CPU_SETSIZE; core++) {
    if (CPU_ISSET(core, &own) && nth-- == 0) CPU_SET(core, &bound);
  }
  return sched_setaffinity(0, sizeof bound, &bound) == 0;
}

/* A rank that is alone on its core has all of it, however many ranks there are; on a core of several each has its part. */
static void check_cores(const dt_comm *comm, int cores) {
  const int n = comm->size, sharers = n / cores + (comm->rank % cores < n % cores);
  CHECK(comm->cores == 1.0 / sharers);
}

int main(int argc, char **argv) {
  dt_comm *comm = NULL;
  int cores;
  if (!bind_to_core(&cores)) return perror("affinity"), 1;
  if (dt_comm_create(&argc, &argv, &comm) != DT_OK) return fprintf(stderr, "%s\n", dt_error_text()), 1;
  check_cores(comm, cores);
  check_host_collectives(comm);
  check_agree(comm);
  check_agree_text(comm);
  comm->ops->destroy(&comm);
  return comm == NULL ? 0 : 1;
}
