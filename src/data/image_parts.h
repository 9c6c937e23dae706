/* What image.c is put together from. */
#ifndef DT_DATA_IMAGE_PARTS_H
#define DT_DATA_IMAGE_PARTS_H

#include "data/image.h"

/* As dt_image_decode, not turned; *orientation is EXIF's, 1 to 8. */
dt_status dt_jpeg_decode(const uint8_t *bytes, size_t count, dt_image *out, int *orientation, char why[DT_IMAGE_WHY]);
dt_status dt_png_decode(const uint8_t *bytes, size_t count, dt_image *out, int *orientation, char why[DT_IMAGE_WHY]);
/* Room for the pixels, where the file of `count` bytes may claim them; DT_DATA with the cause in why. */
dt_status dt_image_room(dt_image *image, size_t count, const char *kind, char why[DT_IMAGE_WHY]);

/* Orientation in an EXIF block, which begins with its TIFF header; 1 where it says none, or nonsense. */
int dt_exif_orientation(const uint8_t *block, size_t count);
/* The image as it is to be seen. DT_MEMORY. */
dt_status dt_image_turn(dt_image *image, int orientation);

#endif
