/* Files that must be whole: written completely, hashed and synced; read only when they are plain files, and no more of them
 * than they hold. Names are relative to an open directory, so that nothing on the way can be swapped. Not collective. */
#ifndef DT_CORE_FILE_H
#define DT_CORE_FILE_H

#include <stdint.h>

#include "core/status.h"

enum { DT_HASH_TEXT = 33 }; /* XXH3-128 as 32 hexadecimal digits, and the end */

typedef struct dt_file_sum {
  uint64_t bytes;
  char hash[DT_HASH_TEXT];
} dt_file_sum;

/* Hash of bytes in memory. */
void dt_hash_text(const void *data, size_t bytes, char text[DT_HASH_TEXT]);

/* Writes all bytes: goes on after signals and short writes. DT_IO naming label and cause. */
dt_status dt_write_all(int fd, const char *label, const void *data, size_t bytes);

/* A new file being written and hashed; `name` is borrowed until commit or abandon. The file must not exist. DT_IO, DT_MEMORY.
 */
typedef struct dt_file_writer {
  const char *name;
  int fd;
  uint64_t bytes;
  void *hash;
} dt_file_writer;
dt_status dt_file_create(int dir_fd, const char *name, dt_file_writer *out);
dt_status dt_file_append(dt_file_writer *writer, const void *data, size_t bytes);
/* Syncs and closes; a failed sync is final and never tried again. The writer is closed whatever the result. */
dt_status dt_file_commit(dt_file_writer *writer, dt_file_sum *out);
void dt_file_abandon(dt_file_writer *writer);

/* Reads a whole plain file of at most max_bytes: no link, no second name, no pipe, no device, never waits for a writer.
 * Returns new (free). DT_IO, DT_MEMORY. */
dt_status dt_file_read(int dir_fd, const char *name, uint64_t max_bytes, uint8_t **out, size_t *out_bytes);

/* Hashes a file of the same kind, piece by piece: in little memory. DT_IO, DT_MEMORY. */
dt_status dt_file_hash(int dir_fd, const char *name, uint64_t max_bytes, dt_file_sum *out);

/* Syncs a directory's entries. */
dt_status dt_dir_sync(int dir_fd, const char *label);
/* Removes a folder and all in it, or whatever else has its name, never through a link; what cannot be removed stays. */
void dt_dir_remove(int dir_fd, const char *name);
/* Makes a directory and those above it (mode 0777 less the umask); it may exist. DT_IO. */
dt_status dt_dir_make(const char *path);

#endif
