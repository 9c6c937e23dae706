/* NumPy's format of one array (numpy.lib.format): a magic, a version, a Python literal that tells type, order and shape, then
 * the elements. Arrays of objects would be unpickled, which can run code: they are refused. */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "data/arrays.h"
#include "data/source.h"

enum { MAGIC_BYTES = 6, VERSION_BYTES = 2 };
static const uint8_t magic[MAGIC_BYTES] = {0x93, 'N', 'U', 'M', 'P', 'Y'};

/* --- the literal --- */

typedef struct literal {
  const char *path, *at, *end;
} literal;

static void pass_blanks(literal *l) {
  while (l->at < l->end && (*l->at == ' ' || *l->at == '\n')) l->at++;
}

static bool take(literal *l, char c) {
  pass_blanks(l);
  if (l->at == l->end || *l->at != c) return false;
  l->at++;
  return true;
}

static bool take_word(literal *l, const char *word) {
  const size_t bytes = strlen(word);
  pass_blanks(l);
  if ((size_t)(l->end - l->at) < bytes || memcmp(l->at, word, bytes) != 0) return false;
  l->at += bytes;
  return true;
}

/* A text in single or double quotes, without escapes, of at most `bytes` - 1 bytes. */
static bool take_text(literal *l, char *out, size_t bytes) {
  pass_blanks(l);
  const char quote = l->at < l->end ? *l->at : '\0';
  if (quote != '\'' && quote != '"') return false;
  const char *from = l->at + 1, *close = memchr(from, quote, (size_t)(l->end - from));
  if (close == NULL || (size_t)(close - from) >= bytes) return false;
  for (const char *c = from; c < close; c++) {
    if (*c == '\\' || dt_text_is_control(*c)) return false;
  }
  memcpy(out, from, (size_t)(close - from));
  out[close - from] = '\0';
  l->at = close + 1;
  return true;
}

static bool take_shape(literal *l, dt_array_head *out) {
  out->ndim = 0;
  if (!take(l, '(')) return false;
  while (!take(l, ')')) {
    int64_t value = 0;
    pass_blanks(l);
    if (l->at == l->end || !isdigit((unsigned char)*l->at) || out->ndim == DT_ARRAY_DIMS) return false;
    for (; l->at < l->end && isdigit((unsigned char)*l->at); l->at++)
      value = dt_count_add(dt_count_multiply(value, 10), *l->at - '0');
    out->dim[out->ndim++] = value;
    if (!take(l, ',') && (l->at == l->end || *l->at != ')')) return false;
  }
  return true;
}

/* "<f4": order, kind, bytes. */
static dt_status parse_type(const char *path, const char *text, dt_array_head *out) {
  const char kind = text[0] != '\0' ? text[1] : '\0';
  out->big_endian = text[0] == '>';
  out->bytes = kind != '\0' && text[2] != '\0' && text[3] == '\0' ? text[2] - '0' : 0;
  out->type = kind == 'f' ? DT_REAL : kind == 'i' ? DT_WHOLE : kind == 'u' ? DT_NATURAL : DT_TRUTH;
  const bool sized = out->bytes == 1 || out->bytes == 2 || out->bytes == 4 || out->bytes == 8;
  const bool known =
      strchr("<>|=", text[0]) != NULL &&
      ((kind == 'f' && sized && out->bytes > 1) || (kind == 'b' && out->bytes == 1) || ((kind == 'i' || kind == 'u') && sized));
  DT_REQUIRE(known, DT_DATA, "%s: found elements of type \"%s\"%s, expected numbers: <f4, <f8, |u1, <i8 and the like", path,
             text, kind == 'O' || strcmp(text, "O") == 0 ? " (Python objects, which only Python can load)" : "");
  return DT_OK;
}

static dt_status parse_literal(literal *l, dt_array_head *out) {
  char key[24], type[16] = "";
  bool shape = false, order = false, well = take(l, '{');
  while (well && !take(l, '}')) {
    well = take_text(l, key, sizeof key) && take(l, ':');
    if (well && strcmp(key, "descr") == 0) {
      pass_blanks(l);
      DT_REQUIRE(l->at == l->end || *l->at != '[', DT_DATA, "%s: found records of several types, expected an array of numbers",
                 l->path);
      well = take_text(l, type, sizeof type);
    } else if (well && strcmp(key, "fortran_order") == 0) {
      out->column_major = take_word(l, "True");
      well = order = out->column_major || take_word(l, "False");
    } else if (well && strcmp(key, "shape") == 0) {
      well = shape = take_shape(l, out);
    } else {
      well = false;
    }
    if (well && !take(l, ',')) {
      pass_blanks(l);
      well = l->at < l->end && *l->at == '}';
    }
  }
  DT_REQUIRE(
      well && shape && order && type[0] != '\0', DT_DATA,
      "%s: found a header of NumPy that cannot be read, expected descr, fortran_order and a shape of at most %d dimensions",
      l->path, DT_ARRAY_DIMS);
  return parse_type(l->path, type, out);
}

dt_status dt_npy_parse(const char *path, const uint8_t *first, size_t bytes, dt_array_head *out, size_t *out_bytes) {
  *out = (dt_array_head){.ndim = 0};
  DT_REQUIRE(bytes > 0, DT_DATA, "%s: found an empty file, expected an array of NumPy", path);
  const bool wide = bytes > MAGIC_BYTES && first[MAGIC_BYTES] >= 2;
  const size_t begin = MAGIC_BYTES + VERSION_BYTES + (wide ? 4 : 2);
  DT_REQUIRE(bytes >= begin && memcmp(first, magic, MAGIC_BYTES) == 0, DT_DATA,
             "%s: found no header of NumPy at offset 0, expected \\x93NUMPY", path);
  const uint8_t *size = first + MAGIC_BYTES + VERSION_BYTES;
  DT_REQUIRE(first[MAGIC_BYTES] >= 1 && first[MAGIC_BYTES] <= 3, DT_DATA,
             "%s: found version %d of NumPy's format, expected 1 to 3", path, first[MAGIC_BYTES]);
  const uint32_t length = wide ? (uint32_t)size[3] << 24 | (uint32_t)size[2] << 16 | (uint32_t)size[1] << 8 | size[0]
                               : (uint32_t)size[1] << 8 | size[0];
  DT_REQUIRE(length <= bytes - begin, DT_DATA,
             "%s: found a header of %" PRIu32 " bytes, expected one of at most %zu, within the file", path, length,
             bytes - begin);
  literal l = {path, (const char *)first + begin, (const char *)first + begin + length};
  *out_bytes = begin + length;
  return parse_literal(&l, out);
}

/* --- the file --- */

static dt_status read_elements(dt_source *source, const char *path, const dt_array_head *head, const uint8_t *first,
                               size_t there, uint8_t **out) {
  const int64_t bytes = dt_array_bytes(head);
  const int64_t limit = dt_source_packed(source) ? dt_count_multiply(dt_source_file_bytes(source), DT_SOURCE_RATIO_MAX)
                                                 : dt_source_file_bytes(source);
  size_t got;
  uint8_t beyond;
  DT_REQUIRE(bytes <= limit, DT_DATA,
             "%s: found %" PRId64 " bytes in all, expected %" PRId64 " of elements, as the header says", path,
             dt_source_file_bytes(source), bytes);
  DT_REQUIRE((int64_t)there <= bytes, DT_DATA, "%s: found bytes behind the elements, expected %" PRId64 " as the header says",
             path, bytes);
  DT_TRY(dt_alloc((size_t)bytes > 0 ? (size_t)bytes : 1, 1, out));
  memcpy(*out, first, there);
  DT_TRY(dt_source_read(source, *out + there, (size_t)bytes - there, &got));
  DT_REQUIRE((int64_t)(there + got) == bytes, DT_DATA,
             "%s: found %zu bytes of elements, expected %" PRId64 ", as the header says", path, there + got, bytes);
  DT_TRY(dt_source_read(source, &beyond, 1, &got));
  DT_REQUIRE(got == 0, DT_DATA, "%s: found bytes behind the elements, expected %" PRId64 " as the header says", path, bytes);
  return DT_OK;
}

static dt_status read_file(dt_source *source, const char *path, uint8_t *first, dt_array_head *out, uint8_t **out_elements) {
  size_t got, head_bytes;
  DT_TRY(dt_source_read(source, first, DT_NPY_HEAD_MAX, &got));
  DT_TRY(dt_npy_parse(path, first, got, out, &head_bytes));
  if (out_elements == NULL) return DT_OK;
  const dt_status status = read_elements(source, path, out, first + head_bytes, got - head_bytes, out_elements);
  if (status != DT_OK) {
    free(*out_elements);
    *out_elements = NULL;
  }
  return status;
}

static dt_status npy_read(const char *path, const char *member, dt_array_head *out, uint8_t **out_elements) {
  dt_source *source;
  uint8_t *first;
  if (out_elements != NULL) *out_elements = NULL;
  DT_TRY(dt_source_open(path, &source));
  dt_status status = dt_alloc(DT_NPY_HEAD_MAX, 1, &first);
  if (status == DT_OK) {
    status = read_file(source, path, first, out, out_elements);
    free(first);
  }
  dt_source_close(&source);
  return status;
}

static const dt_array_file files = {.read = npy_read};

static dt_status npy_inspect(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out) {
  return dt_arrays_inspect(&files, attr, request, out);
}

static dt_status npy_load(const void *attr, const dt_data_request *request, dt_dataset **out) {
  return dt_arrays_load(&files, attr, request, out);
}

static const dt_format impl = {.declare = dt_arrays_declare, .inspect = npy_inspect, .load = npy_load};

const dt_kind dt_format_npy = {
    .name = "npy",
    .doc = "Arrays of NumPy, one a file, plain or gzip.",
    .options = dt_array_file_options,
    .attr_bytes = sizeof(dt_array_attr),
    .impl = &impl,
};
