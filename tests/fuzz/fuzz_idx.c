/* IDX files from arbitrary bytes: the first two say where the images end and the labels begin. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/columns.h"

/* A file in memory and the path under which it can be opened. */
static int make_file(const uint8_t *data, size_t bytes, char *out_path, size_t path_bytes) {
  const int file = memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || write(file, data, bytes) != (ssize_t)bytes) abort();
  snprintf(out_path, path_bytes, "/proc/self/fd/%d", file);
  return file;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes < 2) return 0;
  size_t images_bytes = (size_t)data[0] | (size_t)data[1] << 8;
  data += 2;
  bytes -= 2;
  if (images_bytes > bytes) images_bytes = bytes;
  char images[64], labels[64];
  const int images_file = make_file(data, images_bytes, images, sizeof images);
  const int labels_file = make_file(data + images_bytes, bytes - images_bytes, labels, sizeof labels);
  dt_choice choice = dt_test_choice(dt_format_kinds, "idx");
  *(const char **)dt_test_choice_value(&choice, "images") = images;
  *(const char **)dt_test_choice_value(&choice, "labels") = labels;
  dt_dataset *dataset = NULL;
  dt_error_clear();
  if (dt_dataset_load(&choice, &(dt_data_request){.dir = ""}, &dataset) == DT_OK) {
    /* What was accepted must hold what it says. */
    const int64_t elements = dataset->count * dt_shape_count(&data_field(dataset, "input")->shape);
    volatile uint8_t last = data_pixels(dataset)[elements - 1];
    (void)last;
    if (data_labels(dataset)[dataset->count - 1] > 255) abort();
  } else if (dt_error_text()[0] == '\0') {
    abort();
  }
  dt_dataset_destroy(&dataset);
  dt_test_choice_destroy(&choice);
  close(labels_file);
  close(images_file);
  return 0;
}
