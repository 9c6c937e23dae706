/* Messages of the emulated NCCL: polled requests of MPI. */
#include <sched.h>
#include <stdlib.h>
#include <time.h>

#include "emulator.h"
#include "nccl_emulated.h"

enum { POLLS_BEFORE_SLEEP = 20, SLEEP_NS = 50000 };

void nccl_pause(void) {
  nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
}

typedef struct left {
  struct left *next;
  void *memory;
} left;

void nccl_leave(void *memory) {
  static _Atomic(left *) all;
  left *entry = malloc(sizeof *entry);
  if (!entry) emulator_fail("nccl: out of host memory");
  entry->memory = memory;
  entry->next = atomic_exchange(&all, entry);
}

static int checked_bytes(size_t bytes) {
  if (bytes > INT32_MAX) emulator_fail("nccl: a message of %zu bytes is more than is emulated", bytes);
  return (int)bytes;
}

void nccl_post_send(ncclComm_t comm, const void *from, size_t bytes, int world, int tag, MPI_Request *out) {
  MPI_Isend(from, checked_bytes(bytes), MPI_BYTE, world, comm->tag + tag, MPI_COMM_WORLD, out);
}

void nccl_post_receive(ncclComm_t comm, void *into, size_t bytes, int world, int tag, MPI_Request *out) {
  MPI_Irecv(into, checked_bytes(bytes), MPI_BYTE, world, comm->tag + tag, MPI_COMM_WORLD, out);
}

/* Several threads may look at once: a matched probe gives each message to one of them. */
void nccl_look_for_notice(ncclComm_t comm) {
  MPI_Message message;
  MPI_Status status;
  int found = 0, rank = -1;
  if (comm->size == 1) return;
  MPI_Improbe(MPI_ANY_SOURCE, comm->tag + NCCL_TAG_NOTICE, MPI_COMM_WORLD, &found, &message, &status);
  if (!found) return;
  MPI_Mrecv(&rank, sizeof rank, MPI_BYTE, &message, MPI_STATUS_IGNORE);
  nccl_fail_later(comm, ncclRemoteError, "rank %d has left the communicator", rank);
}

bool nccl_wait(ncclComm_t comm, MPI_Request *requests, int count) {
  int done = 0;
  for (int polls = 0;; polls++) {
    MPI_Testall(count, requests, &done, MPI_STATUSES_IGNORE);
    if (done) return true;
    nccl_look_for_notice(comm);
    if (comm->ended || comm->state == ncclRemoteError) return false;
    if (polls < POLLS_BEFORE_SLEEP) {
      sched_yield();
    } else {
      nccl_pause();
    }
  }
}

void nccl_notify(ncclComm_t comm) {
  static int rank;
  rank = comm->rank;
  for (int i = 0; i < comm->size; i++) {
    MPI_Request request;
    int world = comm->world[i];
    if (i == comm->rank || world < 0) continue;
    nccl_post_send(comm, &rank, sizeof rank, world, NCCL_TAG_NOTICE, &request);
    MPI_Request_free(&request);
  }
}
