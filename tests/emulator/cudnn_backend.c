/* Descriptors of the emulated cuDNN: bags of typed attributes. */
#include "cudnn_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_error[256];

cudnnStatus_t cudnn_fail(cudnnStatus_t status, const char *condition) {
  snprintf(last_error, sizeof last_error, "%s: %s", cudnnGetErrorString(status), condition);
  return status;
}

void cudnnGetLastErrorString(char *message, size_t max_size) {
  snprintf(message, max_size, "%s", last_error);
}

/* What may be set or asked of a descriptor: an attribute, its type and the most values; what is computed when the descriptor is
 * finalized can only be asked. */
typedef struct attribute_rule {
  cudnnBackendDescriptorType_t descriptor;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  int64_t most;
  bool asked, real; /* real: float or double */
} attribute_rule;

#define RULE(of, attribute, kind, ...) \
  { CUDNN_BACKEND_##of##_DESCRIPTOR, CUDNN_ATTR_##attribute, CUDNN_TYPE_##kind, __VA_ARGS__ }
#define RULES_OF_CONVOLUTION(of, name, x, w, y)                                                   \
  RULE(of, name##_CONV_DESC, BACKEND_DESCRIPTOR, 1), RULE(of, name##_##x, BACKEND_DESCRIPTOR, 1), \
      RULE(of, name##_##w, BACKEND_DESCRIPTOR, 1), RULE(of, name##_##y, BACKEND_DESCRIPTOR, 1),   \
      RULE(of, name##_ALPHA, FLOAT, 1, .real = true), RULE(of, name##_BETA, FLOAT, 1, .real = true)

enum { ANY = 1 << 20 };
static const attribute_rule rules[] = {
    RULE(TENSOR, TENSOR_UNIQUE_ID, INT64, 1),
    RULE(TENSOR, TENSOR_DATA_TYPE, DATA_TYPE, 1),
    RULE(TENSOR, TENSOR_DIMENSIONS, INT64, CUDNN_DIM_MAX),
    RULE(TENSOR, TENSOR_STRIDES, INT64, CUDNN_DIM_MAX),
    RULE(TENSOR, TENSOR_BYTE_ALIGNMENT, INT64, 1),
    RULE(TENSOR, TENSOR_IS_VIRTUAL, BOOLEAN, 1),
    RULE(TENSOR, TENSOR_IS_BY_VALUE, BOOLEAN, 1),
    RULE(CONVOLUTION, CONVOLUTION_COMP_TYPE, DATA_TYPE, 1),
    RULE(CONVOLUTION, CONVOLUTION_CONV_MODE, CONVOLUTION_MODE, 1),
    RULE(CONVOLUTION, CONVOLUTION_SPATIAL_DIMS, INT64, 1),
    RULE(CONVOLUTION, CONVOLUTION_PRE_PADDINGS, INT64, CUDNN_DIM_MAX),
    RULE(CONVOLUTION, CONVOLUTION_POST_PADDINGS, INT64, CUDNN_DIM_MAX),
    RULE(CONVOLUTION, CONVOLUTION_DILATIONS, INT64, CUDNN_DIM_MAX),
    RULE(CONVOLUTION, CONVOLUTION_FILTER_STRIDES, INT64, CUDNN_DIM_MAX),
    RULE(POINTWISE, POINTWISE_MODE, POINTWISE_MODE, 1),
    RULE(POINTWISE, POINTWISE_MATH_PREC, DATA_TYPE, 1),
    RULE(POINTWISE, POINTWISE_RELU_LOWER_CLIP, DOUBLE, 1, .real = true),
    RULE(POINTWISE, POINTWISE_RELU_UPPER_CLIP, DOUBLE, 1, .real = true),
    RULE(POINTWISE, POINTWISE_RELU_LOWER_CLIP_SLOPE, DOUBLE, 1, .real = true),
    RULES_OF_CONVOLUTION(OPERATION_CONVOLUTION_FORWARD, OPERATION_CONVOLUTION_FORWARD, X, W, Y),
    RULES_OF_CONVOLUTION(OPERATION_CONVOLUTION_BACKWARD_DATA, OPERATION_CONVOLUTION_BWD_DATA, DX, W, DY),
    RULES_OF_CONVOLUTION(OPERATION_CONVOLUTION_BACKWARD_FILTER, OPERATION_CONVOLUTION_BWD_FILTER, X, DW, DY),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR, BACKEND_DESCRIPTOR, 1),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC, BACKEND_DESCRIPTOR, 1),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC, BACKEND_DESCRIPTOR, 1),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC, BACKEND_DESCRIPTOR, 1),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA1, FLOAT, 1, .real = true),
    RULE(OPERATION_POINTWISE, OPERATION_POINTWISE_ALPHA2, FLOAT, 1, .real = true),
    RULE(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE, HANDLE, 1),
    RULE(OPERATIONGRAPH, OPERATIONGRAPH_OPS, BACKEND_DESCRIPTOR, ANY),
    RULE(OPERATIONGRAPH, OPERATIONGRAPH_ENGINE_GLOBAL_COUNT, INT64, 1, .asked = true),
    RULE(DEVICEPROP, DEVICEPROP_DEVICE_ID, INT32, 1),
    RULE(DEVICEPROP, DEVICEPROP_HANDLE, HANDLE, 1),
    RULE(DEVICEPROP, DEVICEPROP_JSON_REPRESENTATION, CHAR, ANY),
    RULE(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
    RULE(ENGINEHEUR, ENGINEHEUR_MODE, HEUR_MODE, 1),
    RULE(ENGINEHEUR, ENGINEHEUR_DEVICEPROP, BACKEND_DESCRIPTOR, 1),
    RULE(ENGINEHEUR, ENGINEHEUR_SM_COUNT_TARGET, INT32, 1),
    RULE(ENGINEHEUR, ENGINEHEUR_RESULTS, BACKEND_DESCRIPTOR, ANY, .asked = true),
    RULE(ENGINE, ENGINE_OPERATION_GRAPH, BACKEND_DESCRIPTOR, 1),
    RULE(ENGINE, ENGINE_GLOBAL_INDEX, INT64, 1),
    RULE(ENGINE, ENGINE_DEVICEPROP, BACKEND_DESCRIPTOR, 1),
    RULE(ENGINE, ENGINE_NUMERICAL_NOTE, NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT, .asked = true),
    RULE(ENGINE, ENGINE_BEHAVIOR_NOTE, BEHAVIOR_NOTE, CUDNN_BEHAVIOR_NOTE_TYPE_COUNT, .asked = true),
    RULE(ENGINE, ENGINE_KNOB_INFO, BACKEND_DESCRIPTOR, ANY, .asked = true),
    RULE(KNOB_CHOICE, KNOB_CHOICE_KNOB_TYPE, KNOB_TYPE, 1),
    RULE(KNOB_CHOICE, KNOB_CHOICE_KNOB_VALUE, INT64, 1),
    RULE(ENGINECFG, ENGINECFG_ENGINE, BACKEND_DESCRIPTOR, 1),
    RULE(ENGINECFG, ENGINECFG_KNOB_CHOICES, BACKEND_DESCRIPTOR, ANY),
    RULE(ENGINECFG, ENGINECFG_WORKSPACE_SIZE, INT64, 1, .asked = true),
    RULE(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE, HANDLE, 1),
    RULE(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG, BACKEND_DESCRIPTOR, 1),
    RULE(EXECUTION_PLAN, EXECUTION_PLAN_DEVICEPROP, BACKEND_DESCRIPTOR, 1),
    RULE(EXECUTION_PLAN, EXECUTION_PLAN_WORKSPACE_SIZE, INT64, 1, .asked = true),
    RULE(EXECUTION_PLAN, EXECUTION_PLAN_JSON_REPRESENTATION, CHAR, ANY, .asked = true),
    RULE(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS, INT64, ANY),
    RULE(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS, VOID_PTR, ANY),
    RULE(VARIANT_PACK, VARIANT_PACK_WORKSPACE, VOID_PTR, 1),
};

static const struct {
  cudnnBackendDescriptorType_t type;
  cudnn_finalizer *finalize;
} finalizers[] = {
    {CUDNN_BACKEND_TENSOR_DESCRIPTOR, cudnn_finalize_tensor},
    {CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR, cudnn_finalize_convolution},
    {CUDNN_BACKEND_POINTWISE_DESCRIPTOR, cudnn_finalize_pointwise},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR, cudnn_finalize_convolution_operation},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR, cudnn_finalize_convolution_operation},
    {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR, cudnn_finalize_convolution_operation},
    {CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR, cudnn_finalize_pointwise_operation},
    {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, cudnn_finalize_graph},
    {CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, cudnn_finalize_device},
    {CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR, cudnn_finalize_heuristic},
    {CUDNN_BACKEND_ENGINE_DESCRIPTOR, cudnn_finalize_engine},
    {CUDNN_BACKEND_KNOB_CHOICE_DESCRIPTOR, cudnn_finalize_choice},
    {CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, cudnn_finalize_config},
    {CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, cudnn_finalize_plan},
    {CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, cudnn_finalize_pack},
};

static cudnn_finalizer *finalizer_of(cudnnBackendDescriptorType_t type) {
  for (size_t i = 0; i < sizeof finalizers / sizeof *finalizers; i++) {
    if (finalizers[i].type == type) return finalizers[i].finalize;
  }
  return NULL;
}

static const attribute_rule *rule_of(cudnnBackendDescriptorType_t descriptor, cudnnBackendAttributeName_t name) {
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    if (rules[i].descriptor == descriptor && rules[i].name == name) return &rules[i];
  }
  return NULL;
}

static size_t type_bytes(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_CHAR:
    case CUDNN_TYPE_BOOLEAN:
      return 1;
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
      return 8;
    default:
      return 4;
  }
}

cudnnStatus_t cudnn_create(cudnnBackendDescriptorType_t type, cudnn_descriptor **out) {
  *out = calloc(1, sizeof **out);
  CUDNN_NEED(*out != NULL, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  (*out)->type = type;
  (*out)->holders = 1;
  return CUDNN_STATUS_SUCCESS;
}

static void clear_attribute(cudnn_attribute *attribute) {
  if (attribute->type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < attribute->count; i++) cudnn_drop(((cudnn_descriptor **)attribute->value)[i]);
  }
  free(attribute->value);
  attribute->value = NULL;
  attribute->count = 0;
}

static void clear(cudnn_descriptor *descriptor) {
  for (int i = 0; i < descriptor->attribute_count; i++) clear_attribute(&descriptor->attribute[i]);
  descriptor->attribute_count = 0;
}

void cudnn_drop(cudnn_descriptor *descriptor) {
  if (--descriptor->holders > 0) return;
  clear(descriptor);
  free(descriptor);
}

cudnnStatus_t cudnn_put(cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                        int64_t count, const void *value) {
  size_t bytes = (size_t)count * type_bytes(type);
  cudnn_attribute *attribute = (cudnn_attribute *)cudnn_find(descriptor, name);
  void *copy = malloc(bytes + 1);
  CUDNN_NEED(copy != NULL, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  if (bytes > 0) memcpy(copy, value, bytes);
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < count; i++) ((cudnn_descriptor **)copy)[i]->holders++;
  }
  if (attribute) {
    clear_attribute(attribute);
  } else {
    CUDNN_NEED(descriptor->attribute_count < CUDNN_ATTRIBUTES_MAX, CUDNN_STATUS_INTERNAL_ERROR);
    attribute = &descriptor->attribute[descriptor->attribute_count++];
  }
  *attribute = (cudnn_attribute){name, type, count, copy};
  return CUDNN_STATUS_SUCCESS;
}

const cudnn_attribute *cudnn_find(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name) {
  for (int i = 0; i < descriptor->attribute_count; i++) {
    if (descriptor->attribute[i].name == name) return &descriptor->attribute[i];
  }
  return NULL;
}

/* The value of an attribute that has at least one. */
static const void *first_value(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name) {
  const cudnn_attribute *attribute = cudnn_find(descriptor, name);
  return attribute && attribute->count > 0 ? attribute->value : NULL;
}

int64_t cudnn_int64(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int64_t otherwise) {
  const int64_t *value = first_value(descriptor, name);
  return value ? *value : otherwise;
}

int cudnn_enum(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, int otherwise) {
  const int *value = first_value(descriptor, name);
  return value ? *value : otherwise;
}

double cudnn_real(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name, double otherwise) {
  const cudnn_attribute *attribute = cudnn_find(descriptor, name);
  if (!attribute || attribute->count < 1) return otherwise;
  return attribute->type == CUDNN_TYPE_FLOAT ? *(const float *)attribute->value : *(const double *)attribute->value;
}

cudnn_descriptor *cudnn_refer(const cudnn_descriptor *descriptor, cudnnBackendAttributeName_t name) {
  cudnn_descriptor *const *value = first_value(descriptor, name);
  return value ? *value : NULL;
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t descriptorType, cudnnBackendDescriptor_t *descriptor) {
  CUDNN_NEED(descriptor != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED(finalizer_of(descriptorType) != NULL, CUDNN_STATUS_NOT_SUPPORTED);
  return cudnn_create(descriptorType, (cudnn_descriptor **)descriptor);
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  CUDNN_NEED(descriptor != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  cudnn_drop(descriptor);
  return CUDNN_STATUS_SUCCESS;
}

static bool type_fits(const attribute_rule *rule, cudnnBackendAttributeType_t type) {
  return rule->type == type || (rule->real && (type == CUDNN_TYPE_FLOAT || type == CUDNN_TYPE_DOUBLE));
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor, cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType, int64_t elementCount,
                                       const void *arrayOfElements) {
  cudnn_descriptor *d = descriptor;
  CUDNN_NEED(d != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  const attribute_rule *rule = rule_of(d->type, attributeName);
  CUDNN_NEED(!d->finalized, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(rule != NULL && !rule->asked, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(type_fits(rule, attributeType), CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  CUDNN_NEED(elementCount >= 0 && elementCount <= rule->most, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(arrayOfElements != NULL || elementCount == 0, CUDNN_STATUS_BAD_PARAM);
  if (attributeType == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < elementCount; i++) {
      CUDNN_NEED(((cudnn_descriptor *const *)arrayOfElements)[i] != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
    }
  }
  return cudnn_put(d, attributeName, attributeType, elementCount, arrayOfElements);
}

/* Makes a descriptor that the user created and left empty a copy of one of ours. */
static cudnnStatus_t fill(cudnn_descriptor *to, const cudnn_descriptor *from) {
  CUDNN_NEED(to != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED(to->type == from->type, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
  clear(to);
  for (int i = 0; i < from->attribute_count; i++) {
    const cudnn_attribute *attribute = &from->attribute[i];
    CUDNN_TRY(cudnn_put(to, attribute->name, attribute->type, attribute->count, attribute->value));
  }
  to->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}

/* Asked for no values, cuDNN answers how many results there may be, which can be more than there are. */
enum { RESULTS_NOT_SUPPORTED_IN_THE_END = 3 };

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor, cudnnBackendAttributeName_t attributeName,
                                       cudnnBackendAttributeType_t attributeType, int64_t requestedElementCount,
                                       int64_t *elementCount, void *arrayOfElements) {
  const cudnn_descriptor *d = descriptor;
  CUDNN_NEED(d != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED(d->finalized, CUDNN_STATUS_NOT_INITIALIZED);
  const attribute_rule *rule = rule_of(d->type, attributeName);
  const cudnn_attribute *attribute = cudnn_find(d, attributeName);
  CUDNN_NEED(rule != NULL, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(type_fits(rule, attributeType), CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  CUDNN_NEED(requestedElementCount >= 0, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(arrayOfElements != NULL || requestedElementCount == 0, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  int64_t count = attribute ? attribute->count : 0, copied = count < requestedElementCount ? count : requestedElementCount;
  if (attributeName == CUDNN_ATTR_ENGINEHEUR_RESULTS) {
    count = requestedElementCount == 0 ? count + RESULTS_NOT_SUPPORTED_IN_THE_END : copied;
  }
  if (elementCount) *elementCount = count;
  if (copied == 0) return CUDNN_STATUS_SUCCESS;
  CUDNN_NEED(attribute->type == attributeType, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE);
  if (attributeType == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    for (int64_t i = 0; i < copied; i++) {
      CUDNN_TRY(fill(((cudnn_descriptor **)arrayOfElements)[i], ((cudnn_descriptor **)attribute->value)[i]));
    }
    return CUDNN_STATUS_SUCCESS;
  }
  memcpy(arrayOfElements, attribute->value, (size_t)copied * type_bytes(attributeType));
  return CUDNN_STATUS_SUCCESS;
}

/* Every descriptor that this one refers to is finalized. */
static bool parts_finalized(const cudnn_descriptor *descriptor) {
  for (int i = 0; i < descriptor->attribute_count; i++) {
    const cudnn_attribute *attribute = &descriptor->attribute[i];
    if (attribute->type != CUDNN_TYPE_BACKEND_DESCRIPTOR) continue;
    for (int64_t k = 0; k < attribute->count; k++) {
      if (!((cudnn_descriptor **)attribute->value)[k]->finalized) return false;
    }
  }
  return true;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  cudnn_descriptor *d = descriptor;
  CUDNN_NEED(d != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED(!d->finalized, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(parts_finalized(d), d->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR ? CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED
                                                                                    : CUDNN_STATUS_BAD_PARAM);
  CUDNN_TRY(finalizer_of(d->type)(d));
  d->finalized = true;
  return CUDNN_STATUS_SUCCESS;
}
