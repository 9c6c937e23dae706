/* The hyper-parameters of an optimizer: the learning rate, then the rows of its options that are scheduled. */
#include <stdio.h>
#include <string.h>

#include "core/optim/optimizer.h"

static const dt_option lr = {.name = "lr", .type = DT_OPT_REAL, .min = 0, .max = 1e6, .scheduled = true};

/* Where the hyper-parameter behind `option` is; option NULL: the first behind the learning rate. NULL at the end. */
static const dt_option *next(const dt_kind *optimizer, const dt_option *option) {
  option = option == NULL ? optimizer->options : option + 1;
  while (option != NULL && option->name != NULL && !option->scheduled) option++;
  return option != NULL && option->name != NULL ? option : NULL;
}

const dt_option *dt_hyper_get(const dt_kind *optimizer, int index) {
  const dt_option *option = NULL;
  if (index == DT_HYPER_LR) return &lr;
  for (int i = 0; i < index; i++) option = next(optimizer, option);
  return option;
}

int dt_hyper_count(const dt_kind *optimizer) {
  int count = 1;
  for (const dt_option *option = next(optimizer, NULL); option != NULL; option = next(optimizer, option)) count++;
  DT_ASSERT(count <= DT_HYPER_MAX);
  return count;
}

const dt_option *dt_hyper_find(const dt_kind *optimizer, const char *name) {
  for (int i = 0; i < dt_hyper_count(optimizer); i++) {
    const dt_option *option = dt_hyper_get(optimizer, i);
    if (strcmp(option->name, name) == 0) return option;
  }
  return NULL;
}

const char *dt_hyper_names(const dt_kind *optimizer, char *text, size_t bytes) {
  text[0] = '\0';
  for (int i = 0; i < dt_hyper_count(optimizer); i++) {
    size_t used = strlen(text);
    snprintf(text + used, bytes - used, "%s%s", i == 0 ? "" : ", ", dt_hyper_get(optimizer, i)->name);
  }
  return text;
}
