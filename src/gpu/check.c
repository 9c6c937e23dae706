/* Errors of the CUDA runtime in dtrain's words. */
#include <string.h>

#include "gpu/gpu.h"

dt_status dt_gpu_check(cudaError_t code, const char *call, const char *file, int line) {
  if (code == cudaSuccess) return DT_OK;
  dt_status status = code == cudaErrorMemoryAllocation ? DT_MEMORY : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "CUDA: %.*s failed: %s (%s)", (int)strcspn(call, "("), call, cudaGetErrorName(code),
                      cudaGetErrorString(code));
}
