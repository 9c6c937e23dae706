/* Inside the emulated NCCL.
 *
 * Messages travel over MPI, point to point on MPI_COMM_WORLD with tags of their own, so that the program may be inside MPI
 * calls of its own on another thread (it has asked for MPI_THREAD_MULTIPLE). Nothing waits in MPI: requests are polled, so that
 * an abort, here or told by a peer, ends every wait.
 *
 * Options, N counted from 1 over what the device runs (a call or a group is one; replays of graphs count):
 *   nccl_version=NNNNN    the version that the library says it has
 *   nccl_init_die=RANK    the rank ends while it joins a communicator
 *   nccl_die=RANK:N       the rank ends at its N-th operation
 *   nccl_init_kill=RANK, nccl_kill=RANK:N  the same by SIGKILL
 *   nccl_stop=RANK:N      the rank stands still (SIGSTOP) before its N-th operation, which the others wait for
 *   count_scale=N         every count that a call is given is taken N times, as when bytes are given for elements
 *   nccl_hang=RANK:N      the rank's N-th operation does not end until it is aborted
 *   nccl_error=RANK:N     the same, and the communicator reports an error
 *   nccl_abort_hangs=1    ncclCommAbort does not return
 *   slow_nccl=MS          every operation takes so many milliseconds more
 *   nccl_refuse=WHAT      alloc: ncclMemAlloc fails; register: ncclCommRegister does */
#ifndef DT_EMULATOR_NCCL_EMULATED_H
#define DT_EMULATOR_NCCL_EMULATED_H

#include <mpi.h>
#include <nccl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { NCCL_TAG_JOIN, NCCL_TAG_TABLE, NCCL_TAG_READY, NCCL_TAG_GO, NCCL_TAG_NOTICE, NCCL_TAG_HEADER, NCCL_TAG_DATA, NCCL_TAGS };

struct ncclComm {
  int rank, size, device;
  bool blocking;
  int root;                      /* rank in MPI_COMM_WORLD of the maker of the unique id */
  int tag;                       /* first of NCCL_TAGS tags */
  int *world;                    /* [size] ranks in MPI_COMM_WORLD; own memory, all -1 until the ranks have met */
  _Atomic(int) state;            /* ncclResult_t */
  atomic_bool unsettled;         /* non-blocking: an operation was issued, and its state not asked since */
  void *pending;                 /* it, until it is launched */
  atomic_bool ended;             /* aborted or destroyed */
  atomic_bool aborted;           /* what is still queued then does nothing */
  _Atomic(int) running;          /* pieces of work on the device's thread, and the joining */
  _Atomic(int) holders;          /* the user, and work that is enqueued or recorded */
  _Atomic(int) recorded;         /* groups that are part of graphs which have not been destroyed */
  unsigned long operation_count; /* run so far; the device's thread only */
};

/* Sets the text that ncclGetLastError gives, and returns result. */
ncclResult_t nccl_fail(ncclResult_t result, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for a failure that ncclCommGetAsyncError reports; the first one stays. */
void nccl_fail_later(ncclComm_t comm, ncclResult_t result, const char *format, ...) __attribute__((format(printf, 3, 4)));
void nccl_hold(ncclComm_t comm);
void nccl_drop(ncclComm_t comm);
/* Success when an operation may be issued. */
ncclResult_t nccl_ready(ncclComm_t comm);
/* Ends the process where a graph that has not been destroyed has operations of the communicator in it. */
void nccl_require_no_graph(ncclComm_t comm, const char *call);
/* nccl_memory.c: the communicator is aborted; it is to end well, and must not know of memory. */
void nccl_forget_memory(ncclComm_t comm);
void nccl_require_no_memory(ncclComm_t comm, const char *call);
/* Version that the library says it has. */
int nccl_version(void);
/* Whether option `name`, RANK:N, is for this rank and operation. */
bool nccl_is_planned(const char *name, int rank, unsigned long operation);

/* Messages: begin a request to or from a rank of MPI_COMM_WORLD. */
void nccl_post_send(ncclComm_t comm, const void *from, size_t bytes, int world, int tag, MPI_Request *out);
void nccl_post_receive(ncclComm_t comm, void *into, size_t bytes, int world, int tag, MPI_Request *out);
/* Polls until all requests have ended. False when the communicator was ended or a peer's notice came; the memory of the
 * messages must then be left alone for good. */
bool nccl_wait(ncclComm_t comm, MPI_Request *requests, int count);
/* Tells the peers that this rank has aborted. */
void nccl_notify(ncclComm_t comm);
/* Looks for a peer's notice; it becomes ncclRemoteError. */
void nccl_look_for_notice(ncclComm_t comm);
/* Keeps the memory of a message that was cut off, for good: MPI may still touch it. */
void nccl_leave(void *memory);
void nccl_pause(void);

typedef enum nccl_kind { NCCL_SEND, NCCL_RECEIVE, NCCL_ALL_REDUCE, NCCL_ALL_GATHER, NCCL_BROADCAST } nccl_kind;

/* One call. */
typedef struct nccl_operation {
  nccl_kind kind;
  const char *from;
  char *into;
  size_t count; /* elements */
  ncclDataType_t type;
  int peer; /* or root */
} nccl_operation;

/* Launches what a non-blocking communicator was called for, or forgets it. */
void nccl_launch_pending(ncclComm_t comm);
void nccl_drop_pending(ncclComm_t comm);
size_t nccl_type_bytes(ncclDataType_t type);
/* Whether it is a message of the rank to itself, for which each send needs its receive in the same group. */
bool nccl_is_to_itself(const struct ncclComm *comm, const nccl_operation *operation);
/* Runs the operations of a group: collectives one after another, then all messages at once. False when it was cut off. */
bool nccl_run(ncclComm_t comm, const nccl_operation *operation, int count);

#endif
