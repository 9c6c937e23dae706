/* The emulated NCCL under mpirun, against MPI's own collectives: nccl [CASE].
 *
 * collectives  every operation gives what MPI gives, while the main thread is in MPI calls of its own
 * duplicate    all ranks but the last on one GPU: they are refused, or hear like the last one that another was
 * error        an asynchronous error at the third operation of rank 1: all ranks hear of it and can abort
 * count        rank 0 gives another count than the others, which ends the process with a line
 * host         a buffer in host memory, likewise
 * graph        an operation is recorded, and the communicator ended before the graph, likewise
 * memory       memory of NCCL's own is registered, reduced, let go of and freed; an abort forgets what was registered
 * freed        it is freed while it is registered, which ends the process with a line
 * left         the communicator is ended while it is registered, likewise
 * twice        it is registered twice, likewise
 * cuda_freed   cudaFree is called with it, likewise
 * unsettled    a copy is put behind an operation that has not been waited for: it comes before it */
#include <mpi.h>
#include <nccl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static int rank, size;
static ncclComm_t comm;
static cudaStream_t stream;

#define REQUIRE(condition)                                                                                       \
  do {                                                                                                           \
    if (!(condition)) {                                                                                          \
      printf("rank %d: %s:%d: not so: %s (%s)\n", rank, __FILE__, __LINE__, #condition, ncclGetLastError(NULL)); \
      MPI_Abort(MPI_COMM_WORLD, 1);                                                                              \
    }                                                                                                            \
  } while (0)

static ncclResult_t settled(void) {
  ncclResult_t state;
  do {
    nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    REQUIRE(ncclCommGetAsyncError(comm, &state) == ncclSuccess);
  } while (state == ncclInProgress);
  return state;
}

static void issued(ncclResult_t result) {
  REQUIRE(result == ncclInProgress && settled() == ncclSuccess);
}

static ncclResult_t join(void) {
  ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
  ncclUniqueId id;
  config.blocking = 0;
  if (rank == 0) REQUIRE(ncclGetUniqueId(&id) == ncclSuccess);
  MPI_Bcast(&id, sizeof id, MPI_BYTE, 0, MPI_COMM_WORLD);
  REQUIRE(ncclCommInitRankConfig(&comm, size, id, rank, &config) == ncclInProgress);
  return settled();
}

static void *on_device(size_t bytes) {
  void *p;
  REQUIRE(cudaMalloc(&p, bytes + 1) == cudaSuccess);
  return p;
}

static void upload(void *to, const void *from, size_t bytes) {
  REQUIRE(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice) == cudaSuccess);
}

/* What is in device memory once the stream is done; meanwhile this thread is in a collective of MPI. */
static void download(void *to, const void *from, size_t bytes) {
  int sum, one = 1;
  MPI_Allreduce(&one, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  REQUIRE(cudaMemcpy(to, from, bytes, cudaMemcpyDeviceToHost) == cudaSuccess);
}

static float *random_floats(size_t count, unsigned seed) {
  float *values = malloc((count + 1) * sizeof *values);
  unsigned state = seed * 2654435761u + 1;
  for (size_t i = 0; i < count; i++) {
    state = state * 1664525u + 1013904223u;
    float x = (float)(state >> 8) / (1 << 23) - 1;
    values[i] = x * x * x; /* of many magnitudes, so that sums are rounded */
  }
  return values;
}

/* Sums of floats against sums in double; the same bits on every rank, and, of many elements on three ranks or more, not all the
 * bits of the sum in the order of ranks. */
static void check_all_reduce(size_t count, bool in_place) {
  float *mine = random_floats(count, (unsigned)rank + 7), *got = malloc((count + 1) * 4), *first = malloc((count + 1) * 4);
  float *all = malloc(((size_t)size * count + 1) * 4);
  char *from = on_device(count * 4), *into = in_place ? from : (char *)on_device(count * 4);
  size_t reordered = 0;
  upload(from, mine, count * 4);
  issued(ncclAllReduce(from, into, count, ncclFloat, ncclSum, comm, stream));
  download(got, into, count * 4);
  MPI_Allgather(mine, (int)count, MPI_FLOAT, all, (int)count, MPI_FLOAT, MPI_COMM_WORLD);
  memcpy(first, got, count * 4);
  MPI_Bcast(first, (int)count, MPI_FLOAT, 0, MPI_COMM_WORLD);
  REQUIRE(memcmp(first, got, count * 4) == 0);
  for (size_t i = 0; i < count; i++) {
    double exact = 0;
    float ordered = 0;
    for (int r = 0; r < size; r++) exact += all[(size_t)r * count + i], ordered += all[(size_t)r * count + i];
    REQUIRE(exact - got[i] < 1e-5 && got[i] - exact < 1e-5);
    reordered += ordered != got[i];
  }
  REQUIRE(count < 1000 || size < 3 || reordered > 0);
  if (!in_place) cudaFree(into);
  cudaFree(from);
  free(all);
  free(first);
  free(got);
  free(mine);
}

static void check_all_gather(size_t count, bool in_place) {
  float *mine = random_floats(count, (unsigned)rank + 70), *got = malloc(((size_t)size * count + 1) * 4);
  float *expected = malloc(((size_t)size * count + 1) * 4);
  char *into = on_device((size_t)size * count * 4),
       *from = in_place ? into + (size_t)rank * count * 4 : (char *)on_device(count * 4);
  upload(from, mine, count * 4);
  issued(ncclAllGather(from, into, count, ncclFloat, comm, stream));
  download(got, into, (size_t)size * count * 4);
  MPI_Allgather(mine, (int)count, MPI_FLOAT, expected, (int)count, MPI_FLOAT, MPI_COMM_WORLD);
  REQUIRE(memcmp(got, expected, (size_t)size * count * 4) == 0);
  if (!in_place) cudaFree(from);
  cudaFree(into);
  free(expected);
  free(got);
  free(mine);
}

static void check_broadcast(size_t count, int root) {
  float *mine = random_floats(count, (unsigned)rank + 700), *got = malloc((count + 1) * 4);
  void *at = on_device(count * 4);
  upload(at, mine, count * 4);
  issued(ncclBroadcast(at, at, count, ncclFloat, root, comm, stream));
  download(got, at, count * 4);
  MPI_Bcast(mine, (int)count, MPI_FLOAT, root, MPI_COMM_WORLD);
  REQUIRE(memcmp(got, mine, count * 4) == 0);
  cudaFree(at);
  free(got);
  free(mine);
}

/* Everyone sends two messages to everyone, himself too, of sizes that tell the pair: element i of message m from a to b is
 * known. */
static void check_messages(size_t count) {
  float *host = malloc((count + (size_t)size) * 4);
  float **out = calloc((size_t)size * 2, sizeof *out), **in = calloc((size_t)size * 2, sizeof *in);
  REQUIRE(ncclGroupStart() == ncclSuccess);
  for (int step = 0; step < size; step++) {
    int to = (rank + step) % size, from = (rank - step + size) % size;
    for (int m = 0; m < 2; m++) {
      out[2 * to + m] = on_device((count + (size_t)to) * 4);
      in[2 * from + m] = on_device((count + (size_t)rank) * 4);
      for (size_t i = 0; i < count + (size_t)to; i++) host[i] = (float)(rank * 1000 + to * 100 + m * 10) + (float)i;
      upload(out[2 * to + m], host, (count + (size_t)to) * 4);
      REQUIRE(ncclSend(out[2 * to + m], count + (size_t)to, ncclFloat, to, comm, stream) == ncclSuccess);
      REQUIRE(ncclRecv(in[2 * from + m], count + (size_t)rank, ncclFloat, from, comm, stream) == ncclSuccess);
    }
  }
  issued(ncclGroupEnd());
  for (int k = 0; k < 2 * size; k++) {
    download(host, in[k], (count + (size_t)rank) * 4);
    for (size_t i = 0; i < count + (size_t)rank; i++) {
      REQUIRE(host[i] == (float)(k / 2 * 1000 + rank * 100 + k % 2 * 10) + (float)i);
    }
    cudaFree(in[k]);
    cudaFree(out[k]);
  }
  free(in);
  free(out);
  free(host);
}

/* Nobody else could receive it, or have sent it. */
static void check_lone_message(void) {
  float *at = on_device(4);
  REQUIRE(ncclSend(at, 1, ncclFloat, rank, comm, stream) == ncclInvalidUsage);
  REQUIRE(ncclRecv(at, 1, ncclFloat, rank, comm, stream) == ncclInvalidUsage);
  cudaFree(at);
}

static void run_collectives(void) {
  static const size_t counts[] = {1, 2, 7, 1000, 20001};
  REQUIRE(join() == ncclSuccess);
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    for (int in_place = 0; in_place < 2; in_place++) {
      check_all_reduce(counts[i], in_place);
      check_all_gather(counts[i], in_place);
    }
    for (int root = 0; root < size; root++) check_broadcast(counts[i], root);
    check_messages(counts[i]);
  }
  check_lone_message();
  REQUIRE(ncclCommFinalize(comm) == ncclInProgress && settled() == ncclSuccess);
  REQUIRE(ncclCommDestroy(comm) == ncclSuccess);
}

/* A rank may hear of another's end before it has looked for a duplicate of its own. */
static void run_duplicate(void) {
  ncclResult_t result = join();
  int refused = result == ncclInvalidUsage, refused_count;
  REQUIRE(result == ncclRemoteError || (refused && rank < size - 1));
  REQUIRE(!refused || strstr(ncclGetLastError(comm), "Duplicate GPU detected") != NULL);
  REQUIRE(ncclCommAbort(comm) == ncclSuccess);
  MPI_Allreduce(&refused, &refused_count, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD);
  REQUIRE(refused_count > 0);
}

static void run_error(void) {
  float *at = on_device(400);
  ncclResult_t state = ncclSuccess;
  REQUIRE(join() == ncclSuccess);
  for (int i = 0; i < 3; i++) {
    ncclResult_t result = ncclAllReduce(at, at, 100, ncclFloat, ncclSum, comm, stream);
    REQUIRE(result == ncclInProgress);
    for (int polls = 0; i < 2 && polls < 2; polls++) REQUIRE(ncclCommGetAsyncError(comm, &state) == ncclSuccess);
  }
  do {
    state = settled();
  } while (state == ncclSuccess);
  REQUIRE(state == (rank == 1 ? ncclSystemError : ncclRemoteError));
  REQUIRE(ncclCommAbort(comm) == ncclSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  cudaFree(at);
}

static void run_count(void) {
  float *at = on_device(400);
  REQUIRE(join() == ncclSuccess);
  issued(ncclAllReduce(at, at, rank == 0 ? 100 : 25, ncclFloat, ncclSum, comm, stream));
  cudaStreamSynchronize(stream);
}

static void run_host(void) {
  static float here[100];
  REQUIRE(join() == ncclSuccess);
  issued(ncclAllReduce(here, here, 100, ncclFloat, ncclSum, comm, stream));
  cudaStreamSynchronize(stream);
}

static void run_graph(void) {
  float *at = on_device(400);
  cudaStream_t recording;
  cudaGraph_t graph;
  REQUIRE(join() == ncclSuccess && cudaStreamCreateWithFlags(&recording, cudaStreamNonBlocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(recording, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  issued(ncclAllReduce(at, at, 100, ncclFloat, ncclSum, comm, recording));
  REQUIRE(cudaStreamEndCapture(recording, &graph) == cudaSuccess);
  ncclCommFinalize(comm);
}

static void run_unsettled(void) {
  float mine = 1, sum = 0, *at = on_device(4), *copy = on_device(4);
  REQUIRE(join() == ncclSuccess);
  upload(at, &mine, sizeof mine);
  REQUIRE(ncclAllReduce(at, at, 1, ncclFloat, ncclSum, comm, stream) == ncclInProgress);
  REQUIRE(cudaMemcpyAsync(copy, at, 4, cudaMemcpyDeviceToDevice, stream) == cudaSuccess);
  REQUIRE(settled() == ncclSuccess);
  download(&sum, copy, sizeof sum);
  REQUIRE(sum == mine);
  download(&sum, at, sizeof sum);
  REQUIRE(sum == (float)size);
  REQUIRE(ncclCommFinalize(comm) == ncclInProgress && settled() == ncclSuccess && ncclCommDestroy(comm) == ncclSuccess);
  cudaFree(copy);
  cudaFree(at);
}

static void *registered(void **handle) {
  void *at;
  REQUIRE(join() == ncclSuccess);
  REQUIRE(ncclMemAlloc(&at, 400) == ncclSuccess);
  REQUIRE(ncclCommRegister(comm, at, 400, handle) == ncclSuccess);
  return at;
}

static void run_memory(void) {
  void *handle, *at = registered(&handle);
  float mine = 1, sum = 0;
  upload(at, &mine, sizeof mine);
  issued(ncclAllReduce(at, at, 1, ncclFloat, ncclSum, comm, stream));
  download(&sum, at, sizeof sum);
  REQUIRE(sum == (float)size);
  REQUIRE(ncclCommDeregister(comm, handle) == ncclSuccess);
  REQUIRE(ncclCommFinalize(comm) == ncclInProgress && settled() == ncclSuccess && ncclCommDestroy(comm) == ncclSuccess);
  REQUIRE(ncclMemFree(at) == ncclSuccess);
  at = registered(&handle);
  MPI_Barrier(MPI_COMM_WORLD); /* or a rank that is still joining hears that another has left */
  REQUIRE(ncclCommAbort(comm) == ncclSuccess && ncclMemFree(at) == ncclSuccess);
}

static void run_freed(void) {
  void *handle;
  ncclMemFree(registered(&handle));
}

static void run_left(void) {
  void *handle;
  registered(&handle);
  ncclCommFinalize(comm);
}

static void run_twice(void) {
  void *handle, *at = registered(&handle);
  ncclCommRegister(comm, (float *)at + 10, 4, &handle);
}

static void run_cuda_freed(void) {
  void *handle;
  cudaFree(registered(&handle));
}

int main(int argc, char **argv) {
  static const struct {
    const char *name;
    void (*run)(void);
  } cases[] = {{"collectives", run_collectives},
               {"duplicate", run_duplicate},
               {"error", run_error},
               {"count", run_count},
               {"host", run_host},
               {"graph", run_graph},
               {"memory", run_memory},
               {"freed", run_freed},
               {"left", run_left},
               {"twice", run_twice},
               {"cuda_freed", run_cuda_freed},
               {"unsettled", run_unsettled}};
  const char *name = argc > 1 ? argv[1] : "collectives";
  int level, found = 0;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_MULTIPLE, &level);
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  int device = strcmp(name, "duplicate") == 0 ? rank == size - 1 : rank;
  REQUIRE(cudaSetDevice(device) == cudaSuccess);
  REQUIRE(cudaStreamCreate(&stream) == cudaSuccess);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    if (strcmp(cases[i].name, name) != 0) continue;
    cases[i].run();
    found = 1;
  }
  MPI_Finalize();
  return found ? 0 : 2;
}
