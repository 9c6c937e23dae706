/* The contract of a data format: a file each in data/, and a row of dt_format_kinds (core/config/kinds.h). */
#ifndef DT_CORE_FORMAT_H
#define DT_CORE_FORMAT_H

#include "core/config/kinds.h"
#include "core/field.h"

typedef struct dt_dataset dt_dataset; /* data/data.h */

/* Stands for a shape that only the files tell; and, in dt_field.limit of what a format declares, for a type that is a guess. */
enum { DT_NDIM_UNKNOWN = -1, DT_DTYPE_GUESSED = -1 };

/* Stands for the total of a field whose samples are read when they are needed, and do not lie in memory. */
enum { DT_TOTAL_STORED = -1 };

/* What a format says of a data set before it reads the samples. */
typedef struct dt_data_info {
  dt_fields fields;
  int64_t count; /* samples; -1 where only reading everything would tell */
  /* RAGGED: steps of time of all samples, SPARSE: entries of all samples, DENSE: 0; or DT_TOTAL_STORED */
  int64_t total[DT_FIELDS_MAX];
} dt_data_info;

/* What of a config's `data` every format uses. */
typedef struct dt_data_request {
  const char *dir;    /* data.dir; formats see it with variables expanded, "" when absent */
  dt_strings classes; /* data.classes: the name of each label, for files that write names */
} dt_data_request;

/* A format: attr is the kind's struct. */
typedef struct dt_format {
  /* The fields as far as the options alone tell them: shapes that only the files know have DT_NDIM_UNKNOWN. Opens no file. */
  void (*declare)(const void *attr, dt_fields *out);
  /* Fields and number of samples, without keeping any; `whole`: also where that takes reading everything. DT_DATA, DT_IO. */
  dt_status (*inspect)(const void *attr, const dt_data_request *request, bool whole, dt_data_info *out);
  /* Reads the samples; source and samples are filled in, the hash is not. DT_DATA, DT_MEMORY, DT_IO. Returns new. */
  dt_status (*load)(const void *attr, const dt_data_request *request, dt_dataset **out);
} dt_format;

/* The field of that name among those that a data set's format declares, put into `all`; NULL where it declares none, or there
 * is no data set. */
static inline const dt_field *dt_format_declared(const dt_choice *data, const char *name, dt_fields *all) {
  all->count = 0;
  if (data->kind != NULL) ((const dt_format *)data->kind->impl)->declare(data->attr, all);
  const int f = dt_field_find(all->field, all->count, name);
  return f >= 0 ? &all->field[f] : NULL;
}

#endif
