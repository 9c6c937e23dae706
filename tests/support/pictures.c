#include "support/pictures.h"

#include <math.h>
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

/* clang-format off: jpeglib.h wants stdio.h before it. */
#include <jpeglib.h>
/* clang-format on */

static dt_image make_image(int64_t width, int64_t height, int channels) {
  dt_image image = {.width = width, .height = height, .channels = channels};
  image.pixels = malloc((size_t)(width * height * channels));
  return image;
}

dt_image dt_test_picture(int64_t width, int64_t height, int channels) {
  dt_image image = make_image(width, height, channels);
  uint8_t *to = image.pixels;
  for (int64_t y = 0; y < height; y++) {
    for (int64_t x = 0; x < width; x++) {
      for (int c = 0; c < channels; c++) *to++ = (uint8_t)(x * x * 3 + y * 7 + x * y * (c + 1) + c * 40);
    }
  }
  return image;
}

dt_image dt_test_smooth_picture(int64_t width, int64_t height, int channels, unsigned seed) {
  dt_image image = make_image(width, height, channels);
  uint8_t *to = image.pixels;
  for (int64_t y = 0; y < height; y++) {
    for (int64_t x = 0; x < width; x++) {
      for (int c = 0; c < channels; c++)
        *to++ = (uint8_t)(127 + 60 * sin((double)x / 9 + seed) + 60 * cos((double)y / 7 + c + 2.0 * seed));
    }
  }
  return image;
}

/* APP1: one IFD with the orientation alone, big-endian. */
static void write_exif(struct jpeg_compress_struct *jpeg, int orientation) {
  uint8_t block[] = {'E', 'x', 'i', 'f',  0,    0, 'M', 'M', 0, '*', 0, 0, 0,
                     8,   0,   1,   0x01, 0x12, 0, 3,   0,   0, 0,   1, 0, (uint8_t)orientation,
                     0,   0,   0,   0,    0,    0};
  jpeg_write_marker(jpeg, JPEG_APP0 + 1, block, sizeof block);
}

uint8_t *dt_test_jpeg(const dt_image *image, int form, int orientation, size_t *out_bytes) {
  struct jpeg_compress_struct jpeg;
  struct jpeg_error_mgr errors;
  const jpeg_scan_info scans[] = {{1, {0}, 0, 63, 0, 0}, {1, {1}, 0, 63, 0, 0}, {1, {2}, 0, 63, 0, 0}};
  unsigned char *bytes = NULL;
  unsigned long count = 0;
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  jpeg_mem_dest(&jpeg, &bytes, &count);
  jpeg.image_width = (JDIMENSION)image->width;
  jpeg.image_height = (JDIMENSION)image->height;
  jpeg.input_components = image->channels;
  jpeg.in_color_space = image->channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, 95, TRUE);
  jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = 1;
  if (form == DT_TEST_PROGRESSIVE) jpeg_simple_progression(&jpeg);
  if (form == DT_TEST_SCANS && image->channels == 3) {
    jpeg.scan_info = scans;
    jpeg.num_scans = 3;
  }
  jpeg_start_compress(&jpeg, TRUE);
  if (orientation > 0) write_exif(&jpeg, orientation);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = image->pixels + (int64_t)jpeg.next_scanline * image->width * image->channels;
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  *out_bytes = count;
  return bytes;
}

static void put_number(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (24 - 8 * i));
}

static size_t put_chunk(uint8_t *to, const char *type, const uint8_t *data, size_t bytes) {
  put_number(to, (uint32_t)bytes);
  memcpy(to + 4, type, 4);
  if (bytes > 0) memcpy(to + 8, data, bytes);
  put_number(to + 8 + bytes, (uint32_t)crc32(0, to + 4, (uInt)bytes + 4));
  return bytes + 12;
}

uint8_t *dt_test_png_raw(uint32_t width, uint32_t height, int colour_type, int depth, const uint8_t *rows, size_t row_bytes,
                         const uint8_t *plte, size_t plte_bytes, size_t *out_bytes) {
  uint8_t head[13] = {0};
  uLongf packed = compressBound((uLong)row_bytes);
  uint8_t *body = malloc(packed), *png = malloc(packed + plte_bytes + 128);
  compress(body, &packed, rows, (uLong)row_bytes);
  put_number(head, width);
  put_number(head + 4, height);
  head[8] = (uint8_t)depth;
  head[9] = (uint8_t)colour_type;
  memcpy(png, "\x89PNG\r\n\x1a\n", 8);
  size_t at = 8;
  at += put_chunk(png + at, "IHDR", head, sizeof head);
  if (plte != NULL) at += put_chunk(png + at, "PLTE", plte, plte_bytes);
  at += put_chunk(png + at, "IDAT", body, packed);
  at += put_chunk(png + at, "IEND", NULL, 0);
  free(body);
  *out_bytes = at;
  return png;
}

uint8_t *dt_test_png(const dt_image *image, size_t *out_bytes) {
  const size_t row = (size_t)(image->width * image->channels);
  uint8_t *rows = calloc((size_t)image->height, row + 1);
  for (int64_t y = 0; y < image->height; y++) memcpy(rows + (size_t)y * (row + 1) + 1, image->pixels + (size_t)y * row, row);
  uint8_t *png = dt_test_png_raw((uint32_t)image->width, (uint32_t)image->height,
                                 image->channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE : SPNG_COLOR_TYPE_TRUECOLOR, 8, rows,
                                 (size_t)image->height * (row + 1), NULL, 0, out_bytes);
  free(rows);
  return png;
}
