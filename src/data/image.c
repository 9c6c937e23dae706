#include "data/image.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "data/image_parts.h"

/* First bytes of files that one meets among images. */
static const struct {
  const char *name;
  size_t at, bytes;
  const char *magic;
} forms[] = {
    {"JPEG", 0, 3, "\xff\xd8\xff"},
    {"PNG", 0, 8, "\x89PNG\r\n\x1a\n"},
    {"GIF", 0, 4, "GIF8"},
    {"WebP", 8, 4, "WEBP"},
    {"TIFF", 0, 4, "II*\0"},
    {"TIFF", 0, 4, "MM\0*"},
    {"BMP", 0, 2, "BM"},
    {"AVIF", 4, 8, "ftypavif"},
    {"HEIC", 4, 7, "ftyphei"},
    {"JPEG 2000", 0, 8, "\0\0\0\x0cjP  "},
    {"JPEG XL", 0, 8, "\0\0\0\x0cJXL "},
    {"zip", 0, 4, "PK\x03\x04"},
    {"gzip", 0, 2, "\x1f\x8b"},
    {"PDF", 0, 4, "%PDF"},
};

const char *dt_image_kind(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
    if (count >= forms[i].at + forms[i].bytes && memcmp(bytes + forms[i].at, forms[i].magic, forms[i].bytes) == 0)
      return forms[i].name;
  }
  return NULL;
}

bool dt_image_named(const char *name) {
  static const char *const ends[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
  const size_t length = strlen(name);
  for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
    const size_t end = strlen(ends[i]);
    if (length > end && strcasecmp(name + length - end, ends[i]) == 0) return true;
  }
  return false;
}

bool dt_image_pictures(const char *kind) {
  return strcmp(kind, "zip") != 0 && strcmp(kind, "gzip") != 0 && strcmp(kind, "PDF") != 0;
}

dt_status dt_image_room(dt_image *image, size_t count, const char *kind, char why[DT_IMAGE_WHY]) {
  const int64_t pixels = image->width * image->height; /* each below 2^31 */
  const int64_t honest = DT_IMAGE_PIXELS_FREE + (int64_t)(count < SIZE_MAX / 2048 ? count : 0) * DT_IMAGE_PIXELS_A_BYTE;
  if (pixels <= 0 || pixels > DT_IMAGE_PIXELS_MAX || pixels > honest) {
    snprintf(why, DT_IMAGE_WHY, "a %s image of %" PRId64 " x %" PRId64 " pixels in %zu bytes", kind, image->width,
             image->height, count);
    return DT_DATA;
  }
  return dt_alloc((size_t)pixels, (size_t)image->channels, &image->pixels);
}

dt_status dt_image_decode(const uint8_t *bytes, size_t count, dt_image *out, char why[DT_IMAGE_WHY]) {
  const char *kind = dt_image_kind(bytes, count);
  int orientation = 1;
  dt_status status = DT_DATA;
  *out = (dt_image){.width = 0};
  if (count == 0) {
    snprintf(why, DT_IMAGE_WHY, "an empty file");
  } else if (kind == NULL) {
    snprintf(why, DT_IMAGE_WHY, "a file that is no image");
  } else if (strcmp(kind, "JPEG") == 0) {
    status = dt_jpeg_decode(bytes, count, out, &orientation, why);
  } else if (strcmp(kind, "PNG") == 0) {
    status = dt_png_decode(bytes, count, out, &orientation, why);
  } else {
    snprintf(why, DT_IMAGE_WHY, "a %s file, which is not supported", kind);
  }
  if (status == DT_OK) status = dt_image_turn(out, orientation);
  if (status != DT_OK) dt_image_destroy(out);
  return status;
}

void dt_image_destroy(dt_image *image) {
  free(image->pixels);
  image->pixels = NULL;
}
