/* The source never holds more than one buffer of packed bytes; how much is unpacked is decided by who reads. */
#include "data/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "data/path.h"

enum { BUFFER_BYTES = 1 << 16, GZIP_WINDOW_BITS = 15 + 16 };

struct dt_source {
  const char *path;
  int file;
  int64_t file_bytes;
  bool packed;
  bool between_members; /* a gzip member has ended and no other has begun */
  bool padded;          /* zeros have followed it */
  z_stream inflater;
  uint8_t *buffer; /* packed bytes as read; inflater.next_in points into it */
};

static bool is_there(const char *path) {
  struct stat about;
  return stat(path, &about) == 0 || errno != ENOENT;
}

/* With .gz where path has none, without where it has. */
static dt_status other_form(const char *path, char **out) {
  static const char suffix[] = ".gz";
  const size_t length = strlen(path), cut = sizeof suffix - 1;
  const bool has_suffix = length > cut && strcmp(path + length - cut, suffix) == 0;
  DT_TRY(dt_alloc(length + sizeof suffix, 1, out));
  memcpy(*out, path, has_suffix ? length - cut : length);
  if (!has_suffix) memcpy(*out + length, suffix, sizeof suffix);
  return DT_OK;
}

dt_status dt_source_find(const char *dir, const char *name, char **out_path) {
  char *path, *other = NULL;
  DT_TRY(dt_path_join(dir, name, &path));
  *out_path = path;
  if (is_there(path)) return DT_OK;
  dt_status status;
  DT_TRY_GOTO(failed, other_form(path, &other));
  if (!is_there(other))
    DT_RAISE_GOTO(failed, DT_DATA, "%s: could not be opened: %s; nor is there %s", path, strerror(ENOENT), other);
  free(path);
  *out_path = other;
  return DT_OK;
failed:
  free(other);
  free(path);
  *out_path = NULL;
  return status;
}

/* read(2) until `bytes` bytes are there or the file ends. */
static dt_status read_file(const dt_source *source, void *to, size_t bytes, size_t *out_count) {
  size_t count = 0;
  *out_count = 0;
  while (count < bytes) {
    const ssize_t got = read(source->file, (uint8_t *)to + count, bytes - count);
    if (got < 0 && errno == EINTR) continue;
    DT_REQUIRE(got >= 0, DT_IO, "%s: could not be read: %s", source->path, strerror(errno));
    if (got == 0) break;
    count += (size_t)got;
  }
  *out_count = count;
  return DT_OK;
}

static dt_status open_regular(dt_source *source) {
  /* O_NONBLOCK: opening a FIFO must not wait for a writer before fstat can refuse it. */
  source->file = open(source->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  DT_REQUIRE(source->file >= 0, DT_DATA, "%s: could not be opened: %s", source->path, strerror(errno));
  struct stat about;
  DT_REQUIRE(fstat(source->file, &about) == 0, DT_IO, "%s: could not be examined: %s", source->path, strerror(errno));
  DT_REQUIRE(!S_ISDIR(about.st_mode), DT_DATA, "%s: found a directory, expected a regular file", source->path);
  DT_REQUIRE(S_ISREG(about.st_mode), DT_DATA, "%s: found a device, pipe or socket, expected a regular file", source->path);
  source->file_bytes = about.st_size;
  return DT_OK;
}

/* Looks at the first two bytes and goes back to the beginning. */
static dt_status detect(dt_source *source) {
  uint8_t magic[2];
  size_t count = 0;
  DT_TRY(read_file(source, magic, sizeof magic, &count));
  DT_REQUIRE(lseek(source->file, 0, SEEK_SET) == 0, DT_IO, "%s: could not be read: %s", source->path, strerror(errno));
  if (count < sizeof magic || magic[0] != 0x1f || magic[1] != 0x8b) return DT_OK;
  DT_TRY(dt_alloc(BUFFER_BYTES, 1, &source->buffer));
  DT_REQUIRE(inflateInit2(&source->inflater, GZIP_WINDOW_BITS) == Z_OK, DT_MEMORY, "could not allocate a gzip decoder");
  source->packed = true;
  return DT_OK;
}

dt_status dt_source_open(const char *path, dt_source **out) {
  dt_source *source;
  DT_TRY(dt_alloc(1, sizeof *source, &source));
  source->path = path;
  source->file = -1;
  dt_status status;
  DT_TRY_GOTO(failed, open_regular(source));
  DT_TRY_GOTO(failed, detect(source));
  *out = source;
  return DT_OK;
failed:
  dt_source_close(&source);
  return status;
}

void dt_source_close(dt_source **source) {
  if (*source == NULL) return;
  if ((*source)->packed) inflateEnd(&(*source)->inflater);
  if ((*source)->file >= 0) close((*source)->file);
  free((*source)->buffer);
  free(*source);
  *source = NULL;
}

bool dt_source_packed(const dt_source *source) {
  return source->packed;
}

int64_t dt_source_file_bytes(const dt_source *source) {
  return source->file_bytes;
}

/* Puts packed bytes in front of the inflater; *out_end when the file has none left. */
static dt_status refill(dt_source *source, bool *out_end) {
  *out_end = false;
  if (source->inflater.avail_in > 0) return DT_OK;
  size_t count = 0;
  DT_TRY(read_file(source, source->buffer, BUFFER_BYTES, &count));
  source->inflater.next_in = source->buffer;
  source->inflater.avail_in = (uInt)count;
  *out_end = count == 0;
  return DT_OK;
}

/* gzip(1) takes zeros behind the last member for padding: what a block device or an archive filled up. */
static void skip_padding(dt_source *source) {
  z_stream *inflater = &source->inflater;
  for (; inflater->avail_in > 0 && *inflater->next_in == 0; inflater->next_in++, inflater->avail_in--) source->padded = true;
}

/* One call of inflate, across the seam between two members of a file made by appending one gzip file to another. */
static dt_status inflate_some(dt_source *source) {
  z_stream *inflater = &source->inflater;
  if (source->between_members) {
    skip_padding(source);
    if (inflater->avail_in == 0) return DT_OK;
    DT_REQUIRE(*inflater->next_in == 0x1f && !source->padded, DT_DATA,
               "%s: found other bytes after the gzip data, expected the end of the file", source->path);
    inflateReset(inflater);
    source->between_members = false;
  }
  const int code = inflate(inflater, Z_NO_FLUSH);
  if (code == Z_STREAM_END) source->between_members = true;
  DT_REQUIRE(code != Z_MEM_ERROR, DT_MEMORY, "%s: could not allocate memory to unpack it", source->path);
  DT_REQUIRE(code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR, DT_DATA, "%s: found damaged gzip data: %s",
             source->path, inflater->msg != NULL ? inflater->msg : "unknown block");
  return DT_OK;
}

static dt_status read_packed(dt_source *source, uint8_t *to, size_t bytes, size_t *out_count) {
  z_stream *inflater = &source->inflater;
  size_t count = 0;
  while (count < bytes) {
    bool end;
    DT_TRY(refill(source, &end));
    if (end) {
      DT_REQUIRE(source->between_members, DT_DATA, "%s: found gzip data cut short after %lld bytes, expected its checksum",
                 source->path, (long long)source->file_bytes);
      break;
    }
    const size_t left = bytes - count;
    inflater->next_out = to + count;
    inflater->avail_out = left < (1u << 30) ? (uInt)left : 1u << 30;
    const uInt room = inflater->avail_out;
    DT_TRY(inflate_some(source));
    count += room - inflater->avail_out;
  }
  *out_count = count;
  return DT_OK;
}

dt_status dt_source_read(dt_source *source, void *to, size_t bytes, size_t *out_count) {
  if (source->packed) return read_packed(source, to, bytes, out_count);
  return read_file(source, to, bytes, out_count);
}
