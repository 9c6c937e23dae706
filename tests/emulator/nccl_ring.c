/* The operations of the emulated NCCL.
 *
 * 1. A header goes before everything: neighbours in the ring compare which collective they are in, receiver and sender of a
 *    message which message it is. What differs ends the process, since on GPUs it would hang or mix up data.
 * 2. All-reduce is a ring: slice i is summed in the order of ranks i, i + 1, ... and then passed on. So its bits are not those
 *    of any one order over all elements.
 * 3. Data is sent from and received into copies, which outlive an abort where MPI has not finished with them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emulator.h"
#include "nccl_emulated.h"

typedef struct header {
  int32_t kind, type, peer;
  uint64_t count;
} header;

static void print_header(const header *h, char *out, size_t bytes) {
  static const char *const kinds[] = {"send", "receive", "all-reduce", "all-gather", "broadcast"};
  int length = snprintf(out, bytes, "%s of %llu elements of type %d", kinds[h->kind], (unsigned long long)h->count, h->type);
  if (h->kind == NCCL_BROADCAST) snprintf(out + length, bytes - (size_t)length, " from rank %d", h->peer);
}

__attribute__((noreturn)) static void fail_mismatch(ncclComm_t comm, const header *ours, int peer, const header *theirs) {
  char our_text[96], their_text[96];
  print_header(ours, our_text, sizeof our_text);
  print_header(theirs, their_text, sizeof their_text);
  emulator_fail("nccl: rank %d is at operation %lu, %s, and rank %d at %s", comm->rank, comm->operation_count, our_text, peer,
                their_text);
}

static void require_memory(ncclComm_t comm, const char *name, const void *at, size_t bytes) {
  if (bytes > 0 && !emulator_owns(at, bytes)) {
    emulator_fail("nccl: rank %d: %s, %zu bytes at %p, is not device memory", comm->rank, name, bytes, at);
  }
}

static void *copy_space(size_t bytes) {
  void *space = malloc(bytes + 1);
  if (!space) emulator_fail("nccl: out of host memory");
  return space;
}

/* One step of a ring: sends to the next rank and receives from the one before. Takes copies of what is sent; the result lies in
 * *received, which the caller frees. False when cut off. */
static bool pass_on(ncclComm_t comm, int tag, const void *from, size_t bytes, size_t bytes_back, void **received) {
  MPI_Request requests[2];
  char *space = copy_space(bytes), *back = copy_space(bytes_back);
  memcpy(space, from, bytes);
  nccl_post_send(comm, space, bytes, comm->world[(comm->rank + 1) % comm->size], tag, &requests[0]);
  nccl_post_receive(comm, back, bytes_back, comm->world[(comm->rank + comm->size - 1) % comm->size], tag, &requests[1]);
  if (!nccl_wait(comm, requests, 2)) {
    nccl_leave(space);
    nccl_leave(back);
    return false;
  }
  free(space);
  *received = back;
  return true;
}

static bool agree(ncclComm_t comm, const nccl_operation *o) {
  header ours;
  void *theirs;
  memset(&ours, 0, sizeof ours); /* padding too, since all bytes are compared */
  ours.kind = (int32_t)o->kind;
  ours.type = (int32_t)o->type;
  ours.peer = o->peer;
  ours.count = o->count;
  if (!pass_on(comm, NCCL_TAG_HEADER, &ours, sizeof ours, sizeof ours, &theirs)) return false;
  if (memcmp(&ours, theirs, sizeof ours) != 0) {
    fail_mismatch(comm, &ours, (comm->rank + comm->size - 1) % comm->size, theirs);
  }
  free(theirs);
  return true;
}

static size_t slice_begin(size_t count, int size, int slice) {
  return count * (size_t)slice / (size_t)size;
}

/* A step of the ring of slices: passes slice `mine` on, and takes slice `theirs` over, added or in place. */
static bool turn(ncclComm_t comm, float *data, size_t count, int mine, int theirs, bool adds) {
  size_t from = slice_begin(count, comm->size, mine), from_end = slice_begin(count, comm->size, mine + 1);
  size_t into = slice_begin(count, comm->size, theirs), into_end = slice_begin(count, comm->size, theirs + 1);
  void *received;
  if (!pass_on(comm, NCCL_TAG_DATA, data + from, (from_end - from) * sizeof *data, (into_end - into) * sizeof *data,
               &received)) {
    return false;
  }
  const float *other = received;
  for (size_t i = 0; i < into_end - into; i++) data[into + i] = adds ? other[i] + data[into + i] : other[i];
  free(received);
  return true;
}

static bool all_reduce(ncclComm_t comm, const nccl_operation *o) {
  int size = comm->size, rank = comm->rank;
  if (o->from != o->into) memcpy(o->into, o->from, o->count * sizeof(float));
  for (int step = 0; step < size - 1; step++) {
    int mine = (rank - step + size) % size, theirs = (rank - step - 1 + size) % size;
    if (!turn(comm, (float *)o->into, o->count, mine, theirs, true)) return false;
  }
  for (int step = 0; step < size - 1; step++) {
    int mine = (rank + 1 - step + size) % size, theirs = (rank - step + size) % size;
    if (!turn(comm, (float *)o->into, o->count, mine, theirs, false)) return false;
  }
  return true;
}

static bool all_gather(ncclComm_t comm, const nccl_operation *o) {
  size_t bytes = o->count * nccl_type_bytes(o->type);
  int size = comm->size;
  void *received;
  if (o->into + (size_t)comm->rank * bytes != o->from) memcpy(o->into + (size_t)comm->rank * bytes, o->from, bytes);
  for (int step = 0; step < size - 1; step++) {
    int mine = (comm->rank - step + size) % size, theirs = (comm->rank - step - 1 + size) % size;
    if (!pass_on(comm, NCCL_TAG_DATA, o->into + (size_t)mine * bytes, bytes, bytes, &received)) return false;
    memcpy(o->into + (size_t)theirs * bytes, received, bytes);
    free(received);
  }
  return true;
}

static bool broadcast(ncclComm_t comm, const nccl_operation *o) {
  size_t bytes = o->count * nccl_type_bytes(o->type);
  MPI_Request request;
  char *space = copy_space(bytes);
  if (comm->rank != o->peer) {
    nccl_post_receive(comm, space, bytes, comm->world[o->peer], NCCL_TAG_DATA, &request);
    bool done = nccl_wait(comm, &request, 1);
    if (done) memcpy(o->into, space, bytes);
    done ? free(space) : nccl_leave(space);
    return done;
  }
  memcpy(space, o->from, bytes);
  for (int i = 0; i < comm->size; i++) {
    if (i == comm->rank) continue;
    nccl_post_send(comm, space, bytes, comm->world[i], NCCL_TAG_DATA, &request);
    if (!nccl_wait(comm, &request, 1)) {
      nccl_leave(space);
      return false;
    }
  }
  if (o->into != o->from) memcpy(o->into, space, bytes);
  free(space);
  return true;
}

/* In place is what NCCL calls so; other overlaps are a mistake of the program. */
static void check_overlap(ncclComm_t comm, const char *from, size_t from_bytes, const char *into, size_t into_bytes,
                          const char *in_place) {
  if (from == in_place || from_bytes == 0 || into_bytes == 0) return;
  if (from < into + into_bytes && into < from + from_bytes) {
    emulator_fail("nccl: rank %d: source and destination overlap, and not as an operation in place", comm->rank);
  }
}

static bool run_collective(ncclComm_t comm, const nccl_operation *o) {
  size_t bytes = o->count * nccl_type_bytes(o->type), all = o->kind == NCCL_ALL_GATHER ? bytes * (size_t)comm->size : bytes;
  bool reads = o->kind != NCCL_BROADCAST || comm->rank == o->peer;
  if (reads) require_memory(comm, "the source", o->from, bytes);
  require_memory(comm, "the destination", o->into, all);
  if (reads) {
    check_overlap(comm, o->from, bytes, o->into, all,
                  o->kind == NCCL_ALL_GATHER ? o->into + (size_t)comm->rank * bytes : o->into);
  }
  if (comm->size > 1 && !agree(comm, o)) return false;
  switch (o->kind) {
    case NCCL_ALL_REDUCE:
      return all_reduce(comm, o);
    case NCCL_ALL_GATHER:
      return all_gather(comm, o);
    default:
      return broadcast(comm, o);
  }
}

static bool is_message(const nccl_operation *o) {
  return o->kind == NCCL_SEND || o->kind == NCCL_RECEIVE;
}

/* Messages under way: [count] each. */
typedef struct traffic {
  MPI_Request *request;
  header *header;
  char **data;
} traffic;

static traffic open_traffic(int count) {
  traffic t = {copy_space((size_t)count * sizeof *t.request), copy_space((size_t)count * sizeof *t.header),
               copy_space((size_t)count * sizeof *t.data)};
  memset(t.header, 0, (size_t)count * sizeof *t.header);
  return t;
}

static bool exchange_headers(ncclComm_t comm, const nccl_operation *o, int count, traffic *t) {
  for (int i = 0; i < count; i++) {
    int world = comm->world[o[i].peer];
    if (o[i].kind == NCCL_SEND) {
      t->header[i] = (header){NCCL_SEND, (int32_t)o[i].type, 0, o[i].count};
      nccl_post_send(comm, &t->header[i], sizeof(header), world, NCCL_TAG_HEADER, &t->request[i]);
    } else {
      nccl_post_receive(comm, &t->header[i], sizeof(header), world, NCCL_TAG_HEADER, &t->request[i]);
    }
  }
  if (!nccl_wait(comm, t->request, count)) return false;
  for (int i = 0; i < count; i++) {
    const header *h = &t->header[i], ours = {NCCL_RECEIVE, (int32_t)o[i].type, 0, o[i].count};
    bool fits = h->kind == NCCL_SEND && h->type == (int32_t)o[i].type && h->count == o[i].count;
    if (o[i].kind == NCCL_RECEIVE && !fits) fail_mismatch(comm, &ours, o[i].peer, h);
  }
  return true;
}

static bool exchange_data(ncclComm_t comm, const nccl_operation *o, int count, traffic *t) {
  for (int i = 0; i < count; i++) {
    size_t bytes = o[i].count * nccl_type_bytes(o[i].type);
    int world = comm->world[o[i].peer];
    t->data[i] = copy_space(bytes);
    if (o[i].kind == NCCL_SEND) {
      memcpy(t->data[i], o[i].from, bytes);
      nccl_post_send(comm, t->data[i], bytes, world, NCCL_TAG_DATA, &t->request[i]);
    } else {
      nccl_post_receive(comm, t->data[i], bytes, world, NCCL_TAG_DATA, &t->request[i]);
    }
  }
  if (!nccl_wait(comm, t->request, count)) {
    for (int i = 0; i < count; i++) nccl_leave(t->data[i]);
    return false;
  }
  for (int i = 0; i < count; i++) {
    if (o[i].kind == NCCL_RECEIVE) memcpy(o[i].into, t->data[i], o[i].count * nccl_type_bytes(o[i].type));
    free(t->data[i]);
  }
  return true;
}

static bool run_messages(ncclComm_t comm, const nccl_operation *operation, int count) {
  traffic t = open_traffic(count);
  for (int i = 0; i < count; i++) {
    require_memory(comm, "a message", operation[i].kind == NCCL_SEND ? operation[i].from : operation[i].into,
                   operation[i].count * nccl_type_bytes(operation[i].type));
  }
  bool done = exchange_headers(comm, operation, count, &t) && exchange_data(comm, operation, count, &t);
  done ? free(t.header) : nccl_leave(t.header);
  free(t.data);
  free(t.request);
  return done;
}

bool nccl_is_to_itself(const struct ncclComm *comm, const nccl_operation *o) {
  return is_message(o) && o->peer == comm->rank;
}

/* The next message of the rank to itself of that kind; there is one. */
static const nccl_operation *next_own(ncclComm_t comm, const nccl_operation *o, nccl_kind kind) {
  while (!nccl_is_to_itself(comm, o) || o->kind != kind) o++;
  return o;
}

/* What a rank sends to itself stays on its GPU. Each is read before any is written: in a group they run at the same time. */
static void run_own_messages(ncclComm_t comm, const nccl_operation *operation, int count) {
  char **data = copy_space((size_t)count * sizeof *data);
  const nccl_operation *into = operation;
  int sent = 0, received = 0;
  for (int i = 0; i < count; i++) {
    const nccl_operation *o = &operation[i];
    size_t bytes = o->count * nccl_type_bytes(o->type);
    if (!nccl_is_to_itself(comm, o)) continue;
    require_memory(comm, "a message", o->kind == NCCL_SEND ? o->from : o->into, bytes);
    if (o->kind != NCCL_SEND) continue;
    data[sent] = copy_space(bytes);
    memcpy(data[sent++], o->from, bytes);
  }
  for (int i = 0; i < count; i++) {
    const nccl_operation *o = &operation[i];
    if (!nccl_is_to_itself(comm, o) || o->kind != NCCL_SEND) continue;
    into = next_own(comm, into, NCCL_RECEIVE);
    if (into->count != o->count || into->type != o->type) {
      emulator_fail("nccl: rank %d sends %zu elements of type %d to itself and receives %zu of type %d", comm->rank, o->count,
                    o->type, into->count, into->type);
    }
    memcpy(into->into, data[received], o->count * nccl_type_bytes(o->type));
    free(data[received++]);
    into++;
  }
  free(data);
}

bool nccl_run(ncclComm_t comm, const nccl_operation *operation, int count) {
  nccl_operation *messages = copy_space((size_t)count * sizeof *messages);
  int message_count = 0;
  bool ok = true;
  run_own_messages(comm, operation, count);
  for (int i = 0; i < count && ok; i++) {
    if (nccl_is_to_itself(comm, &operation[i])) continue;
    if (is_message(&operation[i])) {
      messages[message_count++] = operation[i];
    } else {
      ok = run_collective(comm, &operation[i]);
    }
  }
  if (ok && message_count > 0) ok = run_messages(comm, messages, message_count);
  free(messages);
  return ok;
}
