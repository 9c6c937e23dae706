/* Files for tests: a folder of their own, plain and packed contents. */
#ifndef DT_TESTS_SUPPORT_FILES_H
#define DT_TESTS_SUPPORT_FILES_H

#include <stdint.h>

#include "core/status.h"

enum { DT_TEST_PATH = 512 };

/* Makes a new empty folder under TMPDIR or /tmp; out_dir holds DT_TEST_PATH bytes. DT_IO. */
dt_status dt_test_dir_create(char *out_dir);
/* Removes the folder with the plain files in it. */
void dt_test_dir_remove(const char *dir);
/* Writes dir/name. DT_IO. */
dt_status dt_test_write_file(const char *dir, const char *name, const void *data, size_t bytes);
/* Writes dir/name packed with gzip. DT_IO, DT_MEMORY. */
dt_status dt_test_write_gzip(const char *dir, const char *name, const void *data, size_t bytes);
/* Packs into new memory (free). DT_MEMORY. */
dt_status dt_test_gzip(const void *data, size_t bytes, uint8_t **out, size_t *out_bytes);

/* An IDX file in memory: the header for these dimensions, then `bytes` bytes of body. Returns new (free). DT_MEMORY. */
dt_status dt_test_idx(const uint32_t *dim, int ndim, const void *body, size_t bytes, uint8_t **out, size_t *out_bytes);

#endif
