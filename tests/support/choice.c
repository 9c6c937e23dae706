#include "support/choice.h"

#include <stdlib.h>
#include <string.h>

dt_choice dt_test_choice(const dt_kind *const *kinds, const char *name) {
  dt_choice choice = {0};
  for (; *kinds != NULL; kinds++) {
    if (strcmp((*kinds)->name, name) == 0) choice.kind = *kinds;
  }
  if (choice.kind != NULL && choice.kind->attr_bytes > 0) choice.attr = calloc(1, choice.kind->attr_bytes);
  return choice;
}

void *dt_test_choice_value(const dt_choice *choice, const char *option) {
  for (const dt_option *row = choice->kind->options; row != NULL && row->name != NULL; row++) {
    if (strcmp(row->name, option) == 0) return (char *)choice->attr + row->offset;
  }
  return NULL;
}

void dt_test_choice_destroy(dt_choice *choice) {
  free(choice->attr);
  *choice = (dt_choice){0};
}
