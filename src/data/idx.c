/* IDX: four bytes of magic (0, 0, type code, number of dimensions), the dimensions as 32-bit big-endian integers, then the
 * elements. Images are [N, D], [N, H, W] or [N, C, H, W] of unsigned bytes, labels are [N] of unsigned bytes.
 *
 * Nothing is believed: what a header promises is held against the size of the file before memory is asked for, and a packed
 * file is unpacked one byte beyond the promise at most. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/config/rows.h"
#include "data/data.h"
#include "data/formats.h"
#include "data/source.h"

typedef struct idx_attr {
  const char *images, *labels;
} idx_attr;

enum { IDX_UNSIGNED_BYTES = 0x08, IDX_DIMS_MAX = 4 };

typedef struct idx_header {
  int ndim;
  uint32_t dim[IDX_DIMS_MAX];
  int64_t header_bytes, body_bytes;
} idx_header;

static const char *type_name(uint8_t code) {
  switch (code) {
    case 0x08:
      return "unsigned bytes";
    case 0x09:
      return "signed bytes";
    case 0x0B:
      return "16-bit integers";
    case 0x0C:
      return "32-bit integers";
    case 0x0D:
      return "32-bit floats";
    case 0x0E:
      return "64-bit floats";
    default:
      return "no type of IDX";
  }
}

/* The magic of images names two to four dimensions, that of labels exactly one. */
static dt_status check_magic(const char *path, const uint8_t magic[4], bool images) {
  const char *expected = images ? "00 00 08 02, 03 or 04 (IDX images of unsigned bytes)" : "00 00 08 01 (IDX labels)";
  const int ndim_min = images ? 2 : 1, ndim_max = images ? IDX_DIMS_MAX : 1;
  DT_REQUIRE(!(magic[3] == 0 && magic[2] == 0 && magic[1] != 0), DT_DATA,
             "%s: found magic %02x %02x %02x %02x at offset 0, an IDX header in reversed byte order; expected %s", path,
             magic[0], magic[1], magic[2], magic[3], expected);
  DT_REQUIRE(magic[0] == 0 && magic[1] == 0, DT_DATA, "%s: found magic %02x %02x %02x %02x at offset 0, expected %s", path,
             magic[0], magic[1], magic[2], magic[3], expected);
  DT_REQUIRE(magic[2] == IDX_UNSIGNED_BYTES, DT_DATA,
             "%s: found type code 0x%02x (%s) at offset 2, expected 0x08 (unsigned bytes)", path, magic[2],
             type_name(magic[2]));
  DT_REQUIRE(magic[3] >= ndim_min && magic[3] <= ndim_max, DT_DATA, "%s: found %d dimensions at offset 3, expected %s", path,
             magic[3], images ? "2 to 4 (images)" : "1 (labels)");
  return DT_OK;
}

/* The product of the dimensions, which must be positive and small enough to be a size. */
static dt_status body_bytes(const char *path, const idx_header *header, int64_t *out) {
  int64_t product = 1;
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

static dt_status read_header(dt_source *source, const char *path, bool images, idx_header *out) {
  uint8_t magic[4], dims[4 * IDX_DIMS_MAX];
  size_t count;
  DT_TRY(dt_source_read(source, magic, sizeof magic, &count));
  DT_REQUIRE(count > 0, DT_DATA, "%s: found an empty file, expected an IDX header", path);
  DT_REQUIRE(count == sizeof magic, DT_DATA, "%s: found %zu bytes, expected an IDX header of 8 bytes or more", path, count);
  DT_TRY(check_magic(path, magic, images));
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

static dt_status read_idx(const char *path, bool images, idx_header *out_header, uint8_t **out_body) {
  dt_status status;
  dt_source *source;
  DT_TRY(dt_source_open(path, &source));
  DT_TRY_GOTO(done, read_header(source, path, images, out_header));
  DT_TRY_GOTO(done, check_size(source, path, out_header));
  status = read_body(source, path, out_header, out_body);
done:
  dt_source_close(&source);
  return status;
}

/* [N, D] are vectors, [N, H, W] images of one channel. */
static dt_shape sample_shape(const idx_header *header) {
  if (header->ndim == 2) return (dt_shape){1, {header->dim[1]}};
  if (header->ndim == 3) return (dt_shape){3, {1, header->dim[1], header->dim[2]}};
  return (dt_shape){3, {header->dim[1], header->dim[2], header->dim[3]}};
}

static const dt_field label_field = {.name = "label", .dtype = DT_I32};

static bool has_labels(const idx_attr *idx) {
  return idx->labels != NULL && idx->labels[0] != '\0';
}

static void idx_declare(const void *attr, dt_fields *out) {
  *out = (dt_fields){.field = {{.name = "input", .dtype = DT_U8, .shape.ndim = DT_NDIM_UNKNOWN}}, .count = 1};
  if (has_labels(attr)) out->field[out->count++] = label_field;
}

static dt_status load_images(const char *path, dt_dataset *dataset) {
  idx_header header;
  uint8_t *body;
  DT_TRY(read_idx(path, true, &header, &body));
  dataset->count = header.dim[0];
  dataset->fields.field[0].shape = sample_shape(&header);
  dataset->data[0].values = body;
  return DT_OK;
}

static dt_status load_labels(const char *path, const char *images_path, dt_dataset *dataset) {
  dt_status status;
  idx_header header;
  uint8_t *body;
  int32_t *labels;
  DT_TRY(read_idx(path, false, &header, &body));
  if (header.dim[0] != dataset->count) {
    DT_RAISE_GOTO(done, DT_DATA, "%s: found %" PRIu32 " labels, expected %" PRId64 ", one for each image of %s", path,
                  header.dim[0], dataset->count, images_path);
  }
  DT_TRY_GOTO(done, dt_alloc((size_t)dataset->count, sizeof *labels, &labels));
  dataset->data[1].values = labels;
  for (int64_t i = 0; i < dataset->count; i++) labels[i] = body[i];
done:
  free(body);
  return status;
}

static dt_status load_files(const char *images, const char *labels, dt_dataset *dataset) {
  DT_TRY(load_images(images, dataset));
  if (labels != NULL) DT_TRY(load_labels(labels, images, dataset));
  char *source;
  const size_t bytes = snprintf(NULL, 0, "%s%s%s", images, labels != NULL ? ", " : "", labels != NULL ? labels : "") + 1u;
  DT_TRY(dt_alloc(bytes, 1, &source));
  snprintf(source, bytes, "%s%s%s", images, labels != NULL ? ", " : "", labels != NULL ? labels : "");
  dataset->source = source;
  return DT_OK;
}

static dt_status idx_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  const idx_attr *idx = attr;
  dt_status status;
  char *images = NULL, *labels = NULL;
  dt_dataset *dataset = NULL;
  DT_TRY_GOTO(done, dt_source_find(request->dir, idx->images, &images));
  if (has_labels(idx)) DT_TRY_GOTO(done, dt_source_find(request->dir, idx->labels, &labels));
  DT_TRY_GOTO(done, dt_alloc(1, sizeof *dataset, &dataset));
  idx_declare(attr, &dataset->fields);
  DT_TRY_GOTO(done, load_files(images, labels, dataset));
  *out = dataset;
  dataset = NULL;
done:
  dt_dataset_destroy(&dataset);
  free(labels);
  free(images);
  return status;
}

static dt_status idx_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  dt_status status;
  char *images = NULL;
  dt_source *source = NULL;
  idx_header header;
  idx_declare(attr, &out->fields);
  DT_TRY(dt_source_find(request->dir, ((const idx_attr *)attr)->images, &images));
  DT_TRY_GOTO(done, dt_source_open(images, &source));
  DT_TRY_GOTO(done, read_header(source, images, true, &header));
  out->count = header.dim[0];
  out->fields.field[0].shape = sample_shape(&header);
done:
  dt_source_close(&source);
  free(images);
  return status;
}

static const dt_option options[] = {
    DT_ROW_STRING(
        "images", offsetof(idx_attr, images), NULL,
        "File of the images, [N, H, W], [N, C, H, W] or [N, D] unsigned bytes; plain or gzip, found with or without .gz.",
        .path = DT_PATH_PLAIN),
    DT_ROW_STRING(
        "labels", offsetof(idx_attr, labels), "",
        "File of the labels, [N] unsigned bytes; plain or gzip, found with or without .gz. May be absent for prediction.",
        .path = DT_PATH_PLAIN),
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
