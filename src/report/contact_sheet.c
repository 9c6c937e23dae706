#include "report/contact_sheet.h"

#include <errno.h>
#include <spng.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { GAP = 4, BACKGROUND = 255, SHOWN_SIDE = 64, COLOURS = 3 };

dt_status dt_contact_sheet_create(const dt_shape *shape, int64_t rows, int64_t columns, dt_contact_sheet *out) {
  const int64_t longer = shape->dim[1] > shape->dim[2] ? shape->dim[1] : shape->dim[2];
  const int64_t scale = longer < SHOWN_SIDE ? SHOWN_SIDE / longer : 1;
  *out = (dt_contact_sheet){.shape = *shape,
                            .rows = rows,
                            .columns = columns,
                            .scale = scale,
                            .width = GAP + columns * (scale * shape->dim[2] + GAP),
                            .height = GAP + rows * (scale * shape->dim[1] + GAP)};
  DT_TRY(dt_alloc((size_t)dt_count_multiply(out->width, out->height), COLOURS, &out->pixels));
  memset(out->pixels, BACKGROUND, (size_t)(out->width * out->height) * COLOURS);
  return DT_OK;
}

void dt_contact_sheet_put(dt_contact_sheet *sheet, int64_t row, int64_t column, const uint8_t *image) {
  const int64_t height = sheet->shape.dim[1], width = sheet->shape.dim[2], scale = sheet->scale;
  const int64_t top = GAP + row * (scale * height + GAP), left = GAP + column * (scale * width + GAP);
  for (int64_t y = 0; y < scale * height; y++) {
    uint8_t *to = sheet->pixels + ((top + y) * sheet->width + left) * COLOURS;
    for (int64_t x = 0; x < scale * width; x++) {
      const uint8_t *from = image + y / scale * width + x / scale;
      for (int c = 0; c < COLOURS; c++) to[COLOURS * x + c] = from[sheet->shape.dim[0] == COLOURS ? c * height * width : 0];
    }
  }
}

static dt_status encode(const dt_contact_sheet *sheet, FILE *file, const char *path) {
  spng_ctx *png = spng_ctx_new(SPNG_CTX_ENCODER);
  DT_REQUIRE(png != NULL, DT_MEMORY, "could not allocate a PNG encoder");
  struct spng_ihdr header = {.width = (uint32_t)sheet->width,
                             .height = (uint32_t)sheet->height,
                             .bit_depth = 8,
                             .color_type = SPNG_COLOR_TYPE_TRUECOLOR};
  int code = spng_set_png_file(png, file);
  if (code == 0) code = spng_set_ihdr(png, &header);
  if (code == 0)
    code = spng_encode_image(png, sheet->pixels, (size_t)(sheet->width * sheet->height) * COLOURS, SPNG_FMT_PNG,
                             SPNG_ENCODE_FINALIZE);
  spng_ctx_free(png);
  DT_REQUIRE(code == 0, DT_IO, "%s: could not be written as PNG: %s", path, spng_strerror(code));
  return DT_OK;
}

/* A device or pipe that was named is not ours to remove, whoever may. */
static bool is_plain(FILE *file) {
  struct stat about;
  return fstat(fileno(file), &about) == 0 && S_ISREG(about.st_mode);
}

dt_status dt_contact_sheet_write(const dt_contact_sheet *sheet, const char *path) {
  FILE *file = fopen(path, "wb");
  DT_REQUIRE(file != NULL, DT_IO, "%s: could not be made: %s", path, strerror(errno));
  const bool plain = is_plain(file);
  dt_status status = encode(sheet, file, path);
  if (fclose(file) != 0 && status == DT_OK)
    status = dt_error_set(DT_IO, __FILE__, __LINE__, "%s: could not be written: %s", path, strerror(errno));
  if (status != DT_OK && plain) remove(path);
  return status;
}

void dt_contact_sheet_destroy(dt_contact_sheet *sheet) {
  free(sheet->pixels);
  sheet->pixels = NULL;
}
