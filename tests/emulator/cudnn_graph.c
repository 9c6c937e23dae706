/* What the emulated cuDNN checks of tensors, operations and graphs, and which graphs it can compute. */
#include <string.h>

#include "cudnn_backend.h"

/* The attributes in which the three directions differ. */
static const struct operation_names {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
} operations[] = {
    [CUDNN_FORWARD] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                       CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
    [CUDNN_BACKWARD_DATA] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                             CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
    [CUDNN_BACKWARD_FILTER] = {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA},
};
enum { DIRECTIONS = sizeof operations / sizeof *operations };

/* A cudnn_direction, DIRECTIONS when the operation is no convolution. */
static int direction_of(const cudnn_descriptor *operation) {
  int direction = 0;
  while (direction < DIRECTIONS && operations[direction].type != operation->type) direction++;
  return direction;
}

cudnnStatus_t cudnn_finalize_tensor(cudnn_descriptor *tensor) {
  const cudnn_attribute *dims = cudnn_find(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS);
  const cudnn_attribute *strides = cudnn_find(tensor, CUDNN_ATTR_TENSOR_STRIDES);
  int64_t alignment = cudnn_int64(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 0);
  CUDNN_NEED(dims && dims->count > 0, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(strides && strides->count == dims->count, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(alignment > 0 && (alignment & (alignment - 1)) == 0, CUDNN_STATUS_BAD_PARAM);
  return CUDNN_STATUS_SUCCESS;
}

/* Whether `name` holds `count` numbers of at least `least`. */
static bool numbers(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int64_t count, int64_t least) {
  const cudnn_attribute *attribute = cudnn_find(descriptor, name);
  if (!attribute || attribute->count < count) return false;
  for (int64_t i = 0; i < count; i++) {
    if (((const int64_t *)attribute->value)[i] < least) return false;
  }
  return true;
}

cudnnStatus_t cudnn_finalize_convolution(cudnn_descriptor *convolution) {
  int64_t count = cudnn_int64(convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0);
  const cudnn_attribute *before = cudnn_find(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const cudnn_attribute *after = cudnn_find(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS);
  CUDNN_NEED(count > 0 && count <= 3, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(numbers(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, count, 1), CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(numbers(convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, count, 1), CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(!before || numbers(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, count, 0), CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(!after || numbers(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, count, 0), CUDNN_STATUS_BAD_PARAM);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnn_finalize_pointwise(cudnn_descriptor *pointwise) {
  CUDNN_NEED(cudnn_find(pointwise, CUDNN_ATTR_POINTWISE_MODE) != NULL, CUDNN_STATUS_BAD_PARAM);
  return CUDNN_STATUS_SUCCESS;
}

static const int64_t *dims_of(const cudnn_descriptor *tensor) {
  return cudnn_find(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS)->value;
}

static bool is_tensor(const cudnn_descriptor *descriptor, int64_t ndim) {
  return descriptor && descriptor->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR &&
         cudnn_find(descriptor, CUDNN_ATTR_TENSOR_DIMENSIONS)->count == ndim;
}

static bool all_positive(const cudnn_descriptor *tensor, int64_t ndim) {
  for (int64_t i = 0; i < ndim; i++) {
    if (dims_of(tensor)[i] < 1) return false;
  }
  return true;
}

static int64_t number_at(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int64_t index) {
  return ((const int64_t *)cudnn_find(descriptor, name)->value)[index];
}

/* Positions of a filter along one spatial dimension. */
static int64_t positions(const cudnn_descriptor *convolution, int64_t axis, int64_t size, int64_t window) {
  int64_t pads = number_at(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis) +
                 number_at(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, axis);
  int64_t span = (window - 1) * number_at(convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, axis) + 1;
  if (size + pads < span) return 0;
  return (size + pads - span) / number_at(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis) + 1;
}

cudnnStatus_t cudnn_finalize_convolution_operation(cudnn_descriptor *operation) {
  const struct operation_names *names = &operations[direction_of(operation)];
  const cudnn_descriptor *convolution = cudnn_refer(operation, names->convolution);
  CUDNN_NEED(convolution && convolution->type == CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  int64_t spatial = cudnn_int64(convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 0);
  const cudnn_descriptor *xd = cudnn_refer(operation, names->x), *wd = cudnn_refer(operation, names->w),
                         *yd = cudnn_refer(operation, names->y);
  CUDNN_NEED(is_tensor(xd, spatial + 2) && is_tensor(wd, spatial + 2) && is_tensor(yd, spatial + 2), CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(all_positive(xd, spatial + 2) && all_positive(wd, spatial + 2) && all_positive(yd, spatial + 2),
             CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(numbers(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, spatial, 0) &&
                 numbers(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, spatial, 0),
             CUDNN_STATUS_BAD_PARAM);
  const int64_t *x = dims_of(xd), *w = dims_of(wd), *y = dims_of(yd);
  CUDNN_NEED(x[0] == y[0], CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(w[0] == y[1], CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(x[1] % w[1] == 0, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(w[0] % (x[1] / w[1]) == 0, CUDNN_STATUS_BAD_PARAM);
  for (int64_t axis = 0; axis < spatial; axis++) {
    CUDNN_NEED(y[2 + axis] == positions(convolution, axis, x[2 + axis], w[2 + axis]), CUDNN_STATUS_BAD_PARAM);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnn_finalize_pointwise_operation(cudnn_descriptor *operation) {
  const cudnn_descriptor *pointwise = cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  CUDNN_NEED(pointwise && pointwise->type == CUDNN_BACKEND_POINTWISE_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_XDESC) != NULL, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC) != NULL, CUDNN_STATUS_BAD_PARAM);
  if (cudnn_enum(pointwise, CUDNN_ATTR_POINTWISE_MODE, 0) < CUDNN_POINTWISE_RELU_FWD) {
    CUDNN_NEED(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC) != NULL, CUDNN_STATUS_BAD_PARAM);
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnn_finalize_graph(cudnn_descriptor *graph) {
  const cudnn_attribute *ops = cudnn_find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  int64_t engines = cudnn_engine_count;
  CUDNN_NEED(ops && ops->count > 0, CUDNN_STATUS_BAD_PARAM);
  return cudnn_put(graph, CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, CUDNN_TYPE_INT64, 1, &engines);
}

/* False for element types that no engine computes with. */
static bool element_of(int type, element_type *out) {
  *out = type == CUDNN_DATA_HALF ? ELEMENT_F16 : type == CUDNN_DATA_BFLOAT16 ? ELEMENT_BF16 : ELEMENT_F32;
  return type == CUDNN_DATA_FLOAT || type == CUDNN_DATA_HALF || type == CUDNN_DATA_BFLOAT16;
}

/* False for a tensor that is not four-dimensional with its channels side by side. */
static bool read_tensor(const cudnn_descriptor *descriptor, cudnn_tensor *out) {
  const cudnn_attribute *virtual = cudnn_find(descriptor, CUDNN_ATTR_TENSOR_IS_VIRTUAL);
  if (!is_tensor(descriptor, 4)) return false;
  out->uid = cudnn_int64(descriptor, CUDNN_ATTR_TENSOR_UNIQUE_ID, 0);
  out->alignment = cudnn_int64(descriptor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1);
  out->is_virtual = virtual && virtual->count > 0 && *(const char *)virtual->value;
  memcpy(out->dim, dims_of(descriptor), sizeof out->dim);
  memcpy(out->stride, cudnn_find(descriptor, CUDNN_ATTR_TENSOR_STRIDES)->value, sizeof out->stride);
  return element_of(cudnn_enum(descriptor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT), &out->type) &&
         (out->stride[1] == 1 || out->dim[1] == 1);
}

static bool read_convolution(const cudnn_descriptor *operation, cudnn_problem *out) {
  const struct operation_names *names = &operations[direction_of(operation)];
  const cudnn_descriptor *convolution = cudnn_refer(operation, names->convolution);
  out->direction = direction_of(operation);
  out->alpha = (float)cudnn_real(operation, names->alpha, 1);
  out->beta = (float)cudnn_real(operation, names->beta, 0);
  out->flipped = cudnn_enum(convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CONVOLUTION) == CUDNN_CONVOLUTION;
  if (!read_tensor(cudnn_refer(operation, names->x), &out->x) || !read_tensor(cudnn_refer(operation, names->w), &out->w) ||
      !read_tensor(cudnn_refer(operation, names->y), &out->y)) {
    return false;
  }
  out->groups = out->x.dim[1] / out->w.dim[1];
  for (int axis = 0; axis < 2; axis++) {
    out->stride[axis] = number_at(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, axis);
    out->pad[axis] = number_at(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, axis);
    out->dilation[axis] = number_at(convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, axis);
  }
  return cudnn_enum(convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT) == CUDNN_DATA_FLOAT;
}

/* The pointwise operation that reads tensor `of`, NULL when there is none. */
static const cudnn_descriptor *consumer(const cudnn_attribute *ops, const cudnn_descriptor *of) {
  for (int64_t i = 0; i < ops->count; i++) {
    const cudnn_descriptor *op = ((cudnn_descriptor **)ops->value)[i];
    if (op->type == CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR &&
        cudnn_refer(op, CUDNN_ATTR_OPERATION_POINTWISE_XDESC) == of) {
      return op;
    }
  }
  return NULL;
}

static int mode_of(const cudnn_descriptor *operation) {
  return cudnn_enum(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR), CUDNN_ATTR_POINTWISE_MODE, -1);
}

/* Takes in the operation that follows, into y; the tensor between must be virtual and of y's size. */
static bool read_next(const cudnn_descriptor *operation, cudnn_problem *out) {
  cudnn_tensor y;
  if (!out->y.is_virtual || !read_tensor(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_YDESC), &y) ||
      memcmp(y.dim, out->y.dim, sizeof y.dim) != 0 || cudnn_real(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA1, 1) != 1 ||
      cudnn_real(operation, CUDNN_ATTR_OPERATION_POINTWISE_ALPHA2, 1) != 1) {
    return false;
  }
  out->y = y;
  return true;
}

static bool read_bias(const cudnn_descriptor *operation, cudnn_problem *out) {
  const int64_t expected[4] = {1, out->y.dim[1], 1, 1};
  out->has_bias = true;
  out->between[0] = out->y.type;
  return mode_of(operation) == CUDNN_POINTWISE_ADD &&
         read_tensor(cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_BDESC), &out->bias) &&
         memcmp(out->bias.dim, expected, sizeof expected) == 0 && read_next(operation, out);
}

static bool read_relu(const cudnn_descriptor *operation, cudnn_problem *out) {
  const cudnn_descriptor *relu = cudnn_refer(operation, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR);
  out->has_relu = true;
  out->between[1] = out->y.type;
  return mode_of(operation) == CUDNN_POINTWISE_RELU_FWD && read_next(operation, out) &&
         cudnn_real(relu, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP, 0) == 0 &&
         cudnn_real(relu, CUDNN_ATTR_POINTWISE_RELU_UPPER_CLIP, 3e38) >= 1e38 &&
         cudnn_real(relu, CUDNN_ATTR_POINTWISE_RELU_LOWER_CLIP_SLOPE, 0) == 0;
}

/* A convolution alone, or forward with bias, or with bias and relu. Relu without bias is refused, as by cuDNN's engines that
 * are not compiled at run time. */
bool cudnn_understand(const cudnn_descriptor *graph, cudnn_problem *out) {
  const cudnn_attribute *ops = cudnn_find(graph, CUDNN_ATTR_OPERATIONGRAPH_OPS);
  const cudnn_descriptor *first = NULL, *bias, *relu;
  int64_t understood = 1;
  *out = (cudnn_problem){0};
  for (int64_t i = 0; i < ops->count && !first; i++) {
    const cudnn_descriptor *op = ((cudnn_descriptor **)ops->value)[i];
    if (direction_of(op) != DIRECTIONS) first = op;
  }
  if (!first || !read_convolution(first, out)) return false;
  if (out->direction == CUDNN_FORWARD && ops->count > 1 && out->beta == 0) {
    bias = consumer(ops, cudnn_refer(first, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y));
    if (!bias || !read_bias(bias, out)) return false;
    understood++;
    relu = consumer(ops, cudnn_refer(bias, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
    if (relu && !read_relu(relu, out)) return false;
    understood += relu != NULL;
  }
  return understood == ops->count && !out->y.is_virtual && !out->x.is_virtual && !out->w.is_virtual && !out->bias.is_virtual;
}

int64_t cudnn_tensor_bytes(const cudnn_tensor *tensor) {
  int64_t last = 0;
  for (int i = 0; i < 4; i++) last += (tensor->dim[i] - 1) * tensor->stride[i];
  return (last + 1) * element_bytes(tensor->type);
}

const cudnn_tensor *cudnn_output(const cudnn_problem *problem) {
  switch (problem->direction) {
    case CUDNN_FORWARD:
      return &problem->y;
    case CUDNN_BACKWARD_DATA:
      return &problem->x;
    case CUDNN_BACKWARD_FILTER:
      return &problem->w;
  }
  return NULL;
}
