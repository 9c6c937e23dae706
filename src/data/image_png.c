/* PNG by libspng. */
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/image_parts.h"

enum { CHUNK_MAX = 1 << 26 };

static dt_status refuse(int code, char why[DT_IMAGE_WHY]) {
  DT_REQUIRE(code != SPNG_EMEM, DT_MEMORY, "no memory to decode a PNG image");
  if (code == SPNG_IO_EOF || code == SPNG_EIDAT_TOO_SHORT) {
    snprintf(why, DT_IMAGE_WHY, "a PNG image that is cut short");
  } else {
    snprintf(why, DT_IMAGE_WHY, "a PNG image that libspng refuses (%.80s)", spng_strerror(code));
  }
  return DT_DATA;
}

/* In place: of RGB one of three equal channels. */
static void make_grey(dt_image *image) {
  const int64_t pixels = image->width * image->height;
  for (int64_t i = 0; i < pixels; i++) image->pixels[i] = image->pixels[3 * i];
  image->channels = 1;
}

static dt_status decode(spng_ctx *png, size_t count, dt_image *out, int *orientation, char why[DT_IMAGE_WHY]) {
  struct spng_ihdr head;
  struct spng_exif exif;
  size_t bytes;
  int code = spng_get_ihdr(png, &head);
  if (code != 0) return refuse(code, why);
  *out = (dt_image){.width = head.width, .height = head.height, .channels = 3};
  DT_TRY(dt_image_room(out, count, "PNG", why));
  code = spng_decoded_image_size(png, SPNG_FMT_RGB8, &bytes);
  if (code == 0) code = spng_decode_image(png, out->pixels, bytes, SPNG_FMT_RGB8, 0);
  if (code != 0) return refuse(code, why);
  if (spng_get_exif(png, &exif) == 0) *orientation = dt_exif_orientation((const uint8_t *)exif.data, exif.length);
  if (head.color_type == SPNG_COLOR_TYPE_GRAYSCALE || head.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA) make_grey(out);
  return DT_OK;
}

/* A chunk acTL before the first pixels: several pictures, of which none is the image. */
static bool is_animated(const uint8_t *bytes, size_t count) {
  enum { SIGNATURE = 8, FRAME = 12 }; /* of a chunk: length, type, checksum */
  for (size_t at = SIGNATURE; at + FRAME <= count;) {
    const uint8_t *chunk = bytes + at;
    const size_t length = (size_t)chunk[0] << 24 | (size_t)chunk[1] << 16 | (size_t)chunk[2] << 8 | chunk[3];
    if (memcmp(chunk + 4, "acTL", 4) == 0) return true;
    if (memcmp(chunk + 4, "IDAT", 4) == 0 || length > count - at - FRAME) return false;
    at += FRAME + length;
  }
  return false;
}

dt_status dt_png_decode(const uint8_t *bytes, size_t count, dt_image *out, int *orientation, char why[DT_IMAGE_WHY]) {
  if (is_animated(bytes, count)) {
    snprintf(why, DT_IMAGE_WHY, "an animated PNG image, which is not supported");
    return DT_DATA;
  }
  spng_ctx *png = spng_ctx_new(0);
  DT_REQUIRE(png != NULL, DT_MEMORY, "no memory to decode a PNG image");
  spng_set_chunk_limits(png, CHUNK_MAX, CHUNK_MAX);
  const int code = spng_set_png_buffer(png, bytes, count);
  const dt_status status = code == 0 ? decode(png, count, out, orientation, why) : refuse(code, why);
  spng_ctx_free(png);
  return status;
}
