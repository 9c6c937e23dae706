#include "core/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

/* Linux moves at most 2 GiB in one call anyway; smaller pieces keep the loop under test on ordinary files. */
enum { PIECE = 64 << 20, HASH_PIECE = 1 << 20 };

static void hash_print(XXH128_hash_t hash, char text[DT_HASH_TEXT]) {
  snprintf(text, DT_HASH_TEXT, "%016" PRIx64 "%016" PRIx64, (uint64_t)hash.high64, (uint64_t)hash.low64);
}

void dt_hash_text(const void *data, size_t bytes, char text[DT_HASH_TEXT]) {
  hash_print(XXH3_128bits(data, bytes), text);
}

dt_status dt_write_all(int fd, const char *label, const void *data, size_t bytes) {
  const char *at = data;
  while (bytes > 0) {
    ssize_t done = write(fd, at, bytes < PIECE ? bytes : PIECE);
    if (done < 0 && errno == EINTR) continue;
    DT_REQUIRE(done >= 0, DT_IO, "%s: could not write %zu bytes: %s", label, bytes, strerror(errno));
    at += done;
    bytes -= (size_t)done;
  }
  return DT_OK;
}

dt_status dt_file_create(int dir_fd, const char *name, dt_file_writer *out) {
  *out = (dt_file_writer){.name = name, .fd = -1};
  out->hash = XXH3_createState();
  DT_REQUIRE(out->hash != NULL, DT_MEMORY, "%s: no memory for a hash state", name);
  XXH3_128bits_reset(out->hash);
  out->fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
  if (out->fd >= 0) return DT_OK;
  int cause = errno;
  dt_file_abandon(out);
  DT_RAISE(DT_IO, "%s: could not create: %s", name, strerror(cause));
}

dt_status dt_file_append(dt_file_writer *writer, const void *data, size_t bytes) {
  DT_TRY(dt_write_all(writer->fd, writer->name, data, bytes));
  if (bytes > 0) XXH3_128bits_update(writer->hash, data, bytes);
  writer->bytes += bytes;
  return DT_OK;
}

dt_status dt_file_commit(dt_file_writer *writer, dt_file_sum *out) {
  dt_status status = DT_OK;
  out->bytes = writer->bytes;
  hash_print(XXH3_128bits_digest(writer->hash), out->hash);
  if (fdatasync(writer->fd) != 0) DT_RAISE_GOTO(end, DT_IO, "%s: could not sync to disk: %s", writer->name, strerror(errno));
  int closed = close(writer->fd);
  writer->fd = -1;
  if (closed != 0) DT_RAISE_GOTO(end, DT_IO, "%s: could not close: %s", writer->name, strerror(errno));
end:
  dt_file_abandon(writer);
  return status;
}

void dt_file_abandon(dt_file_writer *writer) {
  if (writer->fd >= 0) close(writer->fd);
  writer->fd = -1;
  XXH3_freeState(writer->hash);
  writer->hash = NULL;
}

/* O_NONBLOCK: opening a pipe must not wait for its other end. */
static dt_status open_plain(int dir_fd, const char *name, uint64_t max_bytes, int *out_fd, size_t *out_bytes) {
  struct stat info;
  int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  DT_REQUIRE(fd >= 0 || errno != ELOOP, DT_IO, "%s: is a symbolic link, expected a plain file", name);
  DT_REQUIRE(fd >= 0, DT_IO, "%s: could not open: %s", name, strerror(errno));
  dt_status status = DT_OK;
  if (fstat(fd, &info) != 0) DT_RAISE_GOTO(fail, DT_IO, "%s: could not stat: %s", name, strerror(errno));
  if (S_ISDIR(info.st_mode)) DT_RAISE_GOTO(fail, DT_IO, "%s: is a directory, expected a plain file", name);
  if (!S_ISREG(info.st_mode)) DT_RAISE_GOTO(fail, DT_IO, "%s: is a pipe or device, expected a plain file", name);
  if (info.st_nlink > 1)
    DT_RAISE_GOTO(fail, DT_IO, "%s: has %ju names (hard links), expected one; copy it instead", name, (uintmax_t)info.st_nlink);
  if ((uint64_t)info.st_size > max_bytes)
    DT_RAISE_GOTO(fail, DT_IO, "%s: %jd bytes, expected at most %" PRIu64, name, (intmax_t)info.st_size, max_bytes);
  *out_fd = fd;
  *out_bytes = (size_t)info.st_size;
  return DT_OK;
fail:
  close(fd);
  return status;
}

static dt_status read_exactly(int fd, const char *name, uint8_t *into, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    ssize_t done = read(fd, into + at, bytes - at < PIECE ? bytes - at : PIECE);
    if (done < 0 && errno == EINTR) continue;
    DT_REQUIRE(done >= 0, DT_IO, "%s: could not read at %zu: %s", name, at, strerror(errno));
    DT_REQUIRE(done > 0, DT_IO, "%s: ended at %zu of %zu bytes while being read", name, at, bytes);
    at += (size_t)done;
  }
  return DT_OK;
}

dt_status dt_file_read(int dir_fd, const char *name, uint64_t max_bytes, uint8_t **out, size_t *out_bytes) {
  int fd = -1;
  size_t bytes = 0;
  uint8_t *data = NULL;
  DT_TRY(open_plain(dir_fd, name, max_bytes, &fd, &bytes));
  dt_status status = dt_alloc(bytes, 1, &data);
  if (status == DT_OK) status = read_exactly(fd, name, data, bytes);
  close(fd);
  if (status != DT_OK) {
    free(data);
    return status;
  }
  *out = data;
  *out_bytes = bytes;
  return DT_OK;
}

static dt_status hash_pieces(int fd, const char *name, size_t bytes, uint8_t *piece, dt_file_sum *out) {
  XXH3_state_t *state = XXH3_createState();
  DT_REQUIRE(state != NULL, DT_MEMORY, "%s: no memory for a hash state", name);
  XXH3_128bits_reset(state);
  dt_status status = DT_OK;
  for (size_t at = 0; status == DT_OK && at < bytes; at += HASH_PIECE) {
    size_t here = bytes - at < HASH_PIECE ? bytes - at : HASH_PIECE;
    status = read_exactly(fd, name, piece, here);
    if (status == DT_OK) XXH3_128bits_update(state, piece, here);
  }
  out->bytes = bytes;
  hash_print(XXH3_128bits_digest(state), out->hash);
  XXH3_freeState(state);
  return status;
}

dt_status dt_file_hash(int dir_fd, const char *name, uint64_t max_bytes, dt_file_sum *out) {
  int fd = -1;
  size_t bytes = 0;
  uint8_t *piece = NULL;
  DT_TRY(open_plain(dir_fd, name, max_bytes, &fd, &bytes));
  dt_status status = dt_alloc(HASH_PIECE, 1, &piece);
  if (status == DT_OK) status = hash_pieces(fd, name, bytes, piece, out);
  free(piece);
  close(fd);
  return status;
}

dt_status dt_dir_sync(int dir_fd, const char *label) {
  DT_REQUIRE(fsync(dir_fd) == 0, DT_IO, "%s: could not sync the directory: %s", label, strerror(errno));
  return DT_OK;
}

dt_status dt_dir_make(const char *path) {
  char part[PATH_MAX];
  size_t length = strlen(path);
  DT_REQUIRE(length > 0 && length < sizeof part, DT_IO, "%.100s: %zu characters, expected a path of 1 to %d", path, length,
             PATH_MAX - 1);
  for (size_t at = 1; at <= length; at++) {
    if (path[at] != '/' && path[at] != '\0') continue;
    memcpy(part, path, at);
    part[at] = '\0';
    if (mkdir(part, 0777) == 0) continue;
    struct stat info;
    int cause = errno;
    bool there = stat(part, &info) == 0;
    DT_REQUIRE(!there || S_ISDIR(info.st_mode), DT_IO, "%s: is not a directory", part);
    DT_REQUIRE(there, DT_IO, "%s: could not make the directory: %s", part, strerror(cause));
  }
  return DT_OK;
}

void dt_dir_remove(int dir_fd, const char *name) {
  int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
  if (dir == NULL) {
    if (fd >= 0) close(fd);
    unlinkat(dir_fd, name, 0);
    return;
  }
  for (struct dirent *item; (item = readdir(dir)) != NULL;)
    if (strcmp(item->d_name, ".") != 0 && strcmp(item->d_name, "..") != 0) dt_dir_remove(fd, item->d_name);
  closedir(dir);
  unlinkat(dir_fd, name, AT_REMOVEDIR);
}
