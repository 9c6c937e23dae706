/* Images for tests: pixels of a formula, and files of them. */
#ifndef DT_TESTS_SUPPORT_PICTURES_H
#define DT_TESTS_SUPPORT_PICTURES_H

#include <stdint.h>

#include "data/image.h"

/* An image of the formula of tests/oracles/make_images.py. Its pixels are new. */
dt_image dt_test_picture(int64_t width, int64_t height, int channels);
/* A smooth one, which JPEG keeps nearly as it is; another for each seed. */
dt_image dt_test_smooth_picture(int64_t width, int64_t height, int channels, unsigned seed);
/* Files in new memory (free). JPEG of quality 95 without subsampling; orientation 1 to 8 adds EXIF, 0 none. */
enum { DT_TEST_BASELINE, DT_TEST_PROGRESSIVE, DT_TEST_SCANS }; /* the last: baseline, a scan for each of 3 channels */
uint8_t *dt_test_jpeg(const dt_image *image, int form, int orientation, size_t *out_bytes);
uint8_t *dt_test_png(const dt_image *image, size_t *out_bytes);
/* A PNG of raw rows, each behind its filter byte, of any colour type and depth; plte and trns may be NULL. */
uint8_t *dt_test_png_raw(uint32_t width, uint32_t height, int colour_type, int depth, const uint8_t *rows, size_t row_bytes,
                         const uint8_t *plte, size_t plte_bytes, size_t *out_bytes);

#endif
