/* CIFAR-10 and CIFAR-100 in their binary versions: records of one label byte (CIFAR-100: two, the coarse class and the fine
 * one) and 3072 pixel bytes, planes red, green, blue of 32x32. The formats have no header, so a file is judged by its size, its
 * labels, and by being no other file's copy. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "core/config/rows.h"
#include "data/data.h"
#include "data/formats.h"
#include "data/source.h"

typedef struct cifar_attr {
  dt_strings files;
  bool coarse;
} cifar_attr;

enum { PIXELS = 3 * 32 * 32, LABELS_MAX = 2 };

/* One of the two formats. */
typedef struct cifar {
  const char *name;
  int labels;              /* bytes before the pixels */
  int classes[LABELS_MAX]; /* of each */
  const struct cifar *other;
} cifar;

static const cifar cifar100;
static const cifar cifar10 = {"CIFAR-10", 1, {10}, &cifar100};
static const cifar cifar100 = {"CIFAR-100", 2, {20, 100}, &cifar10};

static int64_t record_bytes(const cifar *format) {
  return format->labels + PIXELS;
}

/* Photographs do not pack to a hundredth; what claims to is refused before it fills the memory. */
enum { PACKED_RATIO_MAX = 100, PACKED_FLOOR = 1 << 22 };

/* One file, unpacked. */
typedef struct batch_file {
  char *path;
  uint8_t *bytes;
  int64_t count; /* bytes */
  XXH128_hash_t hash;
} batch_file;

static dt_status grow(uint8_t **bytes, int64_t capacity) {
  uint8_t *larger = realloc(*bytes, (size_t)capacity);
  DT_REQUIRE(larger != NULL, DT_MEMORY, "could not allocate %" PRId64 " bytes", capacity);
  *bytes = larger;
  return DT_OK;
}

/* Reads to the end of the source; memory grows with what has really been read. */
static dt_status read_all(dt_source *source, batch_file *file) {
  const int64_t file_bytes = dt_source_file_bytes(source);
  const int64_t limit = dt_source_packed(source) ? file_bytes * PACKED_RATIO_MAX + PACKED_FLOOR : INT64_MAX / 4;
  int64_t capacity = file_bytes + 1;
  size_t got;
  do {
    DT_TRY(grow(&file->bytes, capacity));
    DT_TRY(dt_source_read(source, file->bytes + file->count, (size_t)(capacity - file->count), &got));
    file->count += (int64_t)got;
    if (file->count < capacity) return DT_OK;
    capacity = 2 * capacity <= limit ? 2 * capacity : limit + 1;
  } while (file->count <= limit);
  DT_RAISE(DT_DATA, "%s: found %" PRId64 " bytes of gzip data that unpack to more than %" PRId64 ", expected photographs",
           file->path, file_bytes, limit);
}

static dt_status check_size(const cifar *format, const batch_file *file) {
  const int64_t record = record_bytes(format), others = record_bytes(format->other);
  DT_REQUIRE(file->count > 0, DT_DATA, "%s: found an empty file, expected %s records of %" PRId64 " bytes", file->path,
             format->name, record);
  DT_REQUIRE(file->count % record == 0 || file->count % others != 0, DT_DATA,
             "%s: found records of %" PRId64 " bytes, as %s has them; expected %s records of %" PRId64 " bytes", file->path,
             others, format->other->name, format->name, record);
  DT_REQUIRE(file->count % record == 0, DT_DATA,
             "%s: found %" PRId64 " bytes (%" PRId64 " records and %" PRId64 " bytes), expected a multiple of %" PRId64
             ", the size of a %s record",
             file->path, file->count, file->count / record, file->count % record, record, format->name);
  return DT_OK;
}

static dt_status check_labels(const cifar *format, const batch_file *file) {
  const int64_t record = record_bytes(format);
  for (int64_t at = 0; at < file->count; at += record) {
    for (int i = 0; i < format->labels; i++) {
      DT_REQUIRE(file->bytes[at + i] < format->classes[i], DT_DATA,
                 "%s: found label %d of record %" PRId64 " at offset %" PRId64 ", expected 0 to %d", file->path,
                 file->bytes[at + i], at / record, at + i, format->classes[i] - 1);
    }
  }
  return DT_OK;
}

static dt_status read_file(const cifar *format, batch_file *file) {
  dt_status status;
  dt_source *source;
  DT_TRY(dt_source_open(file->path, &source));
  DT_TRY_GOTO(done, read_all(source, file));
  DT_TRY_GOTO(done, check_size(format, file));
  DT_TRY_GOTO(done, check_labels(format, file));
  file->hash = XXH3_128bits(file->bytes, (size_t)file->count);
done:
  dt_source_close(&source);
  return status;
}

/* A batch given twice, under whatever names, would count its samples twice. */
static dt_status check_copies(const batch_file *file, int count) {
  for (int i = 1; i < count; i++) {
    for (int j = 0; j < i; j++) {
      DT_REQUIRE(!XXH128_isEqual(file[i].hash, file[j].hash), DT_DATA,
                 "%s: found the same content as in %s, expected every batch once", file[i].path, file[j].path);
    }
  }
  return DT_OK;
}

static dt_status join_paths(const batch_file *file, int count, const char **out) {
  size_t bytes = 1;
  for (int i = 0; i < count; i++) bytes += strlen(file[i].path) + 2;
  char *text;
  DT_TRY(dt_alloc(bytes, 1, &text));
  size_t at = 0;
  for (int i = 0; i < count; i++) at += (size_t)snprintf(text + at, bytes - at, "%s%s", i > 0 ? ", " : "", file[i].path);
  *out = text;
  return DT_OK;
}

static void cifar_declare(const void *attr, dt_fields *out) {
  *out = (dt_fields){
      .field = {{.name = "input", .dtype = DT_U8, .shape = {3, {3, 32, 32}}}, {.name = "label", .dtype = DT_I32}}, .count = 2};
}

/* Takes the records apart and gives each file's memory back as soon as it is copied. Returns new. */
static dt_status gather(const cifar *format, int label, batch_file *file, int count, dt_dataset **out) {
  const int64_t record = record_bytes(format);
  int64_t records = 0, sample = 0;
  dt_fields fields;
  for (int i = 0; i < count; i++) records += file[i].count / record;
  cifar_declare(NULL, &fields);
  DT_TRY(dt_dataset_create(&fields, records, NULL, out));
  uint8_t *pixels = (*out)->data[0].values;
  int32_t *labels = (*out)->data[1].values;
  for (int i = 0; i < count; i++) {
    for (int64_t at = 0; at < file[i].count; at += record, sample++) {
      labels[sample] = file[i].bytes[at + label];
      memcpy(pixels + sample * PIXELS, file[i].bytes + at + format->labels, PIXELS);
    }
    free(file[i].bytes);
    file[i].bytes = NULL;
  }
  return join_paths(file, count, &(*out)->source);
}

static dt_status load_files(const cifar *format, const cifar_attr *attr, const char *dir, batch_file *file, dt_dataset **out) {
  const dt_strings *names = &attr->files;
  for (int i = 0; i < names->count; i++) {
    DT_TRY(dt_source_find(dir, names->value[i], &file[i].path));
    DT_TRY(read_file(format, &file[i]));
  }
  DT_TRY(check_copies(file, names->count));
  const int label = format->labels > 1 && !attr->coarse ? 1 : 0;
  return gather(format, label, file, names->count, out);
}

static dt_status cifar_load(const cifar *format, const cifar_attr *attr, const dt_data_request *request, dt_dataset **out) {
  const dt_strings *names = &attr->files;
  dt_status status;
  batch_file *file = NULL;
  dt_dataset *dataset = NULL;
  DT_TRY_GOTO(done, dt_alloc((size_t)names->count, sizeof *file, &file));
  DT_TRY_GOTO(done, load_files(format, attr, request->dir, file, &dataset));
  *out = dataset;
  dataset = NULL;
done:
  dt_dataset_destroy(&dataset);
  for (int i = 0; file != NULL && i < names->count; i++) {
    free(file[i].path);
    free(file[i].bytes);
  }
  free(file);
  return status;
}

/* A packed file says nothing of what it holds: it is unpacked, and forgotten. Without `whole`, -1. */
static dt_status count_bytes(dt_source *source, bool whole, int64_t *out) {
  enum { PIECE = 1 << 16 };
  uint8_t *piece;
  size_t got = 1;
  *out = dt_source_packed(source) ? 0 : dt_source_file_bytes(source);
  if (!dt_source_packed(source)) return DT_OK;
  if (!whole) {
    *out = -1;
    return DT_OK;
  }
  DT_TRY(dt_alloc(PIECE, 1, &piece));
  dt_status status = DT_OK;
  for (; status == DT_OK && got > 0; *out += (int64_t)got) status = dt_source_read(source, piece, PIECE, &got);
  free(piece);
  return status;
}

static dt_status cifar_inspect(const cifar *format, const cifar_attr *attr, const dt_data_request *request, bool whole,
                               dt_data_info *out) {
  const dt_strings *names = &attr->files;
  dt_status status = DT_OK;
  cifar_declare(attr, &out->fields);
  for (int i = 0; status == DT_OK && out->count >= 0 && i < names->count; i++) {
    char *path = NULL;
    dt_source *source = NULL;
    int64_t bytes = 0;
    status = dt_source_find(request->dir, names->value[i], &path);
    if (status == DT_OK) status = dt_source_open(path, &source);
    if (status == DT_OK) status = count_bytes(source, whole, &bytes);
    out->count = bytes < 0 ? -1 : out->count + bytes / record_bytes(format);
    dt_source_close(&source);
    free(path);
  }
  return status;
}

static dt_status cifar_check(const void *attr) {
  DT_REQUIRE(((const cifar_attr *)attr)->files.count > 0, DT_USAGE, "found an empty list of files, expected one or more");
  return DT_OK;
}

static dt_status cifar10_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  return cifar_inspect(&cifar10, attr, request, whole, out);
}

static dt_status cifar10_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  return cifar_load(&cifar10, attr, request, out);
}

static dt_status cifar100_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  return cifar_inspect(&cifar100, attr, request, whole, out);
}

static dt_status cifar100_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  return cifar_load(&cifar100, attr, request, out);
}

#define FILES_ROW(names)                                     \
  DT_ROW_STRINGS("files", offsetof(cifar_attr, files), NULL, \
                 "Files of records (" names "), in order; plain or gzip, found with or without .gz.", .path = DT_PATH_PLAIN)

static const dt_option options10[] = {FILES_ROW("data_batch_1.bin ..."), {.name = NULL}};
static const dt_option options100[] = {
    FILES_ROW("train.bin"),
    DT_ROW_BOOL("coarse", offsetof(cifar_attr, coarse), "false",
                "Whether label is one of the 20 groups of classes in place of the 100."),
    {.name = NULL},
};

static const dt_format impl10 = {.declare = cifar_declare, .inspect = cifar10_inspect, .load = cifar10_load};
static const dt_format impl100 = {.declare = cifar_declare, .inspect = cifar100_inspect, .load = cifar100_load};

const dt_kind dt_format_cifar10 = {
    .name = "cifar10",
    .doc = "CIFAR-10 in its binary version.",
    .options = options10,
    .attr_bytes = sizeof(cifar_attr),
    .positional = "files",
    .impl = &impl10,
    .check = cifar_check,
};

const dt_kind dt_format_cifar100 = {
    .name = "cifar100",
    .doc = "CIFAR-100 in its binary version.",
    .options = options100,
    .attr_bytes = sizeof(cifar_attr),
    .positional = "files",
    .impl = &impl100,
    .check = cifar_check,
};
