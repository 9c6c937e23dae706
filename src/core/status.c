#include "core/status.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char error_text[16384];
static _Thread_local char error_origin[256];
static _Thread_local unsigned long allocations;

static const struct {
  int exit_code;
  const char *name;
} table[DT_STATUS_COUNT] = {
#define X(name, code, text) [DT_##name] = {code, text},
    DT_STATUS_LIST(X)
#undef X
};

int dt_status_exit_code(dt_status status) {
  return table[status].exit_code;
}

const char *dt_status_name(dt_status status) {
  return table[status].name;
}

dt_status dt_error_set_args(dt_status status, const char *file, int line, const char *format, va_list args) {
  if (error_text[0] != '\0') return status;
  vsnprintf(error_text, sizeof error_text, format, args);
  snprintf(error_origin, sizeof error_origin, "%s:%d", file, line);
  return status;
}

dt_status dt_error_set(dt_status status, const char *file, int line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  dt_error_set_args(status, file, line, format, args);
  va_end(args);
  return status;
}

const char *dt_error_text(void) {
  return error_text;
}

const char *dt_error_origin(void) {
  return error_origin;
}

void dt_error_clear(void) {
  error_text[0] = '\0';
  error_origin[0] = '\0';
}

void dt_assert_failed(const char *condition, const char *file, int line) {
  fprintf(stderr, "dtrain: internal: %s:%d: %s does not hold; this is a defect of dtrain\n", file, line, condition);
  abort();
}

dt_status dt_alloc(size_t count, size_t bytes, void *out_pointer) {
  void *memory = calloc(count > 0 ? count : 1, bytes > 0 ? bytes : 1);
  allocations++;
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate %zu x %zu bytes", count, bytes);
  memcpy(out_pointer, &memory, sizeof memory);
  return DT_OK;
}

unsigned long dt_alloc_count(void) {
  return allocations;
}
