/* EXIF's orientation: which side of the stored image is up. */
#include <stdlib.h>
#include <string.h>

#include "data/image_parts.h"

enum { TIFF_HEADER = 8, ENTRY = 12, TAG_ORIENTATION = 0x0112, TYPE_SHORT = 3 };

static uint32_t read_number(const uint8_t *at, int bytes, bool big) {
  uint32_t value = 0;
  for (int i = 0; i < bytes; i++) value |= (uint32_t)at[i] << 8 * (big ? bytes - 1 - i : i);
  return value;
}

int dt_exif_orientation(const uint8_t *block, size_t count) {
  if (count < TIFF_HEADER || (memcmp(block, "II*\0", 4) != 0 && memcmp(block, "MM\0*", 4) != 0)) return 1;
  const bool big = block[0] == 'M';
  const size_t first = read_number(block + 4, 4, big);
  if (first > count || count - first < 2) return 1;
  const size_t entries = read_number(block + first, 2, big);
  for (size_t i = 0; i < entries && (i + 1) * ENTRY <= count - first - 2; i++) {
    const uint8_t *entry = block + first + 2 + i * ENTRY;
    if (read_number(entry, 2, big) != TAG_ORIENTATION) continue;
    const uint32_t value = read_number(entry + 8, 2, big);
    return read_number(entry + 2, 2, big) == TYPE_SHORT && value >= 1 && value <= 8 ? (int)value : 1;
  }
  return 1;
}

/* Where the pixel that is seen at (x, y) lies in what is stored, w x h. */
static int64_t stored_at(int orientation, int64_t x, int64_t y, int64_t w, int64_t h) {
  switch (orientation) {
    case 2:
      return y * w + (w - 1 - x);
    case 3:
      return (h - 1 - y) * w + (w - 1 - x);
    case 4:
      return (h - 1 - y) * w + x;
    case 5:
      return x * w + y;
    case 6:
      return (h - 1 - x) * w + y;
    case 7:
      return (h - 1 - x) * w + (w - 1 - y);
    case 8:
      return x * w + (w - 1 - y);
    default:
      return y * w + x;
  }
}

dt_status dt_image_turn(dt_image *image, int orientation) {
  if (orientation <= 1) return DT_OK;
  const bool lies = orientation >= 5;
  const int channels = image->channels;
  dt_image turned = {
      .width = lies ? image->height : image->width, .height = lies ? image->width : image->height, .channels = channels};
  DT_TRY(dt_alloc((size_t)(turned.width * turned.height), (size_t)channels, &turned.pixels));
  uint8_t *to = turned.pixels;
  for (int64_t y = 0; y < turned.height; y++) {
    for (int64_t x = 0; x < turned.width; x++) {
      const uint8_t *from = image->pixels + stored_at(orientation, x, y, image->width, image->height) * channels;
      for (int c = 0; c < channels; c++) *to++ = from[c];
    }
  }
  free(image->pixels);
  *image = turned;
  return DT_OK;
}
