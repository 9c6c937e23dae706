#include "support/files.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

dt_status dt_test_dir_create(char *out_dir) {
  const char *parent = getenv("TMPDIR");
  snprintf(out_dir, DT_TEST_PATH, "%s/dtrain-test-XXXXXX", parent != NULL ? parent : "/tmp");
  DT_REQUIRE(mkdtemp(out_dir) != NULL, DT_IO, "%s: could not be made", out_dir);
  return DT_OK;
}

void dt_test_dir_remove(const char *dir) {
  DIR *list = opendir(dir);
  if (list == NULL) return;
  for (struct dirent *entry = readdir(list); entry != NULL; entry = readdir(list)) {
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) unlinkat(dirfd(list), entry->d_name, 0);
  }
  closedir(list);
  rmdir(dir);
}

dt_status dt_test_write_file(const char *dir, const char *name, const void *data, size_t bytes) {
  char path[DT_TEST_PATH + 256];
  snprintf(path, sizeof path, "%s/%s", dir, name);
  FILE *file = fopen(path, "wb");
  DT_REQUIRE(file != NULL, DT_IO, "%s: could not be made", path);
  const bool written = fwrite(data, 1, bytes, file) == bytes;
  DT_REQUIRE(fclose(file) == 0 && written, DT_IO, "%s: could not be written", path);
  return DT_OK;
}

dt_status dt_test_gzip(const void *data, size_t bytes, uint8_t **out, size_t *out_bytes) {
  z_stream packer = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = (uInt)bytes};
  DT_REQUIRE(deflateInit2(&packer, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, DT_MEMORY, "no packer");
  const size_t room = deflateBound(&packer, (uLong)bytes);
  dt_status status;
  DT_TRY_GOTO(done, dt_alloc(room, 1, out));
  packer.next_out = *out;
  packer.avail_out = (uInt)room;
  DT_ASSERT(deflate(&packer, Z_FINISH) == Z_STREAM_END);
  *out_bytes = packer.total_out;
done:
  deflateEnd(&packer);
  return status;
}

dt_status dt_test_write_gzip(const char *dir, const char *name, const void *data, size_t bytes) {
  uint8_t *packed;
  size_t packed_bytes = 0;
  DT_TRY(dt_test_gzip(data, bytes, &packed, &packed_bytes));
  const dt_status status = dt_test_write_file(dir, name, packed, packed_bytes);
  free(packed);
  return status;
}

dt_status dt_test_idx(const uint32_t *dim, int ndim, const void *body, size_t bytes, uint8_t **out, size_t *out_bytes) {
  const size_t header_bytes = 4 + 4 * (size_t)ndim;
  uint8_t *file;
  DT_TRY(dt_alloc(header_bytes + bytes, 1, &file));
  file[2] = 8;
  file[3] = (uint8_t)ndim;
  for (int i = 0; i < ndim; i++) {
    for (int b = 0; b < 4; b++) file[4 + 4 * i + b] = (uint8_t)(dim[i] >> (24 - 8 * b));
  }
  memcpy(file + header_bytes, body, bytes);
  *out = file;
  *out_bytes = header_bytes + bytes;
  return DT_OK;
}
