/* DTRAIN_GPU_WITHOUT: a list of names with commas between them. */
#include "gpu/switches.h"

#include <stdlib.h>
#include <string.h>

#define VARIABLE "DTRAIN_GPU_WITHOUT"

static const char *const names[DT_GPU_SWITCH_COUNT] = {
#define X(name, what) [DT_GPU_DOES_##name] = #name,
    DT_GPU_SWITCH_LIST(X)
#undef X
};

/* The next name of a list, which goes on behind it; false at its end. */
static bool next_name(const char **list, const char **out_name, size_t *out_length) {
  if (*list == NULL || **list == '\0') return false;
  *out_name = *list;
  *out_length = strcspn(*list, ",");
  *list += *out_length + ((*list)[*out_length] == ',');
  return true;
}

static bool is_named(const char *name, size_t length, int what) {
  return strlen(names[what]) == length && strncmp(names[what], name, length) == 0;
}

bool dt_gpu_does(dt_gpu_switch what) {
  const char *list = getenv(VARIABLE), *name;
  size_t length;
  while (next_name(&list, &name, &length)) {
    if (is_named(name, length, what)) return false;
  }
  return true;
}

dt_status dt_gpu_switches_check(void) {
#define X(name, what) " " #name
  static const char known[] = DT_GPU_SWITCH_LIST(X);
#undef X
  const char *list = getenv(VARIABLE), *name;
  size_t length;
  while (next_name(&list, &name, &length)) {
    bool found = false;
    for (int s = 0; s < DT_GPU_SWITCH_COUNT; s++) found |= is_named(name, length, s);
    DT_REQUIRE(found, DT_ENVIRONMENT, VARIABLE ": found '%.*s', expected some of these with commas between them:%s",
               (int)length, name, known);
  }
  return DT_OK;
}
