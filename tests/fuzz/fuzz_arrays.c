/* Arrays of NumPy from arbitrary bytes: alone, and as zip files. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/arrays.h"
#include "support/choice.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Every byte that is promised can be read. */
static void check(const dt_dataset *set) {
  volatile uint8_t sum = 0;
  if (set->count < 1 || set->fields.count < 1) abort();
  for (int f = 0; f < set->fields.count; f++) {
    const size_t size = (size_t)set->count * dt_field_part_bytes(&set->fields.field[f], DT_PART_VALUES, 1);
    for (size_t i = 0; i < size; i++) sum = (uint8_t)(sum + ((const uint8_t *)set->data[f].values)[i]);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  if (bytes < 1) return 0;
  char path[64];
  const int file = memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || write(file, data + 1, bytes - 1) != (ssize_t)(bytes - 1)) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  const bool zip = data[0] & 1;
  dt_array_field field = {.array = path, .image = data[0] >> 1 & 3, .type = data[0] >> 3 & 3};
  if (field.image > 2) field.image = 0;
  const char *names[] = {"input"};
  dt_choice items[] = {{.attr = &field}};
  dt_choice choice = dt_test_choice(dt_format_kinds, zip ? "npz" : "npy");
  if (zip) *(const char **)dt_test_choice_value(&choice, "file") = path;
  if (!zip) *(dt_named *)dt_test_choice_value(&choice, "fields") = (dt_named){names, items, 1};
  dt_dataset *set = NULL;
  dt_error_clear();
  if (dt_dataset_load(&choice, &(dt_data_request){.dir = ""}, &set) == DT_OK) {
    check(set);
  } else if (dt_error_text()[0] == '\0' || strchr(dt_error_text(), '\n') != NULL) {
    abort();
  }
  dt_dataset_destroy(&set);
  dt_test_choice_destroy(&choice);
  close(file);
  return 0;
}
