#include "core/program/graph_names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/config/names.h"

enum { PATH_BYTES = 4096, NAMES_SHOWN = 12, CAPACITY_FIRST = 64 };

static int *chain_of(const dt_graph_names *names, const char *name, size_t bytes) {
  return &names->chain[XXH3_64bits(name, bytes) & (uint64_t)(names->capacity - 1)];
}

static void link_entry(dt_graph_names *names, int index) {
  dt_graph_name *entry = &names->entry[index];
  int *chain = chain_of(names, entry->name, strlen(entry->name));
  entry->next = *chain;
  *chain = index;
}

/* The capacity is a power of two. */
static dt_status reserve(dt_graph_names *names) {
  if (names->count < names->capacity) return DT_OK;
  int capacity = names->capacity > 0 ? 2 * names->capacity : CAPACITY_FIRST;
  dt_graph_name *entry = realloc(names->entry, (size_t)capacity * sizeof *entry);
  if (entry != NULL) names->entry = entry;
  int *chain = realloc(names->chain, (size_t)capacity * sizeof *chain);
  if (chain != NULL) names->chain = chain;
  DT_REQUIRE(entry != NULL && chain != NULL, DT_MEMORY, "could not allocate %d names", capacity);
  names->capacity = capacity;
  for (int i = 0; i < capacity; i++) chain[i] = -1;
  for (int i = 0; i < names->count; i++) link_entry(names, i);
  return DT_OK;
}

static const dt_graph_name *find_whole(const dt_graph_names *names, const char *name) {
  if (names->count == 0) return NULL;
  for (int i = *chain_of(names, name, strlen(name)); i >= 0; i = names->entry[i].next) {
    if (strcmp(names->entry[i].name, name) == 0) return &names->entry[i];
  }
  return NULL;
}

dt_status dt_graph_names_add(dt_graph_names *names, const char *name, const dt_kind *kind, int node) {
  DT_REQUIRE(find_whole(names, name) == NULL, DT_USAGE,
             "another layer or input has this name already: give one of them another");
  DT_TRY(reserve(names));
  names->entry[names->count] = (dt_graph_name){.name = name, .kind = kind, .node = node};
  link_entry(names, names->count++);
  return DT_OK;
}

const dt_graph_name *dt_graph_names_find(const dt_graph_names *names, const char *scope, const char *text) {
  char path[PATH_BYTES];
  for (size_t length = strlen(scope); length > 0;) {
    int bytes = snprintf(path, sizeof path, "%.*s.%s", (int)length, scope, text);
    const dt_graph_name *found = bytes < PATH_BYTES ? find_whole(names, path) : NULL;
    if (found != NULL) return found;
    while (length > 0 && scope[length - 1] != '.') length--;
    if (length > 0) length--;
  }
  return find_whole(names, text);
}

/* The name as one would write it in `scope`, when it stands in that list or in one around it; else NULL. */
static const char *short_name(const dt_graph_name *entry, const char *scope) {
  const char *dot = strrchr(entry->name, '.');
  size_t outer = dot != NULL ? (size_t)(dot - entry->name) : 0;
  if (outer == 0) return entry->name;
  bool around = strncmp(entry->name, scope, outer) == 0 && (scope[outer] == '\0' || scope[outer] == '.');
  return around ? dot + 1 : NULL;
}

typedef struct visible {
  const dt_graph_names *names;
  const char *scope;
} visible;

static const char *next_name(const void *context, int index) {
  const visible *v = context;
  if (index >= v->names->count) return NULL;
  const char *name = short_name(&v->names->entry[index], v->scope);
  return name != NULL ? name : v->names->entry[index].name;
}

const char *dt_graph_names_hint(const dt_graph_names *names, const char *scope, const char *found, char *text, size_t bytes) {
  char hint[PATH_BYTES];
  int first = names->count, shown = 0;
  while (first > 0 && shown < NAMES_SHOWN) shown += short_name(&names->entry[--first], scope) != NULL;
  snprintf(text, bytes, "%s", first > 0 ? ": ..., " : ": ");
  for (int i = first, before = 0; i < names->count; i++) {
    const char *name = short_name(&names->entry[i], scope);
    size_t used = strlen(text);
    if (name != NULL) snprintf(text + used, bytes - used, "%s%s", before++ > 0 ? ", " : "", name);
  }
  size_t used = strlen(text);
  const visible v = {names, scope};
  snprintf(text + used, bytes - used, "%s", dt_did_you_mean(dt_name_nearest(found, next_name, &v), hint, sizeof hint));
  return text;
}

void dt_graph_names_free(dt_graph_names *names) {
  free(names->entry);
  free(names->chain);
}
