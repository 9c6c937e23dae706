/* The options of the format csv. */
#ifndef DT_DATA_CSV_ATTR_H
#define DT_DATA_CSV_ATTR_H

#include "data/data.h"
#include "data/formats.h"
#include "data/source.h"
#include "data/table.h"

enum { CSV_AUTO, CSV_YES, CSV_NO };    /* header */
enum { CSV_POINT, CSV_COMMA };         /* decimal */
enum { CSV_FAIL, CSV_SKIP, CSV_MEAN }; /* missing */
extern const char dt_csv_points[];     /* of each value of `decimal` */
extern const char dt_csv_separators[]; /* of each value of `separator`; '\0' = to be found */
extern const dt_option dt_csv_options[];

/* What stands for no value where the config does not say. */
#define DT_CSV_MARKS "?", "NA", "N/A", "nan", "NaN", "NULL", "null"

typedef struct csv_attr {
  dt_strings files;
  int separator, header, decimal, missing;
  const char *label, *weight;
  dt_strings target, columns, ignore, missing_marks;
  dt_others categories; /* dt_strings, by the column's name */
  double target_scale;
} csv_attr;

/* dt_kind.check. */
dt_status dt_csv_check(const void *attr);

#endif
