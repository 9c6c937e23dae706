/* Images side by side in one PNG file. */
#ifndef DT_REPORT_CONTACT_SHEET_H
#define DT_REPORT_CONTACT_SHEET_H

#include <stdint.h>

#include "core/tensor.h"

typedef struct dt_contact_sheet {
  dt_shape shape;        /* of an image: [C, H, W]; three channels are colour, else the first is shown in grey */
  int64_t rows, columns; /* images */
  int64_t scale;         /* a pixel is a square of so many, so that small images can be seen */
  int64_t width, height; /* of the sheet in pixels */
  uint8_t *pixels;       /* [height][width][3] */
} dt_contact_sheet;

/* An empty sheet. DT_MEMORY. */
dt_status dt_contact_sheet_create(const dt_shape *shape, int64_t rows, int64_t columns, dt_contact_sheet *out);
/* Puts an image [C, H, W] of bytes at its place. */
void dt_contact_sheet_put(dt_contact_sheet *sheet, int64_t row, int64_t column, const uint8_t *image);
/* DT_IO naming the file. */
dt_status dt_contact_sheet_write(const dt_contact_sheet *sheet, const char *path);
void dt_contact_sheet_destroy(dt_contact_sheet *sheet);

#endif
