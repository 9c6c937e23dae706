/* Arrays of numbers in files: what the formats npy and npz have in common. An array's first dimension counts the
 * samples; what a sample holds becomes a field. */
#ifndef DT_DATA_ARRAYS_H
#define DT_DATA_ARRAYS_H

#include "data/data.h"
#include "data/formats.h"

typedef enum dt_element_type {
  DT_WHOLE,
  DT_NATURAL,
  DT_REAL,
  DT_TRUTH
} dt_element_type; /* signed, unsigned, floating, 0 or 1 */

enum { DT_ARRAY_DIMS = DT_DIMS + 1 };

/* What a file says of an array. */
typedef struct dt_array_head {
  dt_element_type type;
  int bytes; /* of an element: 1, 2, 4 or 8; reals 2 to 8 */
  bool big_endian, column_major;
  int ndim;
  int64_t dim[DT_ARRAY_DIMS];
} dt_array_head;

/* Elements, and bytes; INT64_MAX where they overflow. */
int64_t dt_array_bytes(const dt_array_head *head);

/* Turns elements as they lie in a file into the values of a dense field, whose shape is a sample's; `last`: the file has
 * channels last. The same memory where nothing changes. DT_DATA naming path and sample for a number that the field cannot hold.
 * Takes elements, after a failure too. Returns new. */
dt_status dt_array_convert(const char *path, const dt_array_head *head, const dt_field *field, bool last, uint8_t *elements,
                           void **out);

/* How arrays are read from one kind of file. */
typedef struct dt_array_file {
  /* The head of an array and, unless NULL, its elements as they lie in the file, in new memory (free). `member` names one of
   * several in the file; "" in a file of one. DT_DATA, DT_IO, DT_MEMORY. */
  dt_status (*read)(const char *path, const char *member, dt_array_head *out, uint8_t **out_elements);
  /* Names of a file's arrays, in the file's order, in one new block (free), each with its end. NULL: a file has one array. */
  dt_status (*list)(const char *path, char **out_names, int *out_count);
} dt_array_file;

/* The options of both formats. */
typedef struct dt_array_attr {
  const char *file; /* that holds all arrays; NULL in a format of one array a file */
  dt_named fields;  /* dt_array_field; none = all of the file, by their names */
} dt_array_attr;

typedef struct dt_array_field {
  const char *array; /* the file, or the name in the file */
  int image, type;
} dt_array_field;

extern const dt_option dt_array_options[];      /* of a format with `file` */
extern const dt_option dt_array_file_options[]; /* of a format of one array a file */
void dt_arrays_declare(const void *attr, dt_fields *out);
dt_status dt_arrays_inspect(const dt_array_file *files, const dt_array_attr *attr, const dt_data_request *request,
                            dt_data_info *out);
dt_status dt_arrays_load(const dt_array_file *files, const dt_array_attr *attr, const dt_data_request *request,
                         dt_dataset **out);

/* The head of NumPy's format from the bytes that a file begins with, and how many they are. DT_DATA. */
enum { DT_NPY_HEAD_MAX = 1 << 16 };
dt_status dt_npy_parse(const char *path, const uint8_t *first, size_t bytes, dt_array_head *out, size_t *out_bytes);

#endif
