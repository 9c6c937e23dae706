/* JPEG by libjpeg-turbo, which calls back on trouble: control then returns here by longjmp. What it would go on with after a
 * warning - grey where data are missing - is no sample: but for a few warnings that touch no pixel, each makes the image a
 * broken one. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* clang-format off: jpeglib.h wants stdio.h before it. */
#include <jerror.h>
#include <jpeglib.h>
/* clang-format on */

#include "data/image_parts.h"

/* A progressive image has about ten scans; each costs a pass over all coefficients, however few bytes it has. */
enum { SCANS_MAX = 200, MEMORY_MAX = 1 << 29 };

typedef struct decoder {
  struct jpeg_decompress_struct jpeg;
  struct jpeg_error_mgr errors;
  struct jpeg_progress_mgr progress;
  jmp_buf failed;
  char *why;
  uint8_t *row; /* of CMYK */
  bool no_memory;
} decoder;

static bool is_harmless(int code) {
  return code == JWRN_EXTRANEOUS_DATA || code == JWRN_ADOBE_XFORM || code == JWRN_JFIF_MAJOR || code == JWRN_BOGUS_ICC;
}

static bool is_short(int code) {
  return code == JWRN_JPEG_EOF || code == JWRN_HIT_MARKER || code == JERR_INPUT_EOF;
}

static _Noreturn void fail(j_common_ptr common) {
  decoder *d = common->client_data;
  char text[JMSG_LENGTH_MAX];
  d->no_memory = common->err->msg_code == JERR_OUT_OF_MEMORY;
  if (is_short(common->err->msg_code)) {
    snprintf(d->why, DT_IMAGE_WHY, "a JPEG image that is cut short or damaged");
  } else if (d->why[0] == '\0') {
    common->err->format_message(common, text);
    snprintf(d->why, DT_IMAGE_WHY, "a JPEG image that libjpeg refuses (%.100s)", text);
  }
  longjmp(d->failed, 1);
}

static void on_message(j_common_ptr common, int level) {
  if (level < 0 && !is_harmless(common->err->msg_code)) fail(common);
}

static void on_output(j_common_ptr common) {
}

static void on_progress(j_common_ptr common) {
  decoder *d = common->client_data;
  if (d->jpeg.input_scan_number <= SCANS_MAX) return;
  snprintf(d->why, DT_IMAGE_WHY, "a JPEG image of more than %d scans", SCANS_MAX);
  longjmp(d->failed, 1);
}

/* Inks are stored as the light that they leave, as Adobe began it and everybody does. */
static void cmyk_to_rgb(const uint8_t *from, int64_t count, uint8_t *to) {
  for (int64_t i = 0; i < count; i++) {
    const uint32_t black = from[4 * i + 3];
    for (int c = 0; c < 3; c++) {
      const uint32_t ink = 255u - from[4 * i + c], product = ink * black + 128;
      to[3 * i + c] = (uint8_t)(black - ((product + (product >> 8)) >> 8));
    }
  }
}

static void choose_colours(decoder *d, dt_image *out) {
  switch (d->jpeg.jpeg_color_space) {
    case JCS_GRAYSCALE:
      d->jpeg.out_color_space = JCS_GRAYSCALE;
      break;
    case JCS_CMYK:
    case JCS_YCCK:
      d->jpeg.out_color_space = JCS_CMYK;
      break;
    default:
      d->jpeg.out_color_space = JCS_RGB;
  }
  out->width = d->jpeg.image_width;
  out->height = d->jpeg.image_height;
  out->channels = d->jpeg.out_color_space == JCS_GRAYSCALE ? 1 : 3;
}

static void read_rows(decoder *d, dt_image *out) {
  const int64_t stride = out->width * out->channels;
  while (d->jpeg.output_scanline < d->jpeg.output_height) {
    uint8_t *to = out->pixels + (int64_t)d->jpeg.output_scanline * stride;
    JSAMPROW rows[] = {d->row != NULL ? d->row : to};
    jpeg_read_scanlines(&d->jpeg, rows, 1);
    if (d->row != NULL) cmyk_to_rgb(d->row, out->width, to);
  }
}

/* Between setjmp and here lie no variables that change: what failed is in the decoder. */
static dt_status decode(decoder *d, const uint8_t *bytes, size_t count, dt_image *out) {
  if (setjmp(d->failed) != 0) {
    if (d->no_memory) DT_RAISE(DT_MEMORY, "no memory to decode a JPEG image");
    return DT_DATA;
  }
  jpeg_create_decompress(&d->jpeg);
  d->jpeg.mem->max_memory_to_use = MEMORY_MAX;
  d->jpeg.progress = &d->progress;
  jpeg_mem_src(&d->jpeg, bytes, count);
  jpeg_read_header(&d->jpeg, TRUE);
  choose_colours(d, out);
  DT_TRY(dt_image_room(out, count, "JPEG", d->why));
  if (d->jpeg.out_color_space == JCS_CMYK) DT_TRY(dt_alloc((size_t)out->width, 4, &d->row));
  jpeg_start_decompress(&d->jpeg);
  read_rows(d, out);
  jpeg_finish_decompress(&d->jpeg);
  return DT_OK;
}

/* In the first APP1 segment of EXIF before the pixels. */
static int find_orientation(const uint8_t *bytes, size_t count) {
  enum { SOS = 0xda, EOI = 0xd9, APP1 = 0xe1, PREFIX = 6 };
  for (size_t at = 2; at + 4 <= count && bytes[at] == 0xff;) {
    const uint8_t marker = bytes[at + 1];
    const size_t length = (size_t)bytes[at + 2] << 8 | bytes[at + 3];
    if (marker == 0xff) { /* a fill byte */
      at++;
      continue;
    }
    if (marker == SOS || marker == EOI || length < 2 || at + 2 + length > count) return 1;
    const uint8_t *body = bytes + at + 4;
    if (marker == APP1 && length >= 2 + PREFIX && memcmp(body, "Exif\0\0", PREFIX) == 0)
      return dt_exif_orientation(body + PREFIX, length - 2 - PREFIX);
    at += 2 + length;
  }
  return 1;
}

dt_status dt_jpeg_decode(const uint8_t *bytes, size_t count, dt_image *out, int *orientation, char why[DT_IMAGE_WHY]) {
  decoder d = {.why = why, .progress.progress_monitor = on_progress};
  why[0] = '\0';
  d.jpeg.err = jpeg_std_error(&d.errors);
  d.jpeg.client_data = &d;
  d.errors.error_exit = fail;
  d.errors.emit_message = on_message;
  d.errors.output_message = on_output;
  const dt_status status = decode(&d, bytes, count, out);
  jpeg_destroy_decompress(&d.jpeg);
  free(d.row);
  *orientation = find_orientation(bytes, count);
  return status;
}
