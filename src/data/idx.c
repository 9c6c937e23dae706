/* IDX: four bytes of magic (0, 0, type code, number of dimensions), the dimensions as 32-bit big-endian integers, then the
 * elements. Images are [N, D], [N, H, W] or [N, C, H, W], labels are [N] whole numbers, targets [N] or [N, D]. Unsigned bytes
 * stay bytes, other images become floats.
 *
 * Nothing is believed: what a header promises is held against the size of the file before memory is asked for, and a packed
 * file is unpacked one byte beyond the promise at most. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config/rows.h"
#include "data/arrays.h"
#include "data/source.h"

typedef struct idx_attr {
  const char *images, *labels, *targets;
} idx_attr;

enum { IDX_UNSIGNED_BYTES = 0x08, IDX_DIMS_MAX = 4 };

/* What a file is for. */
typedef enum idx_use { IDX_IMAGES, IDX_LABELS, IDX_TARGETS } idx_use;

static const struct idx_use_row {
  const char *field, *what;
  int ndim_min, ndim_max;
  bool whole; /* numbers alone that are whole */
} uses[] = {
    [IDX_IMAGES] = {"input", "images", 2, IDX_DIMS_MAX, false},
    [IDX_LABELS] = {"label", "labels", 1, 1, true},
    [IDX_TARGETS] = {"target", "targets", 1, 2, false},
};

static const struct idx_type {
  uint8_t code;
  const char *name;
  dt_element_type type;
  int bytes;
} types[] = {
    {0x08, "unsigned bytes", DT_NATURAL, 1}, {0x09, "signed bytes", DT_WHOLE, 1}, {0x0B, "16-bit integers", DT_WHOLE, 2},
    {0x0C, "32-bit integers", DT_WHOLE, 4},  {0x0D, "32-bit floats", DT_REAL, 4}, {0x0E, "64-bit floats", DT_REAL, 8},
};

typedef struct idx_header {
  const struct idx_type *type;
  int ndim;
  uint32_t dim[IDX_DIMS_MAX];
  int64_t header_bytes, body_bytes;
} idx_header;

static const struct idx_type *find_type(uint8_t code) {
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
    if (types[i].code == code) return &types[i];
  }
  return NULL;
}

/* "2 to 4 dimensions (images)". */
static const char *dimensions_text(const struct idx_use_row *use, char *text, size_t bytes) {
  if (use->ndim_min == use->ndim_max) {
    snprintf(text, bytes, "%d (%s)", use->ndim_min, use->what);
  } else {
    snprintf(text, bytes, "%d to %d (%s)", use->ndim_min, use->ndim_max, use->what);
  }
  return text;
}

static dt_status check_magic(const char *path, const uint8_t magic[4], idx_use use_of) {
  const struct idx_use_row *use = &uses[use_of];
  char expected[48];
  dimensions_text(use, expected, sizeof expected);
  DT_REQUIRE(
      !(magic[3] == 0 && magic[2] == 0 && magic[1] != 0), DT_DATA,
      "%s: found magic %02x %02x %02x %02x at offset 0, an IDX header in reversed byte order; expected 00 00, a type and %s",
      path, magic[0], magic[1], magic[2], magic[3], expected);
  DT_REQUIRE(
      magic[0] == 0 && magic[1] == 0, DT_DATA,
      "%s: found magic %02x %02x %02x %02x at offset 0, expected 00 00 08 %02x (IDX %s of unsigned bytes) or another type",
      path, magic[0], magic[1], magic[2], magic[3], use->ndim_min, use->what);
  const struct idx_type *type = find_type(magic[2]);
  DT_REQUIRE(type != NULL && !(use->whole && type->type == DT_REAL), DT_DATA,
             "%s: found type code 0x%02x (%s) at offset 2, expected 0x08 (unsigned bytes) or another of %s", path, magic[2],
             type != NULL ? type->name : "no type of IDX", use->whole ? "whole numbers" : "IDX");
  DT_REQUIRE(magic[3] >= use->ndim_min && magic[3] <= use->ndim_max, DT_DATA,
             "%s: found %d dimensions at offset 3, expected %s", path, magic[3], expected);
  return DT_OK;
}

/* The product of the dimensions, which must be positive and small enough to be a size. */
static dt_status body_bytes(const char *path, const idx_header *header, int64_t *out) {
  int64_t product = header->type->bytes;
  for (int i = 0; i < header->ndim; i++) {
    DT_REQUIRE(header->dim[i] > 0, DT_DATA, "%s: found dimension %d of size 0 at offset %d, expected 1 or more", path, i,
               4 + 4 * i);
    DT_REQUIRE(!__builtin_mul_overflow(product, (int64_t)header->dim[i], &product) && product <= INT64_MAX / 16, DT_DATA,
               "%s: found dimensions whose product overflows (dimension %d is %" PRIu32
               " at offset %d), expected the data of a file",
               path, i, header->dim[i], 4 + 4 * i);
  }
  *out = product;
  return DT_OK;
}

static dt_status read_header(dt_source *source, const char *path, idx_use use, idx_header *out) {
  uint8_t magic[4], dims[4 * IDX_DIMS_MAX];
  size_t count;
  DT_TRY(dt_source_read(source, magic, sizeof magic, &count));
  DT_REQUIRE(count > 0, DT_DATA, "%s: found an empty file, expected an IDX header", path);
  DT_REQUIRE(count == sizeof magic, DT_DATA, "%s: found %zu bytes, expected an IDX header of 8 bytes or more", path, count);
  DT_TRY(check_magic(path, magic, use));
  out->type = find_type(magic[2]);
  out->ndim = magic[3];
  out->header_bytes = 4 + 4 * out->ndim;
  DT_TRY(dt_source_read(source, dims, 4 * (size_t)out->ndim, &count));
  DT_REQUIRE(count == 4 * (size_t)out->ndim, DT_DATA, "%s: found %zu bytes, expected an IDX header of %" PRId64 " bytes", path,
             4 + count, out->header_bytes);
  for (int i = 0; i < out->ndim; i++) {
    const uint8_t *b = dims + 4 * i;
    out->dim[i] = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
  }
  return body_bytes(path, out, &out->body_bytes);
}

static dt_status wrong_size(const char *path, const idx_header *header, int64_t found, const char *more) {
  const int64_t item_bytes = header->body_bytes / header->dim[0];
  DT_RAISE(DT_DATA,
           "%s: found %s%" PRId64 " bytes after the header (%" PRId64 " items of %" PRId64 " bytes and %" PRId64
           " bytes), expected %" PRIu32 " items, %" PRId64 " bytes, as the header says",
           path, more, found, found / item_bytes, item_bytes, found % item_bytes, header->dim[0], header->body_bytes);
}

/* Before anything is allocated: a plain file has exactly the size that the header says, a packed one can hold it. */
static dt_status check_size(const dt_source *source, const char *path, const idx_header *header) {
  const int64_t file_bytes = dt_source_file_bytes(source);
  if (!dt_source_packed(source)) {
    if (file_bytes - header->header_bytes == header->body_bytes) return DT_OK;
    return wrong_size(path, header, file_bytes - header->header_bytes, "");
  }
  DT_REQUIRE(header->body_bytes / DT_SOURCE_RATIO_MAX <= file_bytes, DT_DATA,
             "%s: found %" PRId64 " bytes of gzip data, which cannot hold the %" PRId64 " bytes that the header says", path,
             file_bytes, header->body_bytes);
  return DT_OK;
}

/* Reads the elements into new memory, and makes sure that nothing follows them. */
static dt_status read_body(dt_source *source, const char *path, const idx_header *header, uint8_t **out) {
  dt_status status;
  uint8_t *body, beyond;
  size_t count;
  DT_TRY(dt_alloc((size_t)header->body_bytes, 1, &body));
  DT_TRY_GOTO(failed, dt_source_read(source, body, (size_t)header->body_bytes, &count));
  if ((int64_t)count != header->body_bytes) {
    status = wrong_size(path, header, (int64_t)count, "");
    goto failed;
  }
  DT_TRY_GOTO(failed, dt_source_read(source, &beyond, 1, &count));
  if (count > 0) {
    status = wrong_size(path, header, header->body_bytes + 1, "at least ");
    goto failed;
  }
  *out = body;
  return DT_OK;
failed:
  free(body);
  return status;
}

static dt_status read_idx(const char *path, idx_use use, idx_header *out_header, uint8_t **out_body) {
  dt_status status;
  dt_source *source;
  DT_TRY(dt_source_open(path, &source));
  DT_TRY_GOTO(done, read_header(source, path, use, out_header));
  DT_TRY_GOTO(done, check_size(source, path, out_header));
  status = read_body(source, path, out_header, out_body);
done:
  dt_source_close(&source);
  return status;
}

/* [N, D] are vectors, [N, H, W] images of one channel; labels are numbers, targets vectors. */
static dt_shape sample_shape(idx_use use, const idx_header *header) {
  if (use == IDX_LABELS) return (dt_shape){.ndim = 0};
  if (header->ndim == 1) return (dt_shape){1, {1}};
  if (header->ndim == 2) return (dt_shape){1, {header->dim[1]}};
  if (header->ndim == 3) return (dt_shape){3, {1, header->dim[1], header->dim[2]}};
  return (dt_shape){3, {header->dim[1], header->dim[2], header->dim[3]}};
}

static dt_field field_of(idx_use use, const idx_header *header) {
  dt_field field = {.dtype = DT_F32, .shape = sample_shape(use, header)};
  snprintf(field.name, sizeof field.name, "%s", uses[use].field);
  if (use == IDX_LABELS) field.dtype = DT_I32;
  if (use == IDX_IMAGES && header->type->code == IDX_UNSIGNED_BYTES) field.dtype = DT_U8;
  return field;
}

/* The file of each use; NULL where there is none. */
static const char *file_of(const idx_attr *idx, idx_use use) {
  const char *file = use == IDX_IMAGES ? idx->images : use == IDX_LABELS ? idx->labels : idx->targets;
  return file != NULL && file[0] != '\0' ? file : NULL;
}

static void idx_declare(const void *attr, dt_fields *out) {
  static const dt_field fields[] = {
      [IDX_IMAGES] = {.name = "input", .dtype = DT_U8, .shape.ndim = DT_NDIM_UNKNOWN},
      [IDX_LABELS] = {.name = "label", .dtype = DT_I32},
      [IDX_TARGETS] = {.name = "target", .dtype = DT_F32, .shape.ndim = DT_NDIM_UNKNOWN},
  };
  out->count = 0;
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS; use++) {
    if (file_of(attr, use) != NULL) out->field[out->count++] = fields[use];
  }
}

/* Adds the field that the file holds. */
static dt_status load_file(const char *path, idx_use use, const char *images, dt_dataset *dataset) {
  idx_header header;
  uint8_t *body = NULL;
  DT_TRY(read_idx(path, use, &header, &body));
  if (use != IDX_IMAGES && header.dim[0] != dataset->count) {
    free(body);
    DT_RAISE(DT_DATA, "%s: found %" PRIu32 " %s, expected %" PRId64 ", one for each image of %s", path, header.dim[0],
             uses[use].what, dataset->count, images);
  }
  const int f = dataset->fields.count;
  dt_array_head head = {.type = header.type->type, .bytes = header.type->bytes, .big_endian = true, .ndim = header.ndim};
  for (int i = 0; i < header.ndim; i++) head.dim[i] = header.dim[i];
  dataset->count = header.dim[0];
  dataset->fields.field[f] = field_of(use, &header);
  DT_TRY(dt_array_convert(path, &head, &dataset->fields.field[f], false, body, &dataset->data[f].values));
  dataset->fields.count++;
  return DT_OK;
}

static dt_status load_files(const idx_attr *idx, char *const path[], dt_dataset *dataset) {
  char *source = NULL;
  size_t bytes;
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS; use++) {
    if (path[use] != NULL) DT_TRY(load_file(path[use], use, path[IDX_IMAGES], dataset));
  }
  FILE *memory = open_memstream(&source, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate the name of a data set");
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS; use++) {
    if (path[use] != NULL) fprintf(memory, "%s%s", use > IDX_IMAGES ? ", " : "", path[use]);
  }
  fclose(memory);
  dataset->source = source;
  return DT_OK;
}

static dt_status idx_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  dt_status status = DT_OK;
  char *path[IDX_TARGETS + 1] = {NULL};
  dt_dataset *dataset = NULL;
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS && status == DT_OK; use++) {
    if (file_of(attr, use) != NULL) status = dt_source_find(request->dir, file_of(attr, use), &path[use]);
  }
  if (status == DT_OK) status = dt_alloc(1, sizeof *dataset, &dataset);
  if (status == DT_OK) status = load_files(attr, path, dataset);
  if (status != DT_OK) dt_dataset_destroy(&dataset);
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS; use++) free(path[use]);
  *out = dataset;
  return status;
}

/* The header of one file. */
static dt_status inspect_file(const char *dir, const char *name, idx_use use, idx_header *out) {
  dt_status status;
  char *path = NULL;
  dt_source *source = NULL;
  DT_TRY(dt_source_find(dir, name, &path));
  DT_TRY_GOTO(done, dt_source_open(path, &source));
  DT_TRY_GOTO(done, read_header(source, path, use, out));
done:
  dt_source_close(&source);
  free(path);
  return status;
}

static dt_status idx_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  idx_header header;
  out->fields.count = 0;
  for (idx_use use = IDX_IMAGES; use <= IDX_TARGETS; use++) {
    if (file_of(attr, use) == NULL) continue;
    DT_TRY(inspect_file(request->dir, file_of(attr, use), use, &header));
    out->fields.field[out->fields.count++] = field_of(use, &header);
    if (use == IDX_IMAGES) out->count = header.dim[0];
  }
  return DT_OK;
}

static const dt_option options[] = {
    DT_ROW_STRING("images", offsetof(idx_attr, images), NULL,
                  "File of the images, [N, H, W], [N, C, H, W] or [N, D], unsigned bytes or, as floats, any other type; plain "
                  "or gzip, found with or "
                  "without .gz.",
                  .path = DT_PATH_PLAIN),
    DT_ROW_STRING("labels", offsetof(idx_attr, labels), "",
                  "File of the labels, [N] whole numbers; likewise. May be absent for prediction.", .path = DT_PATH_PLAIN),
    DT_ROW_STRING("targets", offsetof(idx_attr, targets), "",
                  "File of numbers to predict, [N] or [N, D] of any type; likewise.", .path = DT_PATH_PLAIN),
    {.name = NULL},
};

static const dt_format impl = {.declare = idx_declare, .inspect = idx_inspect, .load = idx_load};

const dt_kind dt_format_idx = {
    .name = "idx",
    .doc = "IDX files as MNIST and Fashion-MNIST come in.",
    .options = options,
    .attr_bytes = sizeof(idx_attr),
    .positional = "images",
    .impl = &impl,
};
