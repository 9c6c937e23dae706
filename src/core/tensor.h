/* Shapes and element types. Shapes are per sample: the batch is not a dimension of the program. */
#ifndef DT_CORE_TENSOR_H
#define DT_CORE_TENSOR_H

#include <stdint.h>

#include "core/status.h"

enum { DT_DIMS = 6 };

typedef enum dt_dtype { DT_F32, DT_F64, DT_U8, DT_I32, DT_I64 } dt_dtype;

/* [C, H, W] of an image, [D] of a vector, [O, I, KH, KW] of convolution weights, [O, I] of linear weights: PyTorch's order. */
typedef struct dt_shape {
  int ndim;
  int64_t dim[DT_DIMS];
} dt_shape;

/* Product and sum of counts; INT64_MAX where they would overflow. */
int64_t dt_count_multiply(int64_t a, int64_t b);
int64_t dt_count_add(int64_t a, int64_t b);
int64_t dt_shape_count(const dt_shape *shape); /* product; 1 for ndim 0; INT64_MAX where it would overflow */
/* A value as kernels see it, [channels][inner]: the first dimension, and the elements of one channel, whatever their
 * dimensions. A vector [D] has D channels of one element, a single number one of one. */
int64_t dt_shape_channels(const dt_shape *shape);
int64_t dt_shape_inner(const dt_shape *shape); /* INT64_MAX where it would overflow */
bool dt_shape_equal(const dt_shape *a, const dt_shape *b);
/* "[32, 28, 28]" into text, which holds DT_SHAPE_TEXT bytes; returns text. */
enum { DT_SHAPE_TEXT = 144 };
const char *dt_shape_text(const dt_shape *shape, char *text);
size_t dt_dtype_bytes(dt_dtype dtype);
const char *dt_dtype_name(dt_dtype dtype); /* as in safetensors: "F32", "F64", "U8", "I32", "I64" */

/* A named piece of a flat block, for checkpoints, export and tests. */
typedef struct dt_tensor_ref {
  const char *name;
  dt_dtype dtype;
  dt_shape shape;
  void *data;
} dt_tensor_ref;

#endif
