/* Memory of the emulated NCCL, and what communicators are told of it. The rules of the real library, each of which ends the
 * process where it is broken: only NCCL frees what NCCL has allocated, and not while a communicator knows of it; nothing is
 * registered twice; a communicator that ends well knows of nothing any more. One that is aborted forgets. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "emulator.h"
#include "nccl_emulated.h"

typedef struct registration {
  ncclComm_t comm;
  const char *memory;
  size_t bytes;
  struct registration *next;
} registration;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static registration *known;

static bool is_refused(const char *call) {
  const char *refused = emulator_text("nccl_refuse");
  return refused != NULL && strcmp(refused, call) == 0;
}

ncclResult_t ncclMemAlloc(void **ptr, size_t size) {
  if (is_refused("alloc")) return nccl_fail(ncclUnhandledCudaError, "emulated: no memory that can be shared");
  if (cudaMalloc(ptr, size) != cudaSuccess) return nccl_fail(ncclUnhandledCudaError, "Cuda failure 2 'out of memory'");
  emulator_own(*ptr, "ncclMemFree");
  return ncclSuccess;
}

/* The registration that has some of the memory, of any communicator or of this one. */
static registration *find(const ncclComm_t comm, const char *memory, size_t bytes) {
  registration *r = known;
  while (r != NULL && ((comm != NULL && r->comm != comm) || memory >= r->memory + r->bytes || r->memory >= memory + bytes))
    r = r->next;
  return r;
}

ncclResult_t ncclMemFree(void *ptr) {
  if (ptr == NULL) return ncclSuccess;
  pthread_mutex_lock(&lock);
  if (find(NULL, ptr, 1) != NULL) emulator_fail("ncclMemFree: a communicator that has not ended knows of the memory");
  pthread_mutex_unlock(&lock);
  emulator_own(ptr, NULL);
  return cudaFree(ptr) == cudaSuccess ? ncclSuccess : nccl_fail(ncclUnhandledCudaError, "cudaFree failed");
}

ncclResult_t ncclCommRegister(const ncclComm_t comm, void *buff, size_t size, void **handle) {
  ncclResult_t result = nccl_ready(comm);
  if (result != ncclSuccess) return result;
  if (is_refused("register")) return nccl_fail(ncclInvalidUsage, "emulated: it is not registered");
  if (!emulator_owns(buff, size)) emulator_fail("ncclCommRegister: not inside one allocation of device memory");
  registration *made = malloc(sizeof *made);
  if (made == NULL) return nccl_fail(ncclSystemError, "out of host memory");
  pthread_mutex_lock(&lock);
  if (find(comm, buff, size) != NULL) emulator_fail("ncclCommRegister: the communicator knows of the memory already");
  *made = (registration){.comm = comm, .memory = buff, .bytes = size, .next = known};
  known = made;
  pthread_mutex_unlock(&lock);
  *handle = made;
  return ncclSuccess;
}

/* Forgets the ones that match: all of a communicator, or one. Says how many there were. */
static int forget(const ncclComm_t comm, const registration *only) {
  int count = 0;
  pthread_mutex_lock(&lock);
  for (registration **at = &known; *at != NULL;) {
    registration *r = *at;
    if (r->comm != comm || (only != NULL && r != only)) {
      at = &r->next;
      continue;
    }
    *at = r->next;
    free(r);
    count++;
  }
  pthread_mutex_unlock(&lock);
  return count;
}

ncclResult_t ncclCommDeregister(const ncclComm_t comm, void *handle) {
  ncclResult_t result = nccl_ready(comm);
  if (result != ncclSuccess) return result;
  nccl_require_no_graph(comm, __func__);
  if (handle == NULL || forget(comm, handle) != 1)
    emulator_fail("ncclCommDeregister: the communicator has no such registration");
  return ncclSuccess;
}

void nccl_forget_memory(ncclComm_t comm) {
  forget(comm, NULL);
}

void nccl_require_no_memory(ncclComm_t comm, const char *call) {
  pthread_mutex_lock(&lock);
  for (const registration *r = known; r != NULL; r = r->next) {
    if (r->comm == comm) emulator_fail("%s: memory is still registered with the communicator", call);
  }
  pthread_mutex_unlock(&lock);
}
