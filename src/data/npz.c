/* NumPy's format of several arrays: a zip file of .npy members, stored or deflated. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zip.h>

#include "core/text.h"
#include "data/arrays.h"
#include "data/source.h"

static const char suffix[] = ".npy";

static dt_status open_zip(const char *path, zip_t **out) {
  int code;
  *out = zip_open(path, ZIP_RDONLY, &code);
  if (*out != NULL) return DT_OK;
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  char text[160];
  snprintf(text, sizeof text, "%s", zip_error_strerror(&error));
  zip_error_fini(&error);
  DT_RAISE(code == ZIP_ER_READ ? DT_IO : DT_DATA, "%s: found no zip file of arrays (%s), expected what numpy.savez writes",
           path, text);
}

/* The member of that name, with or without .npy; -1: there is none. */
static int64_t find_member(zip_t *zip, const char *name) {
  char with[512];
  snprintf(with, sizeof with, "%s%s", name, suffix);
  const int64_t found = zip_name_locate(zip, with, 0);
  return found >= 0 ? found : zip_name_locate(zip, name, 0);
}

static dt_status read_bytes(zip_file_t *member, const char *place, uint8_t *to, int64_t bytes, int64_t *out) {
  for (*out = 0; *out < bytes;) {
    const int64_t got = zip_fread(member, to + *out, (uint64_t)(bytes - *out));
    DT_REQUIRE(got >= 0, DT_DATA, "%s: found packed data that cannot be read (%s), expected an array", place,
               zip_error_strerror(zip_file_get_error(member)));
    if (got == 0) break;
    *out += got;
  }
  return DT_OK;
}

/* Reading to the end makes the library compare the checksum. */
static dt_status read_elements(zip_file_t *member, const char *place, const zip_stat_t *about, int64_t head_bytes,
                               const uint8_t *first, int64_t there, int64_t bytes, uint8_t **out) {
  int64_t got, more;
  uint8_t beyond;
  const int64_t found = (int64_t)about->size - head_bytes;
  DT_REQUIRE(found == bytes, DT_DATA, "%s: found %" PRId64 " bytes of elements, expected %" PRId64 ", as the header says",
             place, found, bytes);
  DT_REQUIRE(bytes / DT_SOURCE_RATIO_MAX <= (int64_t)about->comp_size, DT_DATA,
             "%s: found %" PRIu64 " packed bytes, which cannot hold the %" PRId64 " that the header says", place,
             about->comp_size, bytes);
  DT_TRY(dt_alloc((size_t)bytes > 0 ? (size_t)bytes : 1, 1, out));
  memcpy(*out, first, (size_t)there);
  DT_TRY(read_bytes(member, place, *out + there, bytes - there, &got));
  DT_REQUIRE(there + got == bytes, DT_DATA, "%s: found %" PRId64 " bytes of elements, expected %" PRId64 ", as the header says",
             place, there + got, bytes);
  DT_TRY(read_bytes(member, place, &beyond, 1, &more));
  DT_REQUIRE(more == 0, DT_DATA, "%s: found bytes behind the elements, expected %" PRId64 " as the header says", place, bytes);
  return DT_OK;
}

static dt_status read_member(zip_file_t *member, const char *place, const zip_stat_t *about, uint8_t *first, dt_array_head *out,
                             uint8_t **out_elements) {
  int64_t got;
  size_t head_bytes;
  DT_TRY(read_bytes(member, place, first, DT_NPY_HEAD_MAX, &got));
  DT_TRY(dt_npy_parse(place, first, (size_t)got, out, &head_bytes));
  const int64_t bytes = dt_array_bytes(out), there = got - (int64_t)head_bytes;
  if (out_elements == NULL) return DT_OK;
  DT_REQUIRE(there <= bytes, DT_DATA, "%s: found bytes behind the elements, expected %" PRId64 " as the header says", place,
             bytes);
  const dt_status status =
      read_elements(member, place, about, (int64_t)head_bytes, first + head_bytes, there, bytes, out_elements);
  if (status != DT_OK) {
    free(*out_elements);
    *out_elements = NULL;
  }
  return status;
}

/* Each name with its end. Returns new. */
static dt_status list_members(zip_t *zip, const char *path, char **out_names, int *out_count) {
  size_t bytes;
  FILE *memory = open_memstream(out_names, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "could not allocate the names of arrays");
  const int64_t entries = zip_get_num_entries(zip, 0);
  *out_count = 0;
  for (int64_t i = 0; i < entries && *out_count <= DT_FIELDS_MAX; i++) {
    const char *name = zip_get_name(zip, (uint64_t)i, 0);
    if (name == NULL) continue;
    for (const char *c = name; *c != '\0'; c++) {
      if (!dt_text_is_control(*c)) continue;
      fclose(memory);
      DT_RAISE(DT_DATA, "%s: found a control character in the name of array %" PRId64 ", expected a name of text", path, i);
    }
    const size_t length = strlen(name), cut = sizeof suffix - 1;
    const bool ends = length > cut && strcmp(name + length - cut, suffix) == 0;
    fprintf(memory, "%.*s%c", (int)(ends ? length - cut : length), name, '\0');
    *out_count += 1;
  }
  DT_REQUIRE(fclose(memory) == 0, DT_MEMORY, "could not allocate the names of arrays");
  DT_REQUIRE(*out_count > 0, DT_DATA, "%s: found no arrays, expected one or more", path);
  return DT_OK;
}

static dt_status refuse_name(zip_t *zip, const char *path, const char *name) {
  char *names = NULL, text[320] = "";
  int count = 0;
  const dt_status status = list_members(zip, path, &names, &count);
  if (status != DT_OK) {
    free(names);
    return status;
  }
  const char *each = names;
  for (int i = 0; i < count; i++, each += strlen(each) + 1) {
    const size_t used = strlen(text);
    snprintf(text + used, sizeof text - used, "%s%.60s", i > 0 ? ", " : "", each);
  }
  free(names);
  DT_RAISE(DT_DATA, "%s: found no array %s, expected one of %s", path, name, text);
}

static dt_status read_from(zip_t *zip, const char *path, const char *name, dt_array_head *out, uint8_t **out_elements) {
  char place[512];
  uint8_t *first;
  zip_stat_t about;
  const int64_t index = find_member(zip, name);
  snprintf(place, sizeof place, "%s, array %s", path, name);
  if (index < 0) return refuse_name(zip, path, name);
  DT_REQUIRE(zip_stat_index(zip, (uint64_t)index, 0, &about) == 0 && (about.valid & ZIP_STAT_SIZE) &&
                 (about.valid & ZIP_STAT_COMP_SIZE),
             DT_DATA, "%s: found a member without a size, expected an array", place);
  zip_file_t *member = zip_fopen_index(zip, (uint64_t)index, 0);
  DT_REQUIRE(member != NULL, DT_DATA, "%s: found a member that cannot be opened (%s), expected an array", place,
             zip_strerror(zip));
  dt_status status = dt_alloc(DT_NPY_HEAD_MAX, 1, &first);
  if (status == DT_OK) {
    status = read_member(member, place, &about, first, out, out_elements);
    free(first);
  }
  zip_fclose(member);
  return status;
}

static dt_status npz_read(const char *path, const char *member, dt_array_head *out, uint8_t **out_elements) {
  zip_t *zip;
  if (out_elements != NULL) *out_elements = NULL;
  DT_TRY(open_zip(path, &zip));
  const dt_status status = read_from(zip, path, member, out, out_elements);
  zip_discard(zip);
  return status;
}

static dt_status npz_list(const char *path, char **out_names, int *out_count) {
  zip_t *zip;
  DT_TRY(open_zip(path, &zip));
  const dt_status status = list_members(zip, path, out_names, out_count);
  zip_discard(zip);
  return status;
}

static const dt_array_file files = {.read = npz_read, .list = npz_list};

static dt_status npz_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  return dt_arrays_inspect(&files, attr, request, out);
}

static dt_status npz_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  return dt_arrays_load(&files, attr, request, out);
}

static const dt_format impl = {.declare = dt_arrays_declare, .inspect = npz_inspect, .load = npz_load};

const dt_kind dt_format_npz = {
    .name = "npz",
    .doc = "Arrays of NumPy in one file, as numpy.savez and numpy.savez_compressed write it.",
    .options = dt_array_options,
    .attr_bytes = sizeof(dt_array_attr),
    .positional = "file",
    .impl = &impl,
};
