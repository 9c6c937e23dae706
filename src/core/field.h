/* Fields: a sample is a row of named fields, from the data format to the kernel that reads it. */
#ifndef DT_CORE_FIELD_H
#define DT_CORE_FIELD_H

#include "core/tensor.h"

enum { DT_FIELDS_MAX = 16, DT_FIELD_NAME = 64 };

typedef enum dt_field_layout {
  DT_FIELD_DENSE,  /* every sample has the same shape */
  DT_FIELD_RAGGED, /* a sequence: dim[0] is time, and each sample has a length of its own, dim[0] at most */
  DT_FIELD_SPARSE, /* a row of dim[0] columns, of which a sample names those that are not zero (CSR) */
} dt_field_layout;

/* One field of a sample. */
typedef struct dt_field {
  char name[DT_FIELD_NAME];
  dt_dtype dtype; /* DT_U8, DT_I32 or DT_F32 */
  dt_shape shape; /* of one sample, ndim 0 for one number; RAGGED: of the longest sequence; SPARSE: [columns] */
  dt_field_layout layout;
  int64_t entries; /* SPARSE: the most that a sample names */
  int64_t limit;   /* of a field that a network needs: its numbers lie in [0, limit); 0 = any do */
  int mixes;       /* of one that the loader makes of the classes in field mixes - 1, as data.mix says; 0 = it is in the data */
} dt_field;

typedef struct dt_fields {
  dt_field field[DT_FIELDS_MAX];
  int count;
} dt_fields;

/* Index of the field of that name; -1 when there is none. */
int dt_field_find(const dt_field *field, int count, const char *name);
/* Whether geometric augmentation can move it: bytes [C, H, W]. */
bool dt_field_is_image(const dt_field *field);

/* The arrays that a field consists of in a batch, for a shard of `slots` sample positions. A field has the parts of its layout.
 */
typedef enum dt_field_part {
  DT_PART_VALUES,  /* DENSE, RAGGED: [slots][shape], zeros beyond a sequence's length; SPARSE: [slots * entries] */
  DT_PART_LENGTHS, /* RAGGED: int32 [slots], 0 in empty positions */
  DT_PART_OFFSETS, /* SPARSE: int32 [slots + 1], sample i has the entries [offset[i], offset[i + 1]) of its shard's */
  DT_PART_COLUMNS, /* SPARSE: int32 [slots * entries], the column of each entry, ascending within a sample */
  DT_FIELD_PARTS
} dt_field_part;

/* Elements of a part for a shard of so many places, INT64_MAX where they overflow; 0 where the field has no such part. */
int64_t dt_field_part_count(const dt_field *field, dt_field_part part, int64_t slots);
dt_dtype dt_field_part_dtype(const dt_field *field, dt_field_part part);
/* Bytes likewise; SIZE_MAX where they overflow. */
size_t dt_field_part_bytes(const dt_field *field, dt_field_part part, int64_t slots);

#endif
