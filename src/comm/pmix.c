/* PMIx is taken from the library that MPI has already loaded, so that it is neither a header nor a library to build with: the
 * functions and their arguments are fixed by the PMIx standard (version 4.0, sections 5.1, 5.2 and 8.1). */
#include "comm/pmix.h"

#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

typedef int pmix_init(void *process, void *info, size_t info_count);
typedef int pmix_fence(const void *processes, size_t process_count, const void *info, size_t info_count);
typedef int pmix_abort(int status, const char *message, void *processes, size_t process_count);

enum { PMIX_OK = 0, PROCESS_BYTES = 512 }; /* a pmix_proc_t is a name of 256 bytes and a rank */

/* The function of that name; NULL where the library is not in this process. */
static void *find(const char *name) {
  void *library = dlopen("libpmix.so.2", RTLD_NOW | RTLD_NOLOAD);
  return library != NULL ? dlsym(library, name) : NULL;
}

bool dt_pmix_hold(void) {
  char process[PROCESS_BYTES];
  void *symbol = find("PMIx_Init"); /* counts how often it was called; MPI_Finalize takes back only MPI's own call */
  pmix_init *init;
  memcpy(&init, &symbol, sizeof init);
  return init != NULL && init(process, NULL, 0) == PMIX_OK;
}

bool dt_pmix_fence(void) {
  void *symbol = find("PMIx_Fence"); /* without processes: all of the job */
  pmix_fence *fence;
  memcpy(&fence, &symbol, sizeof fence);
  return fence != NULL && fence(NULL, 0, NULL, 0) == PMIX_OK;
}

bool dt_pmix_abort(int exit_code) {
  void *symbol = find("PMIx_Abort");
  pmix_abort *end;
  memcpy(&end, &symbol, sizeof end);
  return end != NULL && end(exit_code, NULL, NULL, 0) == PMIX_OK;
}
