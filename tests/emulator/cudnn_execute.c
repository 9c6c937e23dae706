/* Handles of the emulated cuDNN, and running a plan: what is known at the call is checked and copied, and computed later as one
 * piece of work on the handle's stream. Options:
 *   cudnn=91000       the version that the library says it has
 *   cudnn_wrong=N     engine N computes twice what it should
 *   batch_dependent=N sums are in another order from N samples on (cuBLASLt's stand-in has it too)
 *   cudnn_shuffled=N  engine N sums in an order that differs from run to run, though it doesn't say so */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cudnn_backend.h"
#include "emulator.h"

struct cudnnContext {
  cudaStream_t stream;
};

size_t cudnnGetVersion(void) {
  return (size_t)emulator_number("cudnn", CUDNN_VERSION);
}

size_t cudnnGetCudartVersion(void) {
  int version = 0;
  return cudaRuntimeGetVersion(&version) == cudaSuccess ? (size_t)version : 0;
}

const char *cudnnGetErrorString(cudnnStatus_t status) {
#define NAME(status)   \
  case CUDNN_##status: \
    return "CUDNN_" #status;
  switch (status) {
    NAME(STATUS_SUCCESS)
    NAME(STATUS_NOT_INITIALIZED)
    NAME(STATUS_BAD_PARAM)
    NAME(STATUS_BAD_PARAM_NULL_POINTER)
    NAME(STATUS_BAD_PARAM_MISALIGNED_POINTER)
    NAME(STATUS_BAD_PARAM_NOT_FINALIZED)
    NAME(STATUS_BAD_PARAM_SIZE_INSUFFICIENT)
    NAME(STATUS_BAD_PARAM_ATTRIBUTE_TYPE)
    NAME(STATUS_BAD_PARAM_DESCRIPTOR_TYPE)
    NAME(STATUS_NOT_SUPPORTED)
    NAME(STATUS_NOT_SUPPORTED_ARCH_MISMATCH)
    NAME(STATUS_INTERNAL_ERROR)
    NAME(STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
    NAME(STATUS_EXECUTION_FAILED)
    NAME(STATUS_EXECUTION_FAILED_CUDART)
    default:
      return "CUDNN_STATUS_UNKNOWN";
  }
#undef NAME
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  int count = 0;
  CUDNN_NEED(handle != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED(cudaGetDeviceCount(&count) == cudaSuccess && count > 0, CUDNN_STATUS_NOT_INITIALIZED);
  *handle = calloc(1, sizeof **handle);
  CUDNN_NEED(*handle != NULL, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  cudnn_count_anew();
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  free(handle);
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId) {
  CUDNN_NEED(handle != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  handle->stream = streamId;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *streamId) {
  CUDNN_NEED(handle != NULL && streamId != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  *streamId = handle->stream;
  return CUDNN_STATUS_SUCCESS;
}

typedef struct execution {
  cudnn_problem problem;
  const cudnn_engine *engine;
  void *x, *w, *y, *bias, *workspace;
  int64_t workspace_bytes;
  long cold_ms, warm_ms, call_ms;
} execution;

/* engine_2_ms, or engine_7_5_ms for an engine with a tile of 5; engine_2_warm_ms where its operands are in the cache. */
static void read_times(const cudnn_engine *engine, int64_t tile, execution *e) {
  char option[64];
  snprintf(option, sizeof option, tile < 0 ? "engine_%lld_ms" : "engine_%lld_%lld_ms", (long long)engine->index,
           (long long)tile);
  e->cold_ms = emulator_number(option, 0);
  snprintf(option, sizeof option, "engine_%lld_warm_ms", (long long)engine->index);
  e->warm_ms = emulator_number(option, e->cold_ms);
}

static long milliseconds_of(const execution *e) {
  const cudnn_problem *p = &e->problem;
  bool warm = emulator_touch(e->x, (size_t)cudnn_tensor_bytes(&p->x));
  warm &= emulator_touch(e->w, (size_t)cudnn_tensor_bytes(&p->w));
  warm &= emulator_touch(e->y, (size_t)cudnn_tensor_bytes(&p->y));
  const long ms = warm ? e->warm_ms : e->cold_ms;
  return ms > e->call_ms ? ms : e->call_ms;
}

static void check_memory(const execution *e) {
  const cudnn_problem *p = &e->problem;
  const struct {
    const char *name;
    const cudnn_tensor *tensor;
    const void *at;
  } tensors[] = {{"x", &p->x, e->x}, {"w", &p->w, e->w}, {"y", &p->y, e->y}, {"bias", &p->bias, e->bias}};
  for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
    if (i == 3 && !p->has_bias) continue;
    size_t bytes = (size_t)cudnn_tensor_bytes(tensors[i].tensor);
    if (!emulator_owns(tensors[i].at, bytes)) {
      emulator_fail("cudnn %s: tensor %s of %zu bytes at %p is not device memory", e->engine->name, tensors[i].name, bytes,
                    tensors[i].at);
    }
  }
  if (e->workspace_bytes > 0 && !emulator_owns(e->workspace, (size_t)e->workspace_bytes)) {
    emulator_fail("cudnn %s: the workspace of %lld bytes at %p is not device memory", e->engine->name,
                  (long long)e->workspace_bytes, e->workspace);
  }
}

/* The engine that widens its operands keeps them in the workspace; every engine leaves NaNs all over it, so that memory which
 * was also something else's shows. */
static void run(void *context) {
  execution *e = context;
  float *own = NULL, *scratch;
  check_memory(e);
  if (e->engine->copies) {
    scratch = (float *)(((uintptr_t)e->workspace + 63) & ~(uintptr_t)63);
  } else {
    scratch = own = malloc((size_t)cudnn_operand_count(&e->problem) * sizeof(float));
    if (!own) emulator_fail("cudnn %s: out of host memory", e->engine->name);
  }
  if (e->workspace_bytes > 0) memset(e->workspace, 0xff, (size_t)e->workspace_bytes);
  cudnn_engine engine = *e->engine;
  const long turns = emulator_number("batch_dependent", 0);
  engine.turned = turns > 0 && e->problem.x.dim[0] >= turns;
  engine.shuffled |= engine.index == emulator_number("cudnn_shuffled", -1);
  if (engine.index == emulator_number("cudnn_wrong", -1)) e->problem.alpha = 2;
  cudnn_convolve(&e->problem, &engine, e->x, e->w, e->y, e->bias, scratch);
  emulator_spend(milliseconds_of(e));
  if (e->workspace_bytes > 0) memset(e->workspace, 0xff, (size_t)e->workspace_bytes);
  free(own);
}

static cudnnStatus_t find_pointer(const cudnn_descriptor *pack, const cudnn_tensor *tensor, void **out) {
  const cudnn_attribute *ids = cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const cudnn_attribute *pointers = cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  int64_t i = 0;
  while (i < ids->count && ((const int64_t *)ids->value)[i] != tensor->uid) i++;
  CUDNN_NEED(i < ids->count, CUDNN_STATUS_BAD_PARAM);
  *out = ((void **)pointers->value)[i];
  CUDNN_NEED(*out != NULL, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_NEED((uintptr_t)*out % (uintptr_t)tensor->alignment == 0, CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER);
  return CUDNN_STATUS_SUCCESS;
}

static cudnnStatus_t bind(execution *e, const cudnn_descriptor *plan, const cudnn_descriptor *pack) {
  const cudnn_descriptor *config = cudnn_refer(plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const cudnn_descriptor *engine = cudnn_refer(config, CUDNN_ATTR_ENGINECFG_ENGINE);
  const cudnn_attribute *workspace = cudnn_find(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE);
  e->engine = cudnn_engine_of(engine);
  read_times(e->engine, cudnn_tile(config), e);
  e->workspace_bytes = cudnn_int64(plan, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, 0);
  e->workspace = workspace && workspace->count > 0 ? *(void **)workspace->value : NULL;
  cudnn_understand(cudnn_refer(engine, CUDNN_ATTR_ENGINE_OPERATION_GRAPH), &e->problem);
  CUDNN_NEED(e->workspace != NULL || e->workspace_bytes == 0, CUDNN_STATUS_BAD_PARAM_NULL_POINTER);
  CUDNN_TRY(find_pointer(pack, &e->problem.x, &e->x));
  CUDNN_TRY(find_pointer(pack, &e->problem.w, &e->w));
  CUDNN_TRY(find_pointer(pack, &e->problem.y, &e->y));
  return e->problem.has_bias ? find_pointer(pack, &e->problem.bias, &e->bias) : CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t executionPlan,
                                  cudnnBackendDescriptor_t variantPack) {
  const cudnn_descriptor *plan = executionPlan, *pack = variantPack;
  CUDNN_NEED(handle != NULL && plan != NULL && pack != NULL, CUDNN_STATUS_BAD_PARAM);
  CUDNN_NEED(plan->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
  CUDNN_NEED(pack->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE);
  CUDNN_NEED(plan->finalized && pack->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED);
  execution *e = calloc(1, sizeof *e);
  CUDNN_NEED(e != NULL, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED);
  cudnnStatus_t status = bind(e, plan, pack);
  if (status) {
    free(e);
    return status;
  }
  e->call_ms = emulator_call_ms(handle->stream);
  emulator_work work = {e->engine->name, run, free, e};
  CUDNN_NEED(emulator_enqueue(handle->stream, &work) == cudaSuccess, CUDNN_STATUS_EXECUTION_FAILED_CUDART);
  return CUDNN_STATUS_SUCCESS;
}
