#include "gpu/conv_graph.h"

#include "core/config/spec.h"

#define TRY DT_CUDNN_TRY
typedef cudnnBackendDescriptor_t descriptor;

enum { UID_SUM = DT_GPU_UID_BIAS + 1, UID_BIASED }; /* never in memory */

/* --- descriptors --- */

cudnnStatus_t dt_gpu_conv_part(dt_gpu_conv_plan *plan, cudnnBackendDescriptorType_t type, descriptor *out) {
  DT_ASSERT(plan->part_count < DT_GPU_CONV_PARTS);
  TRY(cudnnBackendCreateDescriptor(type, out));
  plan->part[plan->part_count++] = *out;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t dt_gpu_set_int64(descriptor to, cudnnBackendAttributeName_t name, int64_t count, const int64_t *value) {
  TRY(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_INT64, count, value));
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t dt_gpu_set_descriptor(descriptor to, cudnnBackendAttributeName_t name, descriptor value) {
  TRY(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_type(descriptor to, cudnnBackendAttributeName_t name, cudnnDataType_t type) {
  TRY(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_DATA_TYPE, 1, &type));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_float(descriptor to, cudnnBackendAttributeName_t name, float value) {
  TRY(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_FLOAT, 1, &value));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnDataType_t type_of(dt_gpu_type type) {
  static const cudnnDataType_t types[] = {
      [DT_GPU_F32] = CUDNN_DATA_FLOAT, [DT_GPU_BF16] = CUDNN_DATA_BFLOAT16, [DT_GPU_F16] = CUDNN_DATA_HALF};
  return types[type];
}

/* --- tensors --- */

/* A tensor [N, C, H, W] that lies as [N][H][W][C]. */
typedef struct tensor {
  int64_t uid, dim[4];
  cudnnDataType_t type;
  bool virtual_; /* only between two operations of the graph */
} tensor;

static cudnnStatus_t add_tensor(dt_gpu_conv_plan *plan, const tensor *t, descriptor *out) {
  const int64_t alignment = 16;
  const int64_t c = t->dim[1], h = t->dim[2], w = t->dim[3];
  const int64_t stride[4] = {h * w * c, 1, w * c, c};
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &t->uid));
  TRY(set_type(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, t->type));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, t->dim));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_TENSOR_STRIDES, 4, stride));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->virtual_));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

static tensor image_tensor(int64_t uid, const dt_gpu_image *image, cudnnDataType_t type) {
  return (tensor){.uid = uid, .dim = {image->samples, image->channels, image->height, image->width}, .type = type};
}

static tensor weight_tensor(const dt_gpu_conv *conv, cudnnDataType_t type) {
  const int *kernel = conv->window.kernel;
  return (tensor){
      .uid = DT_GPU_UID_W, .dim = {conv->y.channels, conv->x.channels / conv->groups, kernel[0], kernel[1]}, .type = type};
}

/* --- operations --- */

/* The attributes by which the three convolutions differ. */
typedef struct conv_kind {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t window, x, w, y, alpha, beta;
} conv_kind;

#define KIND(long_name, name, x_name, w_name, y_name)                                                                  \
  {                                                                                                                    \
    CUDNN_BACKEND_OPERATION_CONVOLUTION_##long_name##_DESCRIPTOR, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_CONV_DESC, \
        CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_##x_name, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_##w_name,        \
        CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_##y_name, CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_ALPHA,           \
        CUDNN_ATTR_OPERATION_CONVOLUTION_##name##_BETA,                                                                \
  }
static const conv_kind conv_kinds[DT_OP_COUNT] = {
    [DT_OP_CONV_FWD] = KIND(FORWARD, FORWARD, X, W, Y),
    [DT_OP_CONV_DGRAD] = KIND(BACKWARD_DATA, BWD_DATA, DX, W, DY),
    [DT_OP_CONV_WGRAD] = KIND(BACKWARD_FILTER, BWD_FILTER, X, DW, DY),
};

static cudnnStatus_t add_window(dt_gpu_conv_plan *plan, const dt_window *window, descriptor *out) {
  const int64_t axes = 2;
  const int64_t pad[2] = {window->pad[0], window->pad[1]}, stride[2] = {window->stride[0], window->stride[1]};
  const int64_t dilation[2] = {window->dilation[0], window->dilation[1]};
  const cudnnConvolutionMode_t mode = CUDNN_CROSS_CORRELATION;
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
  TRY(set_type(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &axes));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride));
  TRY(dt_gpu_set_int64(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, dilation));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t add_convolution(dt_gpu_conv_plan *plan, descriptor x, descriptor w, descriptor y, descriptor *out) {
  const conv_kind *kind = &conv_kinds[plan->conv.op];
  descriptor window;
  TRY(add_window(plan, &plan->conv.window, &window));
  TRY(dt_gpu_conv_part(plan, kind->type, out));
  TRY(dt_gpu_set_descriptor(*out, kind->window, window));
  TRY(dt_gpu_set_descriptor(*out, kind->x, x));
  TRY(dt_gpu_set_descriptor(*out, kind->w, w));
  TRY(dt_gpu_set_descriptor(*out, kind->y, y));
  TRY(set_float(*out, kind->alpha, 1));
  TRY(set_float(*out, kind->beta, 0));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

/* y = x + b, or y = relu(x) with b NULL */
static cudnnStatus_t add_pointwise(dt_gpu_conv_plan *plan, descriptor x, descriptor b, descriptor y, descriptor *out) {
  const cudnnPointwiseMode_t mode = b != NULL ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
  descriptor kind;
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &kind));
  TRY(cudnnBackendSetAttribute(kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
  TRY(set_type(kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT));
  TRY(cudnnBackendFinalize(kind));
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out));
  TRY(dt_gpu_set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind));
  TRY(dt_gpu_set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
  if (b != NULL) TRY(dt_gpu_set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
  TRY(dt_gpu_set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

/* --- the graph --- */

typedef struct operations {
  descriptor item[3];
  int count;
} operations;

/* The output of a forward convolution's operation number `step`: Y after the last one, else a virtual tensor in float. */
static cudnnStatus_t add_result(dt_gpu_conv_plan *plan, cudnnDataType_t type, int step, int last, descriptor *out) {
  tensor y = image_tensor(DT_GPU_UID_Y, &plan->conv.y, type);
  if (step < last) {
    y.uid = step == 0 ? UID_SUM : UID_BIASED;
    y.type = CUDNN_DATA_FLOAT;
    y.virtual_ = true;
  }
  return add_tensor(plan, &y, out);
}

static cudnnStatus_t add_fused(dt_gpu_conv_plan *plan, cudnnDataType_t type, bool bias, bool relu, operations *ops) {
  int last = bias + relu;
  tensor image = image_tensor(DT_GPU_UID_X, &plan->conv.x, type), weight = weight_tensor(&plan->conv, type);
  descriptor x, w, b, y[3];
  TRY(add_tensor(plan, &image, &x));
  TRY(add_tensor(plan, &weight, &w));
  TRY(add_result(plan, type, 0, last, &y[0]));
  TRY(add_convolution(plan, x, w, y[0], &ops->item[ops->count++]));
  if (bias) {
    tensor vector = {.uid = DT_GPU_UID_BIAS, .dim = {1, plan->conv.y.channels, 1, 1}, .type = type};
    TRY(add_tensor(plan, &vector, &b));
    TRY(add_result(plan, type, 1, last, &y[1]));
    TRY(add_pointwise(plan, y[0], b, y[1], &ops->item[ops->count++]));
  }
  if (relu) {
    TRY(add_result(plan, type, last, last, &y[2]));
    TRY(add_pointwise(plan, bias ? y[1] : y[0], NULL, y[2], &ops->item[ops->count++]));
  }
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t add_backward(dt_gpu_conv_plan *plan, cudnnDataType_t type, operations *ops) {
  tensor x_image = image_tensor(DT_GPU_UID_X, &plan->conv.x, type), y_image = image_tensor(DT_GPU_UID_Y, &plan->conv.y, type);
  tensor weight = weight_tensor(&plan->conv, type);
  descriptor x, w, y;
  TRY(add_tensor(plan, &x_image, &x));
  TRY(add_tensor(plan, &weight, &w));
  TRY(add_tensor(plan, &y_image, &y));
  return add_convolution(plan, x, w, y, &ops->item[ops->count++]);
}

cudnnStatus_t dt_gpu_conv_graph(const dt_gpu *gpu, dt_gpu_conv_plan *plan, descriptor *out) {
  const dt_gpu_conv *conv = &plan->conv;
  const bool fused = plan->base.fused;
  operations ops = {.count = 0};
  if (conv->op == DT_OP_CONV_FWD) {
    TRY(add_fused(plan, type_of(gpu->type), fused && conv->bias, fused && conv->act.kind == DT_ACT_RELU, &ops));
  } else {
    TRY(add_backward(plan, type_of(gpu->type), &ops));
  }
  TRY(dt_gpu_conv_part(plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ops.count, ops.item));
  if (gpu->libraries->cudnn != NULL) {
    TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &gpu->libraries->cudnn));
  }
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}
