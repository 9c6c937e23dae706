/* Opening and closing cuDNN and cuBLASLt, their errors, and the print-out of plans. */
#include "gpu/libraries.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/graph.h"

dt_status dt_gpu_check_cudnn(cudnnStatus_t code, const char *call, const char *file, int line) {
  if (code == CUDNN_STATUS_SUCCESS) return DT_OK;
  char detail[512] = "";
  cudnnGetLastErrorString(detail, sizeof detail);
  dt_status status =
      code == CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED || code == CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
          ? DT_MEMORY
          : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "%s: %s %s", call, cudnnGetErrorString(code), detail);
}

dt_status dt_gpu_check_cublas(cublasStatus_t code, const char *call, const char *file, int line) {
  if (code == CUBLAS_STATUS_SUCCESS) return DT_OK;
  dt_status status = code == CUBLAS_STATUS_ALLOC_FAILED ? DT_MEMORY : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "%s: %s (%s)", call, cublasLtGetStatusName(code), cublasLtGetStatusString(code));
}

/* A version as both libraries write it: 91900 is 9.19.0. */
typedef struct version {
  size_t major, minor, patch;
} version;

static version version_of(size_t number) {
  return (version){number / 10000, number / 100 % 100, number % 100};
}

/* Within a major version later libraries run what was built for earlier ones, and no others do. */
static dt_status check_version(const char *name, size_t found_number, size_t built_number) {
  version found = version_of(found_number), built = version_of(built_number);
  DT_REQUIRE(found.major == built.major && found.minor >= built.minor, DT_ENVIRONMENT,
             "%s: found %zu.%zu.%zu, expected %zu.%zu or newer of %zu.x as this plug-in was built with", name, found.major,
             found.minor, found.patch, built.major, built.minor, built.major);
  return DT_OK;
}

static dt_status check_versions(dt_gpu *gpu) {
  size_t cudnn_number = cudnnGetVersion(), cublas_number = cublasLtGetVersion();
  DT_TRY(check_version("cuDNN", cudnn_number, CUDNN_VERSION));
  DT_TRY(check_version("cuBLASLt", cublas_number, CUBLAS_VERSION));
  version cudnn = version_of(cudnn_number), cublas = version_of(cublas_number);
  snprintf(gpu->library, sizeof gpu->library, "cuDNN %zu.%zu.%zu, cuBLASLt %zu.%zu.%zu", cudnn.major, cudnn.minor, cudnn.patch,
           cublas.major, cublas.minor, cublas.patch);
  return DT_OK;
}

/* A model's properties as data, in place of a handle. */
static dt_status open_properties(dt_gpu_libraries *libraries) {
  const char *json = libraries->model->json;
  DT_CUDNN(cudnnBackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &libraries->properties));
  DT_CUDNN(cudnnBackendSetAttribute(libraries->properties, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR,
                                    (int64_t)strlen(json), json));
  DT_CUDNN(cudnnBackendFinalize(libraries->properties));
  return DT_OK;
}

dt_status dt_gpu_libraries_open(dt_gpu *gpu, const char *model) {
  DT_TRY(dt_alloc(1, sizeof *gpu->libraries, &gpu->libraries));
  if (model != NULL) DT_TRY(dt_gpu_model_get(model, &gpu->libraries->model));
  DT_TRY(check_versions(gpu));
  if (model != NULL) return open_properties(gpu->libraries);
  DT_CUDNN(cudnnCreate(&gpu->libraries->cudnn));
  DT_CUBLAS(cublasLtCreate(&gpu->libraries->cublas));
  return DT_OK;
}

void dt_gpu_libraries_close(dt_gpu *gpu) {
  dt_gpu_libraries *libraries = gpu->libraries;
  if (libraries == NULL) return;
  dt_gpu_conv_plans_free(libraries);
  dt_gpu_linear_plans_free(libraries);
  if (libraries->properties != NULL) cudnnBackendDestroyDescriptor(libraries->properties);
  if (libraries->cublas != NULL) cublasLtDestroy(libraries->cublas);
  if (libraries->cudnn != NULL) cudnnDestroy(libraries->cudnn);
  free(libraries);
  gpu->libraries = NULL;
}

/* The operations that libraries compute. */
static const struct {
  const char *name;
  dt_status (*describe)(const dt_gpu *gpu, const dt_program *program, const dt_instr *instr, char *text);
} planned[DT_OP_COUNT] = {
    [DT_OP_CONV_FWD] = {"conv_fwd", dt_gpu_conv_describe},
    [DT_OP_CONV_DGRAD] = {"conv_dgrad", dt_gpu_conv_describe},
    [DT_OP_CONV_WGRAD] = {"conv_wgrad", dt_gpu_conv_describe},
    [DT_OP_LINEAR_FWD] = {"linear_fwd", dt_gpu_linear_describe},
    [DT_OP_LINEAR_DGRAD] = {"linear_dgrad", dt_gpu_linear_describe},
    [DT_OP_LINEAR_WGRAD] = {"linear_wgrad", dt_gpu_linear_describe},
};

void dt_gpu_print_plans(const dt_device *device, const dt_program *program, FILE *out) {
  for (int i = 0; i < program->count; i++) {
    const dt_instr *instr = &program->instr[i];
    char text[DT_GPU_PLAN_TEXT];
    if (planned[instr->op].describe == NULL) continue;
    if (planned[instr->op].describe((const dt_gpu *)device, program, instr, text) != DT_OK) {
      snprintf(text, sizeof text, "no plan can be made");
    }
    fprintf(out, "%-24s %-12s %s\n", program->graph->node[instr->node].name, planned[instr->op].name, text);
  }
}
