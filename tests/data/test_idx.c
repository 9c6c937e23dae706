/* IDX files made on the fly: good ones in every form, and one of each way to be bad. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/columns.h"
#include "support/digits.h"
#include "support/files.h"
#include "support/unit.h"

enum { COUNT = 5, HEIGHT = 3, WIDTH = 4, IMAGES_BYTES = 16 + COUNT * HEIGHT * WIDTH, LABELS_BYTES = 8 + COUNT, ROOM = 4096 };

static char dir[DT_TEST_PATH];

static int make_dir(void **state) {
  return dt_test_dir_create(dir) == DT_OK ? 0 : -1;
}

static int remove_dir(void **state) {
  dt_test_dir_remove(dir);
  return 0;
}

/* The two files of a case, as they will lie on the disk. */
typedef struct pair {
  uint8_t images[ROOM], labels[ROOM];
  size_t images_bytes, labels_bytes;
} pair;

static void make_good(pair *files) {
  static const uint8_t images_header[16] = {0, 0, 8, 3, 0, 0, 0, COUNT, 0, 0, 0, HEIGHT, 0, 0, 0, WIDTH};
  static const uint8_t labels_header[8] = {0, 0, 8, 1, 0, 0, 0, COUNT};
  memset(files, 0, sizeof *files);
  memcpy(files->images, images_header, sizeof images_header);
  memcpy(files->labels, labels_header, sizeof labels_header);
  for (int i = 16; i < IMAGES_BYTES; i++) files->images[i] = (uint8_t)(7 * i);
  for (int i = 0; i < COUNT; i++) files->labels[8 + i] = (uint8_t)(i % 3);
  files->images_bytes = IMAGES_BYTES;
  files->labels_bytes = LABELS_BYTES;
}

static void pack(uint8_t *bytes, size_t *count) {
  uint8_t *packed;
  size_t packed_bytes;
  assert_int_equal(dt_test_gzip(bytes, *count, &packed, &packed_bytes), DT_OK);
  assert_true(packed_bytes <= ROOM);
  memcpy(bytes, packed, packed_bytes);
  *count = packed_bytes;
  free(packed);
}

static dt_status load(const char *images, const char *labels, dt_dataset **out) {
  dt_choice choice = dt_test_choice(dt_format_kinds, "idx");
  assert_non_null(choice.kind);
  *(const char **)dt_test_choice_value(&choice, "images") = images;
  *(const char **)dt_test_choice_value(&choice, "labels") = labels;
  dt_error_clear();
  const dt_status status = dt_dataset_load(&choice, &(dt_data_request){.dir = dir}, out);
  dt_test_choice_destroy(&choice);
  return status;
}

static dt_status load_pair(const pair *files, dt_dataset **out) {
  assert_int_equal(dt_test_write_file(dir, "images", files->images, files->images_bytes), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "labels", files->labels, files->labels_bytes), DT_OK);
  return load("images", "labels", out);
}

static void expect_refusal(const char *name, dt_status status, dt_status expected, const char *const *fragments, int count) {
  if (status != expected) fail_msg("%s: status %s, message \"%s\"", name, dt_status_name(status), dt_error_text());
  for (int i = 0; i < count && fragments[i] != NULL; i++) {
    if (strstr(dt_error_text(), fragments[i]) == NULL) fail_msg("%s: \"%s\" lacks \"%s\"", name, dt_error_text(), fragments[i]);
  }
  if (strchr(dt_error_text(), '\n') != NULL) fail_msg("%s: \"%s\" has several lines", name, dt_error_text());
}

/* --- Good files. --- */

static void check_good(const dt_dataset *dataset) {
  pair files;
  make_good(&files);
  assert_int_equal(dataset->count, COUNT);
  assert_int_equal(data_field(dataset, "input")->shape.ndim, 3);
  assert_int_equal(data_field(dataset, "input")->shape.dim[0], 1);
  assert_int_equal(data_field(dataset, "input")->shape.dim[1], HEIGHT);
  assert_int_equal(data_field(dataset, "input")->shape.dim[2], WIDTH);
  assert_int_equal(data_field(dataset, "input")->dtype, DT_U8);
  assert_memory_equal(data_pixels(dataset), files.images + 16, IMAGES_BYTES - 16);
  for (int i = 0; i < COUNT; i++) assert_int_equal(data_labels(dataset)[i], i % 3);
}

static void test_plain_and_packed_are_equal(void **state) {
  uint64_t hash[4];
  for (int form = 0; form < 4; form++) {
    pair files;
    make_good(&files);
    if (form & 1) pack(files.images, &files.images_bytes);
    if (form & 2) pack(files.labels, &files.labels_bytes);
    dt_dataset *dataset;
    assert_int_equal(load_pair(&files, &dataset), DT_OK);
    check_good(dataset);
    hash[form] = dataset->hash;
    dt_dataset_destroy(&dataset);
    assert_null(dataset);
  }
  for (int form = 1; form < 4; form++) assert_true(hash[form] == hash[0]);
}

/* gzip files may be appended to one another; what they hold is joined. */
static void test_joined_members(void **state) {
  pair files, first, second;
  make_good(&files);
  first = second = files;
  first.images_bytes = 20;
  second.images_bytes = IMAGES_BYTES - 20;
  memmove(second.images, second.images + 20, second.images_bytes);
  pack(first.images, &first.images_bytes);
  pack(second.images, &second.images_bytes);
  memcpy(files.images, first.images, first.images_bytes);
  memcpy(files.images + first.images_bytes, second.images, second.images_bytes);
  files.images_bytes = first.images_bytes + second.images_bytes;
  dt_dataset *dataset;
  assert_int_equal(load_pair(&files, &dataset), DT_OK);
  check_good(dataset);
  dt_dataset_destroy(&dataset);
}

/* Zeros behind the last member are padding, as gzip(1) has it, across any number of reads; what follows them is not. */
static void test_padding(void **state) {
  static const size_t zeros[] = {1, 7, 70000, 200000};
  for (size_t i = 0; i < sizeof zeros / sizeof zeros[0]; i++) {
    pair files;
    make_good(&files);
    pack(files.images, &files.images_bytes);
    pack(files.labels, &files.labels_bytes);
    uint8_t *padded = calloc(files.images_bytes + zeros[i] + files.images_bytes, 1);
    memcpy(padded, files.images, files.images_bytes);
    assert_int_equal(dt_test_write_file(dir, "images", padded, files.images_bytes + zeros[i]), DT_OK);
    assert_int_equal(dt_test_write_file(dir, "labels", files.labels, files.labels_bytes), DT_OK);
    dt_dataset *dataset;
    assert_int_equal(load("images", "labels", &dataset), DT_OK);
    check_good(dataset);
    dt_dataset_destroy(&dataset);
    memcpy(padded + files.images_bytes + zeros[i], files.images, files.images_bytes);
    assert_int_equal(dt_test_write_file(dir, "images", padded, 2 * files.images_bytes + zeros[i]), DT_OK);
    static const char *const fragments[] = {"/images: found other bytes after the gzip data"};
    expect_refusal("a member after padding", load("images", "labels", &dataset), DT_DATA, fragments, 1);
    free(padded);
  }
}

/* A name stands for a file with or without .gz, whatever is in it; where both are there, for the one of that name. */
static void test_found_with_or_without_gz(void **state) {
  pair files;
  dt_dataset *dataset;
  make_good(&files);
  assert_int_equal(dt_test_write_file(dir, "labels", files.labels, files.labels_bytes), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "bare", files.images, files.images_bytes), DT_OK);
  pack(files.images, &files.images_bytes);
  assert_int_equal(dt_test_write_file(dir, "packed.gz", files.images, files.images_bytes), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "both", "damaged", 7), DT_OK);
  assert_int_equal(dt_test_write_file(dir, "both.gz", files.images, files.images_bytes), DT_OK);
  static const char *const found[][2] = {
      {"bare.gz", "/bare, "}, {"bare", "/bare, "}, {"packed", "/packed.gz, "}, {"both.gz", "/both.gz, "}};
  for (size_t i = 0; i < sizeof found / sizeof found[0]; i++) {
    assert_int_equal(load(found[i][0], "labels.gz", &dataset), DT_OK);
    check_good(dataset);
    assert_non_null(strstr(dataset->source, found[i][1]));
    assert_null(strstr(dataset->source, "labels.gz"));
    dt_dataset_destroy(&dataset);
  }
  static const char *const exact[] = {"/both: found magic"};
  expect_refusal("both", load("both", "labels", &dataset), DT_DATA, exact, 1);
  static const char *const nowhere[] = {"/nowhere.gz: could not be opened: No such file", "nor is there", "/nowhere"};
  expect_refusal("neither", load("nowhere.gz", "labels", &dataset), DT_DATA, nowhere, 3);
}

static void test_other_dimensions(void **state) {
  static const struct {
    uint32_t dim[4];
    int ndim;
    dt_shape expected;
  } row[] = {
      {{2, 6}, 2, {1, {6}}},
      {{2, 3, 5}, 3, {3, {1, 3, 5}}},
      {{2, 3, 4, 5}, 4, {3, {3, 4, 5}}},
  };
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
    const size_t bytes =
        2u * (size_t)(row[i].expected.dim[0] * (row[i].ndim > 2 ? row[i].expected.dim[1] * row[i].expected.dim[2] : 1));
    uint8_t body[256] = {1, 2, 3}, *file;
    size_t file_bytes;
    assert_int_equal(dt_test_idx(row[i].dim, row[i].ndim, body, bytes, &file, &file_bytes), DT_OK);
    assert_int_equal(dt_test_write_file(dir, "images", file, file_bytes), DT_OK);
    free(file);
    dt_dataset *dataset;
    assert_int_equal(load("images", NULL, &dataset), DT_OK);
    assert_null(data_labels(dataset));
    assert_int_equal(data_field(dataset, "input")->shape.ndim, row[i].expected.ndim);
    for (int d = 0; d < row[i].expected.ndim; d++)
      assert_int_equal(data_field(dataset, "input")->shape.dim[d], row[i].expected.dim[d]);
    dt_dataset_destroy(&dataset);
  }
}

/* --- Bad files. --- */

typedef struct bad_case {
  const char *name;
  void (*spoil)(pair *files);  /* before packing */
  bool packed;                 /* the images */
  void (*damage)(pair *files); /* after packing */
  const char *fragments[3];    /* of the message: the file, what was found, what was expected */
} bad_case;

static void images_empty(pair *f) {
  f->images_bytes = 0;
}
static void images_three_bytes(pair *f) {
  f->images_bytes = 3;
}
static void images_half_header(pair *f) {
  f->images_bytes = 10;
}
static void images_zip(pair *f) {
  memcpy(f->images, "PK\3\4", 4);
}
static void images_swapped(pair *f) {
  memcpy(f->images, "\3\10\0\0", 4);
}
static void images_float(pair *f) {
  f->images[2] = 0x0D;
}
static void images_no_type(pair *f) {
  f->images[2] = 0x77;
}
static void images_rank_0(pair *f) {
  f->images[3] = 0;
}
static void images_rank_255(pair *f) {
  f->images[3] = 255;
}
static void images_are_labels(pair *f) {
  memcpy(f->images, f->labels, f->labels_bytes);
}
static void images_overflow(pair *f) {
  memset(f->images + 4, 0xff, 12);
}
static void images_huge(pair *f) {
  memcpy(f->images + 4, "\x7f\xff\xff\xff\0\0\xff\xff\0\0\0\1", 12);
}
static void images_none(pair *f) {
  f->images[7] = 0;
}
static void images_no_width(pair *f) {
  f->images[15] = 0;
}
static void images_cut(pair *f) {
  f->images_bytes -= WIDTH * HEIGHT / 2;
}
static void images_garbage(pair *f) {
  f->images_bytes += 1;
}
static void labels_float(pair *f) {
  f->labels[2] = 0x0d;
}
static void labels_empty(pair *f) {
  f->labels_bytes = 0;
}
static void labels_cut(pair *f) {
  f->labels_bytes -= 1;
}
static void labels_garbage(pair *f) {
  f->labels_bytes += 9;
}
static void labels_are_images(pair *f) {
  memcpy(f->labels, f->images, f->images_bytes);
}
static void labels_fewer(pair *f) {
  f->labels[7] -= 1, f->labels_bytes -= 1;
}
static void stream_cut(pair *f) {
  f->images_bytes -= 4;
}
static void stream_cut_early(pair *f) {
  f->images_bytes /= 2;
}
static void stream_header_only(pair *f) {
  f->images_bytes = 12;
}
static void stream_checksum(pair *f) {
  f->images[f->images_bytes - 6] ^= 1;
}
static void stream_length(pair *f) {
  f->images[f->images_bytes - 1] ^= 1;
}
static void stream_garbage(pair *f) {
  memset(f->images + f->images_bytes, 'x', 7);
  f->images_bytes += 7;
}
static void stream_block(pair *f) {
  f->images[10] |= 7;
}
static void nothing(pair *f) {
}

static const bad_case bad[] = {
    {"0 bytes", images_empty, false, nothing, {"/images: found an empty file", "expected an IDX header"}},
    {"3 bytes", images_three_bytes, false, nothing, {"/images: found 3 bytes", "expected an IDX header"}},
    {"half a header", images_half_header, false, nothing, {"/images: found 10 bytes", "expected an IDX header of 16 bytes"}},
    {"other magic",
     images_zip,
     false,
     nothing,
     {"/images: found magic 50 4b 03 04 at offset 0", "expected 00 00 08 02 (IDX images of unsigned bytes) or another type"}},
    {"swapped magic", images_swapped, false, nothing, {"/images: found magic 03 08 00 00", "reversed byte order", "expected"}},
    {"floats of the size of bytes",
     images_float,
     false,
     nothing,
     {"/images: found 60 bytes after the header", "expected 5 items, 240"}},
    {"labels of floats",
     labels_float,
     false,
     nothing,
     {"/labels: found type code 0x0d (32-bit floats) at offset 2", "of whole numbers"}},
    {"no type", images_no_type, false, nothing, {"/images: found type code 0x77 (no type of IDX)", "expected 0x08"}},
    {"rank 0", images_rank_0, false, nothing, {"/images: found 0 dimensions at offset 3", "expected 2 to 4"}},
    {"rank 255", images_rank_255, false, nothing, {"/images: found 255 dimensions at offset 3", "expected 2 to 4"}},
    {"labels as images", images_are_labels, false, nothing, {"/images: found 1 dimensions", "expected 2 to 4 (images)"}},
    {"product overflows", images_overflow, false, nothing, {"/images: found dimensions whose product overflows", "offset 8"}},
    {"more than the file",
     images_huge,
     false,
     nothing,
     {"/images: found 60 bytes after the header", "expected 2147483647 items"}},
    {"no images", images_none, false, nothing, {"/images: found dimension 0 of size 0 at offset 4", "expected 1 or more"}},
    {"no width", images_no_width, false, nothing, {"/images: found dimension 2 of size 0 at offset 12", "expected 1 or more"}},
    {"half an image",
     images_cut,
     false,
     nothing,
     {"/images: found 54 bytes after the header (4 items of 12 bytes and 6 bytes)", "expected 5 items"}},
    {"garbage at the end",
     images_garbage,
     false,
     nothing,
     {"/images: found 61 bytes after the header", "expected 5 items, 60 bytes"}},
    {"empty labels", labels_empty, false, nothing, {"/labels: found an empty file", "expected an IDX header"}},
    {"labels cut", labels_cut, false, nothing, {"/labels: found 4 bytes after the header", "expected 5 items"}},
    {"labels garbage", labels_garbage, false, nothing, {"/labels: found 14 bytes after the header", "expected 5 items"}},
    {"images as labels", labels_are_images, false, nothing, {"/labels: found 3 dimensions at offset 3", "expected 1 (labels)"}},
    {"fewer labels", labels_fewer, false, nothing, {"/labels: found 4 labels", "expected 5, one for each image of", "/images"}},
    {"packed: half an image", images_cut, true, nothing, {"/images: found 54 bytes after the header", "expected 5 items"}},
    {"packed: garbage inside",
     images_garbage,
     true,
     nothing,
     {"/images: found at least 61 bytes", "expected 5 items, 60 bytes"}},
    {"packed: other magic", images_zip, true, nothing, {"/images: found magic 50 4b 03 04", "expected 00 00 08"}},
    {"packed: empty", images_empty, true, nothing, {"/images: found an empty file", "expected an IDX header"}},
    {"packed: more than it can hold",
     images_huge,
     true,
     nothing,
     {"/images: found", "bytes of gzip data, which cannot hold the 140735340806145"}},
    {"packed: overflow", images_overflow, true, nothing, {"/images: found dimensions whose product overflows", "offset 8"}},
    {"packed: cut in the checksum", nothing, true, stream_cut, {"/images: found gzip data cut short", "expected its checksum"}},
    {"packed: cut early", nothing, true, stream_cut_early, {"/images: found gzip data cut short", "expected"}},
    {"packed: header only", nothing, true, stream_header_only, {"/images: found gzip data cut short", "expected"}},
    {"packed: wrong checksum", nothing, true, stream_checksum, {"/images: found damaged gzip data: incorrect data check"}},
    {"packed: wrong length", nothing, true, stream_length, {"/images: found damaged gzip data: incorrect length check"}},
    {"packed: garbage after",
     nothing,
     true,
     stream_garbage,
     {"/images: found other bytes after the gzip data", "expected the end"}},
    {"packed: bad block", nothing, true, stream_block, {"/images: found damaged gzip data: invalid block type"}},
};

/* Images, labels and targets of every type, in the byte order of IDX. */
static void test_types(void **state) {
  static const struct {
    uint8_t code;
    int bytes;
    const char *first; /* the bytes of the numbers */
    double number[2];
  } types[] = {{0x08, 1, "\x02\xff", {2, 255}},
               {0x09, 1, "\x02\xff", {2, -1}},
               {0x0B, 2, "\x01\x02\xff\xfe", {258, -2}},
               {0x0C, 4, "\x00\x01\x00\x02\xff\xff\xff\xfd", {65538, -3}},
               {0x0D, 4, "\x40\x20\x00\x00\xbe\x80\x00\x00", {2.5, -0.25}},
               {0x0E, 8, "\x40\x04\x00\x00\x00\x00\x00\x00\xbf\xd0\x00\x00\x00\x00\x00\x00", {2.5, -0.25}}};
  for (size_t t = 0; t < sizeof types / sizeof types[0]; t++) {
    uint8_t vectors[64] = {0, 0, types[t].code, 2, 0, 0, 0, 1, 0, 0, 0, 2}, one[64] = {0, 0, types[t].code, 1, 0, 0, 0, 1};
    const size_t size = (size_t)types[t].bytes;
    memcpy(vectors + 12, types[t].first, 2 * size);
    memcpy(one + 8, types[t].first, size);
    assert_int_equal(dt_test_write_file(dir, "images", vectors, 12 + 2 * size), DT_OK);
    assert_int_equal(dt_test_write_file(dir, "one", one, 8 + size), DT_OK);
    dt_choice choice = dt_test_choice(dt_format_kinds, "idx");
    const bool whole = types[t].code < 0x0D;
    *(const char **)dt_test_choice_value(&choice, "images") = "images";
    *(const char **)dt_test_choice_value(&choice, "labels") = whole ? "one" : "";
    *(const char **)dt_test_choice_value(&choice, "targets") = "one";
    dt_dataset *set;
    dt_error_clear();
    if (dt_dataset_load(&choice, &(dt_data_request){.dir = dir}, &set) != DT_OK) fail_msg("%s", dt_error_text());
    dt_test_choice_destroy(&choice);
    assert_int_equal(data_field(set, "input")->dtype, t == 0 ? DT_U8 : DT_F32);
    for (int i = 0; i < 2; i++) {
      const double found = t == 0 ? data_pixels(set)[i] : ((const float *)data_values(set, "input"))[i];
      if (found != types[t].number[i]) fail_msg("type %02x: %g", types[t].code, found);
    }
    assert_true(((const float *)data_values(set, "target"))[0] == (float)types[t].number[0]);
    assert_true(whole == (data_labels(set) != NULL));
    if (whole) assert_int_equal(data_labels(set)[0], (int)types[t].number[0]);
    dt_dataset_destroy(&set);
  }
}

static void test_bad_files(void **state) {
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    pair files;
    make_good(&files);
    bad[i].spoil(&files);
    if (bad[i].packed) pack(files.images, &files.images_bytes);
    bad[i].damage(&files);
    dt_dataset *dataset = NULL;
    expect_refusal(bad[i].name, load_pair(&files, &dataset), DT_DATA, bad[i].fragments, 3);
    assert_null(dataset);
  }
}

/* Every file cut at every byte is refused, plain and packed. */
static void test_every_cut(void **state) {
  for (int packed = 0; packed < 2; packed++) {
    pair files;
    make_good(&files);
    if (packed) pack(files.images, &files.images_bytes);
    for (size_t bytes = files.images_bytes; bytes-- > 0;) {
      files.images_bytes = bytes;
      dt_dataset *dataset = NULL;
      assert_int_equal(load_pair(&files, &dataset), DT_DATA);
    }
  }
}

/* 256 MiB of zeros in a quarter of a MiB: with a header that promises one image, nothing beyond it is unpacked. Unpacking all
 * of it would take half a second of the processor's time. */
static void test_gzip_bomb(void **state) {
  enum { BOMB = 256 << 20 };
  const uint32_t dim[] = {1, 28, 28};
  uint8_t *zeros = calloc(BOMB, 1), *file;
  size_t bytes;
  assert_non_null(zeros);
  assert_int_equal(dt_test_idx(dim, 3, zeros, BOMB, &file, &bytes), DT_OK);
  free(zeros);
  assert_int_equal(dt_test_write_gzip(dir, "bomb.gz", file, bytes), DT_OK);
  free(file);
  struct rusage before, after;
  getrusage(RUSAGE_SELF, &before);
  dt_dataset *dataset = NULL;
  static const char *const fragments[] = {"/bomb.gz: found at least 785 bytes after the header", "expected 1 items, 784 bytes"};
  expect_refusal("bomb", load("bomb.gz", NULL, &dataset), DT_DATA, fragments, 2);
  getrusage(RUSAGE_SELF, &after);
  const double seconds = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
                         1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec);
  assert_true(seconds < 0.05);
}

static void test_what_is_no_file(void **state) {
  static const char *const missing[] = {"/nowhere: could not be opened: No such file or directory"};
  static const char *const folder[] = {"found a directory", "expected a regular file"};
  static const char *const device[] = {"found a device, pipe or socket", "expected a regular file"};
  dt_dataset *dataset = NULL;
  expect_refusal("missing", load("nowhere", NULL, &dataset), DT_DATA, missing, 1);
  expect_refusal("folder", load("..", NULL, &dataset), DT_DATA, folder, 2);
  expect_refusal("device", load("/dev/zero", NULL, &dataset), DT_DATA, device, 2);
  char path[DT_TEST_PATH + 8];
  snprintf(path, sizeof path, "%s/pipe", dir);
  assert_int_equal(mkfifo(path, 0600), 0);
  expect_refusal("pipe", load("pipe", NULL, &dataset), DT_DATA, device, 2);
}

/* --- The data set as a whole. --- */

static void test_check(void **state) {
  static const char *const label[] = {"/labels: found label 2 of sample 2", "expected 0 to 1", "2 outputs"};
  static const char *const shape[] = {"found samples of shape [1, 3, 4]", "expected [1, 4, 3]"};
  pair files;
  make_good(&files);
  dt_dataset *dataset;
  assert_int_equal(load_pair(&files, &dataset), DT_OK);
  dt_field needed[] = {{.name = "input", .dtype = DT_U8, .shape = {3, {1, HEIGHT, WIDTH}}},
                       {.name = "label", .dtype = DT_I32, .limit = 3}};
  assert_int_equal(dt_dataset_check(dataset, needed, 2, 1), DT_OK);
  needed[1].limit = 2;
  expect_refusal("label", dt_dataset_check(dataset, needed, 2, 1), DT_DATA, label, 3);
  dt_error_clear();
  needed[0].shape = (dt_shape){3, {1, WIDTH, HEIGHT}};
  expect_refusal("shape", dt_dataset_check(dataset, needed, 2, 1), DT_DATA, shape, 2);
  dt_dataset_destroy(&dataset);
}

static void test_hash_sees_everything(void **state) {
  uint64_t hash[4];
  for (int form = 0; form < 4; form++) {
    pair files;
    make_good(&files);
    if (form == 1) files.images[40] ^= 1;
    if (form == 2) files.labels[9] ^= 1;
    if (form == 3) memcpy(files.images + 8, "\0\0\0\4\0\0\0\3", 8);
    dt_dataset *dataset;
    assert_int_equal(load_pair(&files, &dataset), DT_OK);
    hash[form] = dataset->hash;
    dt_dataset_destroy(&dataset);
    for (int other = 0; other < form; other++) assert_true(hash[form] != hash[other]);
  }
}

/* Against the definition in double precision, for planes on both sides of the chunk of 65536 bytes. */
static void test_statistics(void **state) {
  static const int64_t widths[] = {5, 65536, 70001};
  for (size_t w = 0; w < sizeof widths / sizeof *widths; w++) {
    const int64_t elements = 2 * widths[w];
    uint8_t *pixels = malloc((size_t)(3 * elements));
    dt_dataset set = {.count = 3,
                      .fields = {{{.name = "input", .dtype = DT_U8, .shape = {3, {2, 1, widths[w]}}}}, .count = 1},
                      .data = {{.values = pixels}}};
    long double sum = 0, squares = 0;
    for (int64_t i = 0; i < 3 * elements; i++) {
      const bool first_channel = i / widths[w] % 2 == 0;
      pixels[i] = first_channel ? (uint8_t)(255 - i % 7) : 9;
      if (first_channel) sum += pixels[i] / 255.0L;
    }
    const long double n = 3.0L * (long double)widths[w];
    for (int64_t i = 0; i < 3 * elements; i++) {
      const long double d = pixels[i] / 255.0L - sum / n;
      if (i / widths[w] % 2 == 0) squares += d * d;
    }
    double mean[2], std[2];
    dt_dataset_statistics(&set, 0, mean, std);
    assert_true(fabsl(mean[0] - sum / n) < 1e-15L);
    assert_true(fabsl(std[0] - sqrtl(squares / n)) < 1e-15L);
    assert_true(mean[1] == 9 / 255.0);
    assert_true(std[1] == 1);
    free(pixels);
  }
}

static void test_directory_variable(void **state) {
  static const char *const unset[] = {"DTRAIN_TEST_NO_SUCH is not set", "data.dir"};
  pair files;
  make_good(&files);
  dt_dataset *dataset = NULL;
  assert_int_equal(load_pair(&files, &dataset), DT_OK);
  dt_dataset_destroy(&dataset);
  dt_choice choice = dt_test_choice(dt_format_kinds, "idx");
  *(const char **)dt_test_choice_value(&choice, "images") = "images";
  char *parent = strdup(dir), *leaf = strrchr(parent, '/');
  *leaf++ = '\0';
  setenv("DTRAIN_TEST_DIR", parent, 1);
  for (int i = 0; i < 2; i++) {
    char text[DT_TEST_PATH];
    snprintf(text, sizeof text, i == 0 ? "$DTRAIN_TEST_DIR/%s" : "${DTRAIN_TEST_DIR}/%s/", leaf);
    assert_int_equal(dt_dataset_load(&choice, &(dt_data_request){.dir = text}, &dataset), DT_OK);
    dt_dataset_destroy(&dataset);
  }
  free(parent);
  dt_error_clear();
  expect_refusal("unset", dt_dataset_load(&choice, &(dt_data_request){.dir = "$DTRAIN_TEST_NO_SUCH/x"}, &dataset), DT_DATA,
                 unset, 2);
  dt_test_choice_destroy(&choice);
}

/* --- Data that others made. --- */

static void test_fashion_mnist(void **state) {
  static const char folder[] = "/usr/share/datasets/fashion-mnist";
  static const int32_t labels[] = {9, 0, 0, 3, 0, 2, 7, 2, 5, 5};
  if (access(folder, R_OK) != 0) {
    print_message("skipped: the Debian package dataset-fashion-mnist is not installed\n");
    skip();
  }
  dt_choice choice = dt_test_choice(dt_format_kinds, "idx");
  *(const char **)dt_test_choice_value(&choice, "images") = "train-images-idx3-ubyte.gz";
  *(const char **)dt_test_choice_value(&choice, "labels") = "train-labels-idx1-ubyte.gz";
  dt_dataset *dataset;
  double mean, std;
  assert_int_equal(dt_dataset_load(&choice, &(dt_data_request){.dir = folder}, &dataset), DT_OK);
  assert_int_equal(dataset->count, 60000);
  assert_memory_equal(data_labels(dataset), labels, sizeof labels);
  dt_dataset_statistics(dataset, 0, &mean, &std);
  assert_true(fabs(mean - 0.286041) < 1e-6);
  assert_true(fabs(std - 0.353024) < 1e-6);
  dt_dataset_destroy(&dataset);
  dt_test_choice_destroy(&choice);
}

static void test_digits(void **state) {
  assert_int_equal(dt_test_write_digits(dir, 300, 50, 12), DT_OK);
  dt_dataset *train, *eval;
  assert_int_equal(load("train-images-idx3-ubyte", "train-labels-idx1-ubyte", &train), DT_OK);
  assert_int_equal(load("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", &eval), DT_OK);
  assert_int_equal(train->count, 300);
  assert_int_equal(eval->count, 50);
  dt_dataset_destroy(&train);
  dt_dataset_destroy(&eval);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_plain_and_packed_are_equal),
      cmocka_unit_test(test_joined_members),
      cmocka_unit_test(test_other_dimensions),
      cmocka_unit_test(test_bad_files),
      cmocka_unit_test(test_every_cut),
      cmocka_unit_test(test_gzip_bomb),
      cmocka_unit_test(test_padding),
      cmocka_unit_test(test_found_with_or_without_gz),
      cmocka_unit_test(test_what_is_no_file),
      cmocka_unit_test(test_check),
      cmocka_unit_test(test_hash_sees_everything),
      cmocka_unit_test(test_statistics),
      cmocka_unit_test(test_directory_variable),
      cmocka_unit_test(test_types),
      cmocka_unit_test(test_fashion_mnist),
      cmocka_unit_test(test_digits),
  };
  return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
