/* JPEG and PNG files from arbitrary bytes: what is taken has the pixels that it says, and makes a sample of any form. */
#include <stdlib.h>

#include "data/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static const dt_image_fit fits[] = {{.height = 5, .width = 7, .channels = 3},
                                      {.height = 9, .width = 4, .resize = 9, .channels = 1}};
  uint8_t sample[3 * 9 * 7];
  char why[DT_IMAGE_WHY] = "";
  dt_image image;
  dt_error_clear();
  const dt_status status = dt_image_decode(data, bytes, &image, why);
  if (status != DT_OK) {
    if (status == DT_DATA && why[0] == '\0') abort();
    return 0;
  }
  const size_t count = (size_t)(image.width * image.height * image.channels);
  volatile uint8_t last = image.pixels[count - 1];
  (void)last;
  if (image.width > 4096 || image.height > 4096) { /* slow under sanitizers, and nothing new */
    dt_image_destroy(&image);
    return 0;
  }
  if (dt_image_sample(&image, &fits[bytes % 2], sample) != DT_OK) abort();
  dt_image_destroy(&image);
  return 0;
}
