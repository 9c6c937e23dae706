#include "core/device.h"

#include <string.h>

typedef void slot(void);

static bool are_there(const void *slots, size_t bytes) {
  for (size_t at = 0; at < bytes; at += sizeof(slot *)) {
    slot *function;
    memcpy(&function, (const char *)slots + at, sizeof function);
    if (function == NULL) return false;
  }
  return true;
}

/* The functions stand together, behind everything else. */
bool dt_device_ops_are_complete(const dt_device_ops *ops) {
  const size_t first = offsetof(dt_device_ops, fuses);
  return are_there((const char *)ops + first, sizeof *ops - first) &&
         (ops->streams == NULL || are_there(ops->streams, sizeof *ops->streams)) &&
         (ops->own_memory == NULL || are_there(ops->own_memory, sizeof *ops->own_memory)) &&
         (ops->libraries == NULL || are_there(ops->libraries, sizeof *ops->libraries));
}
