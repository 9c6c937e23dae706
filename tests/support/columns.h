/* What a data set holds under a name: for tests that know which fields there are. */
#ifndef DT_TESTS_SUPPORT_COLUMNS_H
#define DT_TESTS_SUPPORT_COLUMNS_H

#include "data/data.h"

/* Of no field of that name NULL. */
static inline const dt_field *data_field(const dt_dataset *dataset, const char *name) {
  const int f = dt_dataset_find(dataset, name);
  return f >= 0 ? &dataset->fields.field[f] : NULL;
}

static inline const void *data_values(const dt_dataset *dataset, const char *name) {
  const int f = dt_dataset_find(dataset, name);
  return f >= 0 ? dataset->data[f].values : NULL;
}

static inline const uint8_t *data_pixels(const dt_dataset *dataset) {
  return (const uint8_t *)data_values(dataset, "input");
}

static inline const int32_t *data_labels(const dt_dataset *dataset) {
  return (const int32_t *)data_values(dataset, "label");
}

#endif
