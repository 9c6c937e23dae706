/* Bytes of a file, unpacked on the way when its content says that it is gzip, whatever its name says. */
#ifndef DT_DATA_SOURCE_H
#define DT_DATA_SOURCE_H

#include <stdint.h>

#include "core/status.h"

/* deflate cannot pack better than about 1032 to 1: a claim above this, measured in bytes of the file, is false. */
enum { DT_SOURCE_RATIO_MAX = 1040 };

typedef struct dt_source dt_source;

/* The file that `name` stands for in dir (data/path.h), with or without .gz at its end: the name itself where both are there.
 * DT_DATA when neither is. Returns new (free). */
dt_status dt_source_find(const char *dir, const char *name, char **out_path);
/* Opens a regular file; keeps path until closed. DT_DATA when it is absent, unreadable or no regular file. Returns new. */
dt_status dt_source_open(const char *path, dt_source **out);
/* Reads up to `bytes` bytes; *out_count is less only at the end of the data. DT_DATA for a broken gzip stream (cut short, wrong
 * checksum, followed by something else than zeros), DT_IO when reading fails. */
dt_status dt_source_read(dt_source *source, void *to, size_t bytes, size_t *out_count);
bool dt_source_packed(const dt_source *source);
int64_t dt_source_file_bytes(const dt_source *source); /* of the file as it lies on the disk */
void dt_source_close(dt_source **source);

#endif
