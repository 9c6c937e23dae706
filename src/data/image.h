/* Images: from the bytes of a JPEG or PNG file to the pixels of a sample. */
#ifndef DT_DATA_IMAGE_H
#define DT_DATA_IMAGE_H

#include <stdint.h>

#include "core/status.h"

/* Pixels of one decoded image can be no more than these, nor more than so many to a byte of its file: what claims them is no
 * photograph, and is refused before memory is taken for it. */
enum { DT_IMAGE_PIXELS_MAX = 100000000, DT_IMAGE_PIXELS_FREE = 1 << 20, DT_IMAGE_PIXELS_A_BYTE = 1040 };

/* Grey or RGB, rows from the top. */
typedef struct dt_image {
  int64_t width, height;
  int channels;    /* 1 or 3 */
  uint8_t *pixels; /* [height][width][channels] */
} dt_image;

/* What is wrong with an image, to follow "found": "a JPEG image that is cut short". */
enum { DT_IMAGE_WHY = 160 };

/* Decodes the bytes of a JPEG or PNG file, told apart by their content, and turns the image as its EXIF orientation says. CMYK
 * becomes RGB; transparency is dropped; of 16 bits the upper 8 are taken. DT_DATA with the cause in `why` and no error text;
 * DT_MEMORY. */
dt_status dt_image_decode(const uint8_t *bytes, size_t count, dt_image *out, char why[DT_IMAGE_WHY]);
void dt_image_destroy(dt_image *image);
/* What the beginning of a file says that it is: "JPEG", "PNG", "GIF" ...; NULL where it is none of the known forms. */
const char *dt_image_kind(const uint8_t *bytes, size_t count);
bool dt_image_pictures(const char *kind); /* whether files of that kind hold pictures */
bool dt_image_named(const char *name);    /* whether a name ends as that of a JPEG or PNG file */

/* How an image becomes a sample. */
typedef struct dt_image_fit {
  int64_t height, width; /* of the sample */
  int64_t resize;        /* the shorter side before the crop; 0: the largest part of that form fills the sample */
  int channels;          /* 1 or 3 */
} dt_image_fit;

/* Resizes (bilinear, over all pixels that a new one covers) and crops the middle: [channels, height, width]. DT_MEMORY. */
dt_status dt_image_sample(dt_image *image, const dt_image_fit *fit, uint8_t *to);

#endif
