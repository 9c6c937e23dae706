/* Text of a config: bounded, without surprises. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/config/internal.h"
#include "core/text.h"

struct dt_config_block {
  dt_config_block *next;
  _Alignas(16) unsigned char memory[];
};

dt_status dt_config_alloc(dt_config_block **blocks, size_t count, size_t bytes, void *out_pointer) {
  dt_config_block *block;
  DT_TRY(dt_alloc(1, sizeof *block + count * bytes, &block));
  block->next = *blocks;
  *blocks = block;
  void *memory = block->memory;
  memcpy(out_pointer, &memory, sizeof memory);
  return DT_OK;
}

dt_status dt_config_copy(dt_config_block **blocks, const char *text, size_t bytes, const char **out) {
  char *copy;
  DT_TRY(dt_config_alloc(blocks, bytes + 1, 1, &copy));
  if (bytes > 0) memcpy(copy, text, bytes);
  *out = copy;
  return DT_OK;
}

void dt_config_free(dt_config_block **blocks) {
  for (dt_config_block *block = *blocks, *next; block != NULL; block = next) {
    next = block->next;
    free(block);
  }
  *blocks = NULL;
}

/* One byte more than the limit is enough to know that a file is too large. */
static dt_status read_all(int fd, const char *path, char *buffer, size_t *out_bytes) {
  size_t used = 0;
  while (used <= DT_CONFIG_BYTES_MAX) {
    ssize_t got = read(fd, buffer + used, DT_CONFIG_BYTES_MAX + 1 - used);
    if (got < 0 && errno == EINTR) continue;
    DT_REQUIRE(got >= 0, DT_USAGE, "%s: reading failed: %s", path, strerror(errno));
    if (got == 0) break;
    used += (size_t)got;
  }
  DT_REQUIRE(used <= DT_CONFIG_BYTES_MAX, DT_USAGE, "%s: found more than %d bytes, expected a config of at most that", path,
             DT_CONFIG_BYTES_MAX);
  *out_bytes = used;
  return DT_OK;
}

static const char *file_type_name(mode_t mode) {
  if (S_ISDIR(mode)) return "a directory";
  if (S_ISFIFO(mode)) return "a FIFO";
  if (S_ISSOCK(mode)) return "a socket";
  return "a device";
}

static dt_status read_file(dt_config_block **blocks, int fd, const char *path, dt_config_text *out) {
  struct stat info;
  DT_REQUIRE(fstat(fd, &info) == 0, DT_USAGE, "%s: %s", path, strerror(errno));
  DT_REQUIRE(S_ISREG(info.st_mode), DT_USAGE, "%s: found %s, expected a config file", path, file_type_name(info.st_mode));
  char *buffer;
  size_t bytes = 0;
  DT_TRY(dt_config_alloc(blocks, DT_CONFIG_BYTES_MAX + 2, 1, &buffer));
  DT_TRY(read_all(fd, path, buffer, &bytes));
  return dt_config_text_open(blocks, path, buffer, bytes, out);
}

dt_status dt_config_text_load(dt_config_block **blocks, const char *path, dt_config_text *out) {
  DT_REQUIRE(strlen(path) < PATH_MAX, DT_USAGE, "config path: found %zu bytes, expected fewer than %d", strlen(path), PATH_MAX);
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
  DT_REQUIRE(fd >= 0, DT_USAGE, "%s: %s, expected a config file%s", path, strerror(errno),
             path[0] == '~' ? "; ~ is not expanded here, a shell does it where it stands without quotes" : "");
  dt_status status = read_file(blocks, fd, path, out);
  close(fd);
  return status;
}

static bool is_allowed_ascii(unsigned char c) {
  return (c >= 0x20 && c != 0x7F) || c == '\n' || c == '\t';
}

static dt_status check_text(const dt_config_text *source) {
  const unsigned char *p = (const unsigned char *)source->text, *end = p + source->bytes, *line_start = p;
  int line = 1;
  while (p < end) {
    long long column = p - line_start + 1;
    size_t length = dt_utf8_length(p, (size_t)(end - p));
    DT_REQUIRE(length > 0, DT_USAGE, "%s:%d:%lld: found the byte 0x%02X, expected UTF-8 text", source->name, line, column, *p);
    bool line_end = *p == '\r' && p + 1 < end && p[1] == '\n';
    DT_REQUIRE(length > 1 || line_end || is_allowed_ascii(*p), DT_USAGE,
               "%s:%d:%lld: found the control character 0x%02X, expected text", source->name, line, column, *p);
    if (*p == '\n') {
      line++;
      line_start = p + 1;
    }
    p += length;
  }
  return DT_OK;
}

static bool is_utf16(const char *text, size_t bytes) {
  return bytes >= 2 && (memcmp(text, "\xFF\xFE", 2) == 0 || memcmp(text, "\xFE\xFF", 2) == 0);
}

dt_status dt_config_text_open(dt_config_block **blocks, const char *name, const char *text, size_t bytes, dt_config_text *out) {
  DT_REQUIRE(bytes <= DT_CONFIG_BYTES_MAX, DT_USAGE, "%s: found %zu bytes, expected at most %d", name, bytes,
             DT_CONFIG_BYTES_MAX);
  DT_REQUIRE(!is_utf16(text, bytes), DT_USAGE, "%s:1:1: found UTF-16 text, expected UTF-8", name);
  if (bytes >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
    text += 3;
    bytes -= 3;
  }
  DT_TRY(dt_config_copy(blocks, name, strlen(name), &out->name));
  DT_TRY(dt_config_copy(blocks, text, bytes, &out->text));
  out->bytes = bytes;
  return check_text(out);
}

bool dt_config_text_line(const dt_config_text *source, int line, const char **out_text, size_t *out_bytes) {
  const char *p = source->text, *end = p + source->bytes;
  for (int i = 1; i < line; i++) {
    p = memchr(p, '\n', (size_t)(end - p));
    if (p == NULL) return false;
    p++;
  }
  const char *stop = memchr(p, '\n', (size_t)(end - p));
  if (stop == NULL) stop = end;
  if (stop > p && stop[-1] == '\r') stop--;
  *out_text = p;
  *out_bytes = (size_t)(stop - p);
  return true;
}
