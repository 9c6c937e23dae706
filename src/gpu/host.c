/* What the plug-in uses of core and of comm goes to the program that loaded it, so that errors, allocations and collectives are
 * counted in one place. */
#include "gpu/host.h"

#include <stdio.h>
#include <stdlib.h>

#include "comm/comm.h"

static const dt_host *host;

void dt_gpu_host_set(const dt_host *program) {
  host = program;
}

dt_status dt_error_set_args(dt_status status, const char *file, int line, const char *format, va_list args) {
  return host->error_set(status, file, line, format, args);
}

dt_status dt_error_set(dt_status status, const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  host->error_set(status, file, line, format, args);
  va_end(args);
  return status;
}

void dt_error_clear(void) {
  host->error_clear();
}

dt_status dt_alloc(size_t count, size_t bytes, void *out_pointer) {
  return host->alloc(count, bytes, out_pointer);
}

dt_status dt_comm_agree(dt_comm *comm, dt_status status) {
  return host->agree(comm, status);
}

_Noreturn void dt_assert_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "dtrain: internal: %s:%d: %s does not hold; this is a defect of dtrain\n", file, line, condition);
  abort();
}
