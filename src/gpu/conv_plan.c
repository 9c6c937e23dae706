/* A convolution as a graph of cuDNN's backend: the operation, and after a forward one bias and relu where an engine takes all
 * of it at once.
 *
 * The choice among engines is pinned: the lists of cuDNN's heuristics A, B and fallback in their order, and in them the first
 * configuration that finalizes, sums in a fixed order, keeps to the precision asked for and needs no compiler at run time. The
 * same code makes plans for a device and for a model of one (libraries.c). */
#include "gpu/conv_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/spec.h"

typedef cudnnBackendDescriptor_t descriptor;

enum { UID_X = 1, UID_W, UID_Y, UID_BIAS, UID_SUM, UID_BIASED }; /* the last two are never in memory */
enum { NOTES_MAX = 16, CONFIGS_MAX = 256, KNOBS_MAX = 32 };
static const int64_t workspace_max = INT64_C(1) << 30; /* engines that want more are passed over */

/* Building a graph hands cuDNN's code on: some say that cuDNN has nothing for such a convolution, which is no error. */
#define TRY(call)                                            \
  do {                                                       \
    cudnnStatus_t try_code_ = (call);                        \
    if (try_code_ != CUDNN_STATUS_SUCCESS) return try_code_; \
  } while (0)

static bool is_refusal(cudnnStatus_t code) {
  return code / 1000 == CUDNN_STATUS_BAD_PARAM / 1000 || code / 1000 == CUDNN_STATUS_NOT_SUPPORTED / 1000;
}

/* --- descriptors --- */

static cudnnStatus_t create(dt_gpu_conv_plan *plan, cudnnBackendDescriptorType_t type, descriptor *out) {
  DT_ASSERT(plan->part_count < DT_GPU_CONV_PARTS);
  TRY(cudnnBackendCreateDescriptor(type, out));
  plan->part[plan->part_count++] = *out;
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_int64(descriptor to, cudnnBackendAttributeName_t name, int64_t count, const int64_t *value) {
  TRY(cudnnBackendSetAttribute(to, name, CUDNN_TYPE_INT64, count, value));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t set_descriptor(descriptor to, cudnnBackendAttributeName_t name, descriptor value) {
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
  TRY(create(plan, CUDNN_BACKEND_TENSOR_DESCRIPTOR, out));
  TRY(set_int64(*out, CUDNN_ATTR_TENSOR_UNIQUE_ID, 1, &t->uid));
  TRY(set_type(*out, CUDNN_ATTR_TENSOR_DATA_TYPE, t->type));
  TRY(set_int64(*out, CUDNN_ATTR_TENSOR_DIMENSIONS, 4, t->dim));
  TRY(set_int64(*out, CUDNN_ATTR_TENSOR_STRIDES, 4, stride));
  TRY(set_int64(*out, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, 1, &alignment));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &t->virtual_));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

static tensor image_tensor(int64_t uid, const dt_gpu_image *image, cudnnDataType_t type) {
  return (tensor){.uid = uid, .dim = {image->samples, image->channels, image->height, image->width}, .type = type};
}

static tensor weight_tensor(const dt_gpu_conv *conv, cudnnDataType_t type) {
  const int *kernel = conv->window.kernel;
  return (tensor){.uid = UID_W, .dim = {conv->y.channels, conv->x.channels / conv->groups, kernel[0], kernel[1]}, .type = type};
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
  TRY(create(plan, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, out));
  TRY(set_type(*out, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, 1, &mode));
  TRY(set_int64(*out, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, 1, &axes));
  TRY(set_int64(*out, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 2, pad));
  TRY(set_int64(*out, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 2, pad));
  TRY(set_int64(*out, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 2, stride));
  TRY(set_int64(*out, CUDNN_ATTR_CONVOLUTION_DILATIONS, 2, dilation));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t add_convolution(dt_gpu_conv_plan *plan, descriptor x, descriptor w, descriptor y, descriptor *out) {
  const conv_kind *kind = &conv_kinds[plan->conv.op];
  descriptor window;
  TRY(add_window(plan, &plan->conv.window, &window));
  TRY(create(plan, kind->type, out));
  TRY(set_descriptor(*out, kind->window, window));
  TRY(set_descriptor(*out, kind->x, x));
  TRY(set_descriptor(*out, kind->w, w));
  TRY(set_descriptor(*out, kind->y, y));
  TRY(set_float(*out, kind->alpha, 1));
  TRY(set_float(*out, kind->beta, 0));
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

/* y = x + b, or y = relu(x) with b NULL */
static cudnnStatus_t add_pointwise(dt_gpu_conv_plan *plan, descriptor x, descriptor b, descriptor y, descriptor *out) {
  const cudnnPointwiseMode_t mode = b != NULL ? CUDNN_POINTWISE_ADD : CUDNN_POINTWISE_RELU_FWD;
  descriptor kind;
  TRY(create(plan, CUDNN_BACKEND_POINTWISE_DESCRIPTOR, &kind));
  TRY(cudnnBackendSetAttribute(kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode));
  TRY(set_type(kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_DATA_FLOAT));
  TRY(cudnnBackendFinalize(kind));
  TRY(create(plan, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, out));
  TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind));
  TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x));
  if (b != NULL) TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, b));
  TRY(set_descriptor(*out, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y));
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
  tensor y = image_tensor(UID_Y, &plan->conv.y, type);
  if (step < last) {
    y.uid = step == 0 ? UID_SUM : UID_BIASED;
    y.type = CUDNN_DATA_FLOAT;
    y.virtual_ = true;
  }
  return add_tensor(plan, &y, out);
}

static cudnnStatus_t add_fused(dt_gpu_conv_plan *plan, cudnnDataType_t type, bool bias, bool relu, operations *ops) {
  int last = bias + relu;
  tensor image = image_tensor(UID_X, &plan->conv.x, type), weight = weight_tensor(&plan->conv, type);
  descriptor x, w, b, y[3];
  TRY(add_tensor(plan, &image, &x));
  TRY(add_tensor(plan, &weight, &w));
  TRY(add_result(plan, type, 0, last, &y[0]));
  TRY(add_convolution(plan, x, w, y[0], &ops->item[ops->count++]));
  if (bias) {
    tensor vector = {.uid = UID_BIAS, .dim = {1, plan->conv.y.channels, 1, 1}, .type = type};
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
  tensor x_image = image_tensor(UID_X, &plan->conv.x, type), y_image = image_tensor(UID_Y, &plan->conv.y, type);
  tensor weight = weight_tensor(&plan->conv, type);
  descriptor x, w, y;
  TRY(add_tensor(plan, &x_image, &x));
  TRY(add_tensor(plan, &weight, &w));
  TRY(add_tensor(plan, &y_image, &y));
  return add_convolution(plan, x, w, y, &ops->item[ops->count++]);
}

static cudnnStatus_t add_graph(const dt_gpu *gpu, dt_gpu_conv_plan *plan, descriptor *out) {
  const dt_gpu_conv *conv = &plan->conv;
  operations ops = {.count = 0};
  if (conv->op == DT_OP_CONV_FWD) {
    TRY(add_fused(plan, type_of(gpu->type), plan->fused && conv->bias, plan->fused && conv->act == DT_ACT_RELU, &ops));
  } else {
    TRY(add_backward(plan, type_of(gpu->type), &ops));
  }
  TRY(create(plan, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, out));
  TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, ops.count, ops.item));
  if (gpu->libraries->cudnn != NULL) {
    TRY(cudnnBackendSetAttribute(*out, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &gpu->libraries->cudnn));
  }
  TRY(cudnnBackendFinalize(*out));
  return CUDNN_STATUS_SUCCESS;
}

/* --- the choice --- */

/* Engines whose sums depend on chance, or that need a compiler at run time or another order of the weights, are out, and so
 * are those that compute in less than was asked for: 16-bit sums, transforms that lose digits, and for true fp32 tensor cores,
 * which read fewer digits of their inputs. */
static bool is_allowed(const dt_gpu *gpu, cudnnBackendNumericalNote_t note) {
  switch (note) {
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
    case CUDNN_NUMERICAL_NOTE_FFT:
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
      return false;
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
      return gpu->precision != DT_FP32;
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      return gpu->precision == DT_TF32;
    default:
      return true;
  }
}

static cudnnStatus_t check_engine(const dt_gpu *gpu, descriptor engine, bool *out_fits, bool *out_tensor_cores) {
  cudnnBackendNumericalNote_t numeric[NOTES_MAX];
  cudnnBackendBehaviorNote_t behavior[NOTES_MAX];
  int64_t numeric_count = 0, behavior_count = 0;
  TRY(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE, NOTES_MAX, &numeric_count,
                               numeric));
  TRY(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE, CUDNN_TYPE_BEHAVIOR_NOTE, NOTES_MAX, &behavior_count,
                               behavior));
  *out_fits = true;
  *out_tensor_cores = false;
  for (int64_t i = 0; i < numeric_count; i++) {
    *out_fits &= is_allowed(gpu, numeric[i]);
    *out_tensor_cores |= numeric[i] == CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
  }
  for (int64_t i = 0; i < behavior_count; i++) {
    *out_fits &= behavior[i] != CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION &&
                 behavior[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER &&
                 behavior[i] != CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER;
  }
  return CUDNN_STATUS_SUCCESS;
}

/* " k2=11 k12=0": what the heuristics chose for the engine's knobs. Other choices may give other bits. */
static cudnnStatus_t print_knob(descriptor knob, char *text, size_t room) {
  cudnnBackendKnobType_t type = CUDNN_KNOB_TYPE_COUNTS;
  int64_t value = 0, count;
  TRY(cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_TYPE, CUDNN_TYPE_KNOB_TYPE, 1, &count, &type));
  TRY(cudnnBackendGetAttribute(knob, CUDNN_ATTR_KNOB_CHOICE_KNOB_VALUE, CUDNN_TYPE_INT64, 1, &count, &value));
  snprintf(text, room, " k%d=%" PRId64, (int)type, value);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t print_knobs(descriptor config, char *text, size_t room) {
  descriptor knob[KNOBS_MAX] = {NULL};
  int64_t count = 0;
  cudnnStatus_t code = CUDNN_STATUS_SUCCESS;
  for (int i = 0; i < KNOBS_MAX && code == CUDNN_STATUS_SUCCESS; i++) {
    code = cudnnBackendCreateDescriptor(CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, &knob[i]);
  }
  if (code == CUDNN_STATUS_SUCCESS) {
    code = cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_KNOB_CHOICES, CUDNN_TYPE_BACKEND_DESCRIPTOR, KNOBS_MAX, &count,
                                    knob);
  }
  for (int64_t i = 0; i < count && code == CUDNN_STATUS_SUCCESS; i++) {
    size_t length = strlen(text);
    code = print_knob(knob[i], text + length, room - length);
  }
  for (int i = 0; i < KNOBS_MAX && knob[i] != NULL; i++) cudnnBackendDestroyDescriptor(knob[i]);
  return code;
}

/* A plan belongs to the handle that will run it, or, where there is no device to run it, to a model's properties. */
static cudnnStatus_t bind_plan(const dt_gpu_libraries *libraries, descriptor plan) {
  if (libraries->cudnn == NULL) return set_descriptor(plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, libraries->properties);
  return cudnnBackendSetAttribute(plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &libraries->cudnn);
}

/* Makes the execution plan of a configuration; plan->plan stays NULL when it doesn't fit. */
static cudnnStatus_t try_engine(const dt_gpu *gpu, descriptor config, descriptor engine, dt_gpu_conv_plan *plan) {
  int64_t count, index = 0, workspace = 0;
  bool fits = false, tensor_cores = false;
  descriptor candidate;
  TRY(cudnnBackendGetAttribute(config, CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine));
  TRY(check_engine(gpu, engine, &fits, &tensor_cores));
  if (!fits) return CUDNN_STATUS_SUCCESS;
  TRY(create(plan, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, &candidate));
  TRY(set_descriptor(candidate, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config));
  TRY(bind_plan(gpu->libraries, candidate));
  TRY(cudnnBackendFinalize(candidate));
  TRY(cudnnBackendGetAttribute(candidate, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &workspace));
  if (workspace > workspace_max) return CUDNN_STATUS_SUCCESS;
  TRY(cudnnBackendGetAttribute(engine, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &index));
  snprintf(plan->text, sizeof plan->text, "cudnn engine %" PRId64 "%s%s", index, tensor_cores ? " tensor cores" : "",
           plan->fused ? " fused" : "");
  TRY(print_knobs(config, plan->text, sizeof plan->text));
  plan->workspace = (size_t)workspace;
  plan->plan = candidate;
  return CUDNN_STATUS_SUCCESS;
}

/* Parts beyond `count` go. */
static void drop_parts(dt_gpu_conv_plan *plan, int count) {
  while (plan->part_count > count) cudnnBackendDestroyDescriptor(plan->part[--plan->part_count]);
}

static cudnnStatus_t try_config(const dt_gpu *gpu, descriptor config, dt_gpu_conv_plan *plan) {
  int parts = plan->part_count;
  descriptor engine;
  TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR, &engine));
  cudnnStatus_t code = try_engine(gpu, config, engine, plan);
  cudnnBackendDestroyDescriptor(engine);
  if (plan->plan == NULL) drop_parts(plan, parts);
  return is_refusal(code) ? CUDNN_STATUS_SUCCESS : code;
}

/* Takes the first of the configurations that fits, and keeps it with the plan. */
static cudnnStatus_t try_configs(const dt_gpu *gpu, descriptor heuristics, descriptor *config, int64_t room,
                                 dt_gpu_conv_plan *plan) {
  int64_t count = 0;
  for (int64_t i = 0; i < room; i++) TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, &config[i]));
  TRY(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, room, &count, config));
  for (int64_t i = 0; i < count && i < room && plan->plan == NULL; i++) {
    TRY(try_config(gpu, config[i], plan));
    if (plan->plan == NULL) continue;
    DT_ASSERT(plan->part_count < DT_GPU_CONV_PARTS);
    plan->part[plan->part_count++] = config[i];
    config[i] = NULL;
  }
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t ask_heuristics(const dt_gpu *gpu, descriptor graph, cudnnBackendHeurMode_t mode, descriptor heuristics,
                                    dt_gpu_conv_plan *plan) {
  descriptor config[CONFIGS_MAX] = {NULL};
  int64_t bound = 0;
  TRY(set_descriptor(heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph));
  TRY(cudnnBackendSetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode));
  if (gpu->libraries->cudnn == NULL) { /* else the graph's handle tells, as wherever cuDNN runs; nobody gives it both */
    TRY(set_descriptor(heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, gpu->libraries->properties));
  }
  TRY(cudnnBackendFinalize(heuristics));
  TRY(cudnnBackendGetAttribute(heuristics, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &bound, NULL));
  cudnnStatus_t code = try_configs(gpu, heuristics, config, bound < CONFIGS_MAX ? bound : CONFIGS_MAX, plan);
  for (int i = 0; i < CONFIGS_MAX; i++) {
    if (config[i] != NULL) cudnnBackendDestroyDescriptor(config[i]);
  }
  return code;
}

static cudnnStatus_t try_graph(const dt_gpu *gpu, dt_gpu_conv_plan *plan) {
  static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_B, CUDNN_HEUR_MODE_FALLBACK};
  descriptor graph, heuristics;
  TRY(add_graph(gpu, plan, &graph));
  for (size_t m = 0; m < sizeof modes / sizeof *modes && plan->plan == NULL; m++) {
    TRY(cudnnBackendCreateDescriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, &heuristics));
    cudnnStatus_t code = ask_heuristics(gpu, graph, modes[m], heuristics, plan);
    cudnnBackendDestroyDescriptor(heuristics);
    if (!is_refusal(code)) TRY(code);
  }
  return CUDNN_STATUS_SUCCESS;
}

static dt_status try_convolution(const dt_gpu *gpu, bool fused, dt_gpu_conv_plan *plan) {
  plan->fused = fused;
  cudnnStatus_t code = try_graph(gpu, plan);
  if (plan->plan == NULL) drop_parts(plan, 0);
  return is_refusal(code) ? DT_OK : dt_gpu_check_cudnn(code, "making a convolution's plan", __FILE__, __LINE__);
}

static dt_status choose(const dt_gpu *gpu, dt_gpu_conv_plan *plan) {
  if (plan->conv.bias || plan->conv.act == DT_ACT_RELU) DT_TRY(try_convolution(gpu, true, plan));
  if (plan->plan == NULL) DT_TRY(try_convolution(gpu, false, plan));
  if (plan->plan == NULL) snprintf(plan->text, sizeof plan->text, "dtrain direct, cuDNN has no plan");
  return DT_OK;
}

/* --- the list --- */

static void destroy_plan(dt_gpu_conv_plan *plan) {
  drop_parts(plan, 0);
  free(plan);
}

dt_status dt_gpu_conv_plan_get(const dt_gpu *gpu, const dt_gpu_conv *conv, const dt_gpu_conv_plan **out) {
  dt_gpu_libraries *libraries = gpu->libraries;
  dt_gpu_conv_plan *plan = libraries->conv;
  while (plan != NULL && memcmp(&plan->conv, conv, sizeof *conv) != 0) plan = plan->next;
  if (plan == NULL) {
    DT_TRY(dt_alloc(1, sizeof *plan, &plan));
    plan->conv = *conv;
    dt_status status = choose(gpu, plan);
    if (status != DT_OK) {
      destroy_plan(plan);
      return status;
    }
    plan->next = libraries->conv;
    libraries->conv = plan;
  }
  *out = plan;
  return DT_OK;
}

void dt_gpu_conv_plans_free(dt_gpu_libraries *libraries) {
  while (libraries->conv != NULL) {
    dt_gpu_conv_plan *plan = libraries->conv;
    libraries->conv = plan->next;
    destroy_plan(plan);
  }
}

/* --- running --- */

static cudnnStatus_t execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                             descriptor pack) {
  const bool bias = plan->conv.op == DT_OP_CONV_FWD && plan->fused && plan->conv.bias;
  const int64_t uid[] = {UID_X, UID_W, UID_Y, UID_BIAS}, count = bias ? 4 : 3;
  const void *const pointer[] = {data->x, data->w, data->y, data->bias};
  TRY(set_int64(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, count, uid));
  TRY(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, count, pointer));
  TRY(cudnnBackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace));
  TRY(cudnnBackendFinalize(pack));
  return cudnnBackendExecute(gpu->libraries->cudnn, plan->plan, pack);
}

dt_status dt_gpu_conv_execute(const dt_gpu *gpu, const dt_gpu_conv_plan *plan, const dt_gpu_conv_data *data, void *workspace,
                              cudaStream_t stream) {
  descriptor pack;
  DT_CUDNN(cudnnSetStream(gpu->libraries->cudnn, stream));
  DT_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack));
  cudnnStatus_t code = execute(gpu, plan, data, workspace, pack);
  cudnnBackendDestroyDescriptor(pack);
  return dt_gpu_check_cudnn(code, plan->text, __FILE__, __LINE__);
}
