/* Tables from arbitrary bytes: the first says how they are read. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "data/data.h"
#include "support/choice.h"
#include "support/columns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* What was accepted holds what it says. */
static void check(const dt_dataset *set) {
  const float *input = data_values(set, "input"), *target = data_values(set, "target");
  const int64_t elements = set->count * dt_shape_count(&data_field(set, "input")->shape);
  if (set->count < 1) abort();
  for (int64_t i = 0; i < elements; i++) {
    if (!isfinite(input[i]) && !set->data[0].has_missing) abort();
  }
  for (int64_t i = 0; i < set->count; i++) {
    if (data_labels(set) != NULL && data_labels(set)[i] < 0) abort();
    if (target != NULL && !isfinite(target[i])) abort();
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
  static const char *column[] = {"1"}, *words[] = {"a", "b"};
  if (bytes < 1) return 0;
  const int how = data[0];
  char path[64];
  const int file = memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || write(file, data + 1, bytes - 1) != (ssize_t)(bytes - 1)) abort();
  snprintf(path, sizeof path, "/proc/self/fd/%d", file);
  const char *files[] = {path};
  dt_choice choice = dt_test_choice(dt_format_kinds, "csv");
  *(dt_strings *)dt_test_choice_value(&choice, "files") = (dt_strings){files, 1};
  *(const char **)dt_test_choice_value(&choice, "label") = how & 1 ? "2" : "";
  *(const char **)dt_test_choice_value(&choice, "weight") = how & 128 ? "3" : "";
  *(dt_strings *)dt_test_choice_value(&choice, "target") = (dt_strings){column, how & 2 ? 1 : 0};
  *(double *)dt_test_choice_value(&choice, "target_scale") = 1;
  *(int *)dt_test_choice_value(&choice, "missing") = (how >> 2) % 3;
  *(int *)dt_test_choice_value(&choice, "header") = (how >> 4) % 3;
  dt_dataset *set = NULL;
  dt_error_clear();
  const dt_data_request request = {.dir = "", .classes = {words, how & 64 ? 2 : 0}};
  if (dt_dataset_load(&choice, &request, &set) == DT_OK) {
    check(set);
  } else if (dt_error_text()[0] == '\0' || strchr(dt_error_text(), '\n') != NULL) {
    abort();
  }
  dt_dataset_destroy(&set);
  dt_test_choice_destroy(&choice);
  close(file);
  return 0;
}
