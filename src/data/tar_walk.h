/* The members of a tar archive, one after another: POSIX ustar and pax, and GNU's long names. Nothing is ever extracted. */
#ifndef DT_DATA_TAR_WALK_H
#define DT_DATA_TAR_WALK_H

#include <stdint.h>

#include "core/status.h"

enum { DT_TAR_NAME_MAX = 4096 };

typedef struct dt_tar_member {
  const char *name; /* below the archive: no "..", no "/" before it, no "./" */
  int64_t at;       /* of its first byte in the file */
  int64_t bytes;
} dt_tar_member;

/* Calls `visit` for every regular member; links, devices and folders are passed over. `path` is for messages. A block of
 * zeros ends it. DT_DATA where it is no archive, packed, cut short or inconsistent, where a member is sparse,
 * or would lie outside of where one unpacks it; DT_IO, DT_MEMORY, and what visit returns. */
dt_status dt_tar_walk(int file, const char *path, dt_status (*visit)(void *context, const dt_tar_member *member),
                      void *context);

/* Reads exactly so many bytes at a place. DT_DATA where the file ends before, DT_IO. */
dt_status dt_tar_read(int file, const char *path, int64_t at, void *to, size_t bytes);

#endif
