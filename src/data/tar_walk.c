#include "data/tar_walk.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BLOCK = 512, EXTENSION_MAX = 1 << 20 };

/* A header block, POSIX.1-1988 (ustar). */
typedef struct header {
  char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], checksum[8], type, link[100], magic[8], user[32], group[32],
      major[8], minor[8], prefix[155], rest[12];
} header;

typedef struct walker {
  int file;
  const char *path;
  int64_t bytes, at;              /* of the file; of the next header */
  char name[DT_TAR_NAME_MAX + 1]; /* that an extension gives the next member; "" = none does */
  int64_t size;                   /* likewise; -1 */
  bool sparse;                    /* the next member has holes */
  bool any;                       /* a header was read */
} walker;

dt_status dt_tar_read(int file, const char *path, int64_t at, void *to, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    const ssize_t got = pread(file, (char *)to + done, bytes - done, (off_t)(at + (int64_t)done));
    if (got < 0 && errno == EINTR) continue;
    DT_REQUIRE(got >= 0, DT_IO, "%s: could not be read: %s", path, strerror(errno));
    DT_REQUIRE(got > 0, DT_DATA, "%s: found the end of the archive at %" PRId64 ", expected %zu bytes at %" PRId64, path,
               at + (int64_t)done, bytes, at);
    done += (size_t)got;
  }
  return DT_OK;
}

/* --- numbers and names --- */

/* Octal digits between blanks, or GNU's base 256, marked by the highest bit. -1: neither, or beyond an int64. */
static int64_t read_number(const char *field, size_t bytes) {
  const uint8_t *b = (const uint8_t *)field;
  uint64_t value = 0;
  size_t i = 0;
  if (b[0] & 0x80) {
    if ((b[0] & 0x7f) != 0) return -1; /* negative, or too large */
    for (i = 1; i < bytes; i++) {
      if (value >> 55 != 0) return -1;
      value = value << 8 | b[i];
    }
    return (int64_t)value;
  }
  while (i < bytes && b[i] == ' ') i++;
  if (i == bytes || b[i] < '0' || b[i] > '7') return -1;
  for (; i < bytes && b[i] >= '0' && b[i] <= '7'; i++) value = value << 3 | (uint64_t)(b[i] - '0');
  return i == bytes || b[i] == ' ' || b[i] == '\0' ? (int64_t)value : -1;
}

/* The sum of a header's bytes, its own field counted as blanks; old programs added signed ones. */
static bool has_checksum(const header *h) {
  const uint8_t *b = (const uint8_t *)h;
  const size_t first = offsetof(header, checksum), end = first + sizeof h->checksum;
  int64_t plain = 0, with_sign = 0;
  for (size_t i = 0; i < BLOCK; i++) {
    const uint8_t byte = i >= first && i < end ? ' ' : b[i];
    plain += byte;
    with_sign += (int8_t)byte;
  }
  const int64_t said = read_number(h->checksum, sizeof h->checksum);
  return said == plain || said == with_sign;
}

/* Whether it stays below the folder in which the archive is unpacked. */
static bool stays_inside(const char *name) {
  if (name[0] == '/') return false;
  for (const char *part = name; part != NULL; part = strchr(part, '/')) {
    if (*part == '/') part++;
    if (part[0] == '.' && part[1] == '.' && (part[2] == '/' || part[2] == '\0')) return false;
  }
  return true;
}

static void take_name(walker *w, const header *h) {
  const bool ustar = memcmp(h->magic, "ustar\0", 6) == 0;
  if (w->name[0] != '\0') return;
  if (ustar && h->prefix[0] != '\0')
    snprintf(w->name, sizeof w->name, "%.*s/%.*s", (int)sizeof h->prefix, h->prefix, (int)sizeof h->name, h->name);
  else
    snprintf(w->name, sizeof w->name, "%.*s", (int)sizeof h->name, h->name);
}

/* --- extensions, which tell of the member behind them --- */

/* A record "27 path=some/long/name\n" of the length that it says. */
static dt_status take_record(walker *w, const char *key, size_t key_bytes, const char *value, size_t bytes) {
  if (key_bytes == 4 && memcmp(key, "path", 4) == 0) {
    DT_REQUIRE(bytes <= DT_TAR_NAME_MAX && memchr(value, '\0', bytes) == NULL, DT_DATA,
               "%s: found a name of %zu bytes at %" PRId64 ", expected %d at most, without a zero byte", w->path, bytes, w->at,
               DT_TAR_NAME_MAX);
    memcpy(w->name, value, bytes);
    w->name[bytes] = '\0';
  } else if (key_bytes == 4 && memcmp(key, "size", 4) == 0) {
    w->size = 0;
    for (size_t i = 0; i < bytes; i++) {
      DT_REQUIRE(value[i] >= '0' && value[i] <= '9' && w->size < INT64_MAX / 10 - 9, DT_DATA,
                 "%s: found a size that is no number in the extended header at %" PRId64, w->path, w->at);
      w->size = 10 * w->size + (value[i] - '0');
    }
  } else if (key_bytes > 10 && memcmp(key, "GNU.sparse", 10) == 0) {
    w->sparse = true;
  }
  return DT_OK;
}

static dt_status take_records(walker *w, const char *text, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    size_t length = 0, i = at;
    for (; i < bytes && text[i] >= '0' && text[i] <= '9' && length <= bytes; i++)
      length = 10 * length + (size_t)(text[i] - '0');
    const bool is_record = i > at && i < bytes && text[i] == ' ' && length <= bytes - at && at + length > i + 1;
    const char *equals = is_record ? memchr(text + i + 1, '=', at + length - i - 1) : NULL;
    DT_REQUIRE(equals != NULL && text[at + length - 1] == '\n', DT_DATA,
               "%s: found an extended header at %" PRId64 " that is no list of records", w->path, w->at);
    const char *key = text + i + 1, *end = text + at + length - 1;
    if (equals < end) DT_TRY(take_record(w, key, (size_t)(equals - key), equals + 1, (size_t)(end - equals - 1)));
    at += length;
  }
  return DT_OK;
}

static dt_status take_extension(walker *w, char type, int64_t at, int64_t bytes) {
  char *text;
  DT_REQUIRE(bytes <= EXTENSION_MAX, DT_DATA,
             "%s: found an extended header of %" PRId64 " bytes at %" PRId64 ", expected %d at most", w->path, bytes, w->at,
             EXTENSION_MAX);
  DT_TRY(dt_alloc((size_t)bytes + 1, 1, &text));
  dt_status status = dt_tar_read(w->file, w->path, at, text, (size_t)bytes);
  if (status == DT_OK && type == 'x') status = take_records(w, text, (size_t)bytes);
  if (status == DT_OK && type == 'L') {
    if (strlen(text) > DT_TAR_NAME_MAX)
      status = dt_error_set(DT_DATA, __FILE__, __LINE__, "%s: found a name of %zu bytes at %" PRId64 ", expected %d at most",
                            w->path, strlen(text), w->at, DT_TAR_NAME_MAX);
    else
      snprintf(w->name, sizeof w->name, "%s", text);
  }
  free(text);
  return status;
}

/* --- members --- */

static dt_status refuse_header(const walker *w, const header *h) {
  static const struct {
    const char *magic, *name;
    size_t bytes;
  } packed[] = {{"\x1f\x8b", "gzip", 2},
                {"\x28\xb5\x2f\xfd", "zstd", 4},
                {"\xfd"
                 "7zXZ",
                 "xz", 5},
                {"BZh", "bzip2", 3}};
  for (size_t i = 0; i < sizeof packed / sizeof packed[0] && w->at == 0; i++) {
    DT_REQUIRE(
        memcmp(h, packed[i].magic, packed[i].bytes) != 0, DT_DATA,
        "%s: found an archive packed by %s, expected a plain one, whose members can be read in any order: unpack it first",
        w->path, packed[i].name);
  }
  DT_RAISE(DT_DATA, "%s: found no header of a tar archive at %" PRId64 "%s", w->path, w->at,
           w->any ? ": it is damaged" : ", expected one");
}

static dt_status visit_member(walker *w, const header *h, int64_t at, int64_t bytes,
                              dt_status (*visit)(void *context, const dt_tar_member *member), void *context) {
  take_name(w, h);
  DT_REQUIRE(stays_inside(w->name), DT_DATA,
             "%s: found member %.200s, which lies outside of the archive's folder, expected none", w->path, w->name);
  const bool regular = h->type == '0' || h->type == '\0' || h->type == '7';
  DT_REQUIRE(h->type != 'S' && !(regular && w->sparse), DT_DATA,
             "%s: found member %.200s with holes (sparse), which is not supported", w->path, w->name);
  const char *name = w->name;
  while (name[0] == '.' && name[1] == '/') name += 1 + strspn(name + 1, "/");
  const size_t length = strlen(name);
  if (!regular || length == 0 || name[length - 1] == '/') return DT_OK;
  return visit(context, &(dt_tar_member){.name = name, .at = at, .bytes = bytes});
}

static bool has_body(char type) {
  return type < '1' || type > '6'; /* links, devices, folders and pipes have none, whatever size they say */
}

static bool is_zero(const header *h) {
  static const header zeros;
  return memcmp(h, &zeros, sizeof zeros) == 0;
}

/* The header at w->at, its extension or member. */
static dt_status step(walker *w, const header *h, dt_status (*visit)(void *context, const dt_tar_member *member),
                      void *context) {
  if (!has_checksum(h)) return refuse_header(w, h);
  w->any = true;
  const bool extends = h->type == 'x' || h->type == 'L' || h->type == 'K' || h->type == 'g';
  int64_t bytes = has_body(h->type) ? read_number(h->size, sizeof h->size) : 0;
  if (!extends && w->size >= 0 && has_body(h->type)) bytes = w->size;
  const int64_t at = w->at + BLOCK;
  DT_REQUIRE(bytes >= 0, DT_DATA, "%s: found a size that is no number in the header at %" PRId64, w->path, w->at);
  DT_REQUIRE(bytes <= w->bytes - at, DT_DATA,
             "%s: found a member of %" PRId64 " bytes at %" PRId64 ", but the archive ends after %" PRId64 ": it is cut short",
             w->path, bytes, at, w->bytes);
  if (extends) {
    DT_TRY(take_extension(w, h->type, at, bytes));
  } else {
    DT_TRY(visit_member(w, h, at, bytes, visit, context));
    w->name[0] = '\0';
    w->size = -1;
    w->sparse = false;
  }
  w->at = at + (bytes + BLOCK - 1) / BLOCK * BLOCK;
  return DT_OK;
}

dt_status dt_tar_walk(int file, const char *path, dt_status (*visit)(void *context, const dt_tar_member *member),
                      void *context) {
  _Static_assert(sizeof(header) == BLOCK, "a header fills a block");
  struct stat about;
  header h;
  DT_REQUIRE(fstat(file, &about) == 0, DT_IO, "%s: could not be examined: %s", path, strerror(errno));
  walker w = {.file = file, .path = path, .bytes = about.st_size, .size = -1};
  DT_REQUIRE(w.bytes > 0, DT_DATA, "%s: found an empty file, expected a tar archive", path);
  while (w.at < w.bytes) {
    DT_REQUIRE(w.bytes - w.at >= BLOCK, DT_DATA, "%s: found %" PRId64 " bytes at the end of the archive: it is cut short", path,
               w.bytes - w.at);
    DT_TRY(dt_tar_read(file, path, w.at, &h, sizeof h));
    if (is_zero(&h)) return DT_OK;
    DT_TRY(step(&w, &h, visit, context));
  }
  DT_RAISE(DT_DATA, "%s: found no block of zeros after the last member, which ends an archive: it is cut short", path);
}
