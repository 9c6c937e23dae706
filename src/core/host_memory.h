/* What the host has of memory for this process: by /proc, by the control groups (v1 and v2) that it is in, and by its own
 * limit. Not collective. */
#ifndef DT_CORE_HOST_MEMORY_H
#define DT_CORE_HOST_MEMORY_H

#include "core/device.h"

/* Where the kernel tells of it; tests have files of their own. */
typedef struct dt_host_paths {
  const char *meminfo; /* "/proc/meminfo" */
  const char *groups;  /* "/proc/self/cgroup": the groups of this process */
  const char *root;    /* "/sys/fs/cgroup": v2 groups below it, v1 groups below "memory" in it */
} dt_host_paths;
extern const dt_host_paths dt_host_paths_real;

/* Free and all bytes, where they are fewest: of the machine, or of a group that this process is in. What a group could give
 * back at once (inactive files) counts as free. SIZE_MAX where nothing tells. */
void dt_host_memory(const dt_host_paths *paths, size_t *out_free, size_t *out_all);
/* The same of this machine as a dt_device_ops.memory. */
dt_status dt_host_memory_device(dt_device *device, size_t *free_bytes, size_t *total_bytes);
/* What this process may still map (ulimit -v), and all that it may; SIZE_MAX without a limit. */
void dt_host_address_space(size_t *out_free, size_t *out_all);
/* What this process has in memory now; 0 where the kernel does not tell. */
size_t dt_host_resident(void);

#endif
