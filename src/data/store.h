/* Samples that are read when they are needed, one at a time: a store knows where each of them lies. A data set's column has an
 * index into its store, so that parts of a data set share one. */
#ifndef DT_DATA_STORE_H
#define DT_DATA_STORE_H

#include <stdint.h>

#include "core/status.h"

typedef struct dt_store dt_store;

typedef struct dt_store_ops {
  /* Reads a sample, in the form that the field says. Called by several threads at once. DT_DATA naming what was read and what
   * is wrong with it, DT_IO, DT_MEMORY. */
  dt_status (*read)(const dt_store *store, int64_t sample, void *to);
  void (*destroy)(dt_store *store);
} dt_store_ops;

/* What every store has; the first member of a format's own. */
struct dt_store {
  const dt_store_ops *ops;
  int users;     /* columns that have it */
  int64_t count; /* samples */
  size_t bytes;  /* of a sample as it is read */
  /* Of all that tells its samples from others without reading them (names, sizes, how they are read): ranks must agree on it.
   */
  uint64_t hash;
  uint64_t key;  /* of that, and of all that would change with their contents: what was measured once holds for the same key */
  bool skips;    /* a sample that cannot be read is left out, where it is found before training */
  bool may_keep; /* samples in memory once they were read */
  struct dt_store_kept *kept; /* samples as they were read; NULL = none are kept */
};

/* Reads a sample, or copies what was kept of it. Errors as ops->read. */
dt_status dt_store_read(dt_store *store, int64_t sample, void *to);
/* From now on a sample stays in memory once it was read. Memory is taken as it is filled; without any to be had nothing is
 * kept. Not while others read. */
void dt_store_keep(dt_store *store);
dt_store *dt_store_share(dt_store *store);
/* Gives it up; the last to do so destroys it. */
void dt_store_release(dt_store **store);

#endif
