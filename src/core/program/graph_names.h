/* The names of a graph while it is built: of its inputs, nodes and composites, each with the node that gives its output.
 *
 * A name is a path: what stands in a list within `residual2` is called `residual2.conv1`. A reference is looked for in the list
 * in which it stands, then in the lists around it, so that within residual2 `conv1` means its own. */
#ifndef DT_CORE_PROGRAM_GRAPH_NAMES_H
#define DT_CORE_PROGRAM_GRAPH_NAMES_H

#include "core/config/options.h"

typedef struct dt_graph_name {
  const char *name;
  const dt_kind *kind; /* NULL: of an input */
  int node;
  int next; /* in the chain of its hash; -1 ends it */
} dt_graph_name;

typedef struct dt_graph_names {
  dt_graph_name *entry; /* in the order in which they were added */
  int count, capacity;
  int *chain; /* [capacity]: first entry of each hash; -1 = none */
} dt_graph_names;

/* Keeps `name`. DT_USAGE when the name is taken; DT_MEMORY. */
dt_status dt_graph_names_add(dt_graph_names *names, const char *name, const dt_kind *kind, int node);
/* What the reference `text` means in the list `scope` ("" = the outermost); NULL when there is nothing of that name. */
const dt_graph_name *dt_graph_names_find(const dt_graph_names *names, const char *scope, const char *text);
/* ": input, conv1, relu1 (did you mean "conv1"?)": what may be referred to in `scope`, the last few of it. Returns text. */
const char *dt_graph_names_hint(const dt_graph_names *names, const char *scope, const char *found, char *text, size_t bytes);
void dt_graph_names_free(dt_graph_names *names);

#endif
