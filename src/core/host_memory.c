#include "core/host_memory.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { LINE_BYTES = 256 };

const dt_host_paths dt_host_paths_real = {.meminfo = "/proc/meminfo", .groups = "/proc/self/cgroup", .root = "/sys/fs/cgroup"};

static size_t smaller(size_t a, size_t b) {
  return a < b ? a : b;
}

/* The number behind `key` in a file of "key number" or "key: number kB" lines; SIZE_MAX where there is none. */
static size_t read_key(const char *path, const char *key) {
  char line[LINE_BYTES];
  size_t found = SIZE_MAX, length = strlen(key);
  FILE *file = fopen(path, "re");
  while (file != NULL && found == SIZE_MAX && fgets(line, sizeof line, file) != NULL) {
    unsigned long long value;
    int end = 0;
    if (strncmp(line, key, length) != 0 || sscanf(line + length, "%*[: ]%llu%n", &value, &end) < 1) continue;
    found = (size_t)value * (strstr(line + length + end, "kB") != NULL ? 1024 : 1);
  }
  if (file != NULL) fclose(file);
  return found;
}

/* A file of one number; SIZE_MAX where there is none ("max"). */
static size_t read_number(const char *path) {
  unsigned long long value;
  FILE *file = fopen(path, "re");
  if (file == NULL) return SIZE_MAX;
  int count = fscanf(file, "%llu", &value);
  fclose(file);
  return count == 1 ? (size_t)value : SIZE_MAX;
}

/* The files of a version of control groups. */
typedef struct version {
  const char *controller; /* as the list of a process's groups has it */
  const char *folder;     /* below the root */
  const char *limit, *usage, *given_back;
} version;

static const version versions[] = {
    {"", "", "memory.max", "memory.current", "inactive_file"},
    {"memory", "/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"},
};

static size_t read_in(const char *folder, const char *name) {
  char path[PATH_MAX + LINE_BYTES];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  return read_number(path);
}

static void look_into(const version *v, const char *folder, size_t *free_bytes, size_t *all) {
  char stat[PATH_MAX + LINE_BYTES];
  size_t limit = read_in(folder, v->limit), usage = read_in(folder, v->usage);
  if (limit == SIZE_MAX || usage == SIZE_MAX) return;
  snprintf(stat, sizeof stat, "%s/memory.stat", folder);
  size_t given_back = read_key(stat, v->given_back);
  if (given_back != SIZE_MAX) usage -= smaller(usage, given_back);
  size_t room = limit - smaller(limit, usage);
  if (room < *free_bytes) *free_bytes = room;
  if (limit < *all) *all = limit;
}

/* A group and those above it: each may have a limit. In a container the names of those outside do not exist. */
static void walk_up(const version *v, const char *root, const char *group, size_t *free_bytes, size_t *all) {
  char folder[PATH_MAX];
  int length = snprintf(folder, sizeof folder, "%s%s%s", root, v->folder, group);
  size_t top = strlen(root) + strlen(v->folder);
  if (length < 0 || length >= PATH_MAX) return;
  for (;;) {
    look_into(v, folder, free_bytes, all);
    char *slash = strrchr(folder, '/');
    if (slash == NULL || slash < folder + top) return;
    *slash = '\0';
  }
}

/* A line is "number:controllers:/group". */
static void look_at_group(const dt_host_paths *paths, char *line, size_t *free_bytes, size_t *all) {
  char *controllers = strchr(line, ':'), *group = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
  if (group == NULL) return;
  *controllers++ = *group++ = '\0';
  group[strcspn(group, "\n")] = '\0';
  for (size_t i = 0; i < sizeof versions / sizeof versions[0]; i++) {
    if (strcmp(controllers, versions[i].controller) == 0) walk_up(&versions[i], paths->root, group, free_bytes, all);
  }
}

void dt_host_memory(const dt_host_paths *paths, size_t *out_free, size_t *out_all) {
  char *line = NULL;
  size_t bytes = 0;
  *out_free = read_key(paths->meminfo, "MemAvailable");
  *out_all = read_key(paths->meminfo, "MemTotal");
  FILE *groups = fopen(paths->groups, "re");
  while (groups != NULL && getline(&line, &bytes, groups) > 0) look_at_group(paths, line, out_free, out_all);
  if (groups != NULL) fclose(groups);
  free(line);
}

dt_status dt_host_memory_device(dt_device *device, size_t *free_bytes, size_t *total_bytes) {
  dt_host_memory(&dt_host_paths_real, free_bytes, total_bytes);
  return DT_OK;
}

/* A field of /proc/self/statm, in bytes; 0 where it does not tell. */
static size_t own_pages(int field) {
  unsigned long long value[2] = {0};
  FILE *file = fopen("/proc/self/statm", "re");
  if (file == NULL) return 0;
  int count = fscanf(file, "%llu %llu", &value[0], &value[1]);
  fclose(file);
  return count == 2 ? (size_t)value[field] * (size_t)sysconf(_SC_PAGESIZE) : 0;
}

void dt_host_address_space(size_t *out_free, size_t *out_all) {
  struct rlimit limit;
  *out_free = *out_all = SIZE_MAX;
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
  *out_all = (size_t)limit.rlim_cur;
  *out_free = *out_all - smaller(*out_all, own_pages(0));
}

size_t dt_host_resident(void) {
  return own_pages(1);
}
