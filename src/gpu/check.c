/* Errors of the CUDA runtime in dtrain's words. */
#include <string.h>

#include "gpu/gpu.h"

/* What to do about an error whose cause is not this program. */
static const struct {
  cudaError_t code;
  const char *remedy;
} remedies[] = {
    {cudaErrorDevicesUnavailable,
     "; another process has this GPU to itself, or its compute mode lets nobody compute (nvidia-smi -q -d COMPUTE): wait, or "
     "choose "
     "another by CUDA_VISIBLE_DEVICES"},
    {cudaErrorSystemNotReady, "; start the service nvidia-fabricmanager, in the driver's version"},
    {cudaErrorSystemDriverMismatch,
     "; the driver's libraries and its kernel module differ: restart after an update, or use the module's version of libcuda"},
};

static const char *remedy_of(cudaError_t code) {
  for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++) {
    if (remedies[i].code == code) return remedies[i].remedy;
  }
  return "";
}

dt_status dt_gpu_check(cudaError_t code, const char *call, const char *file, int line) {
  if (code == cudaSuccess) return DT_OK;
  dt_status status = code == cudaErrorMemoryAllocation ? DT_MEMORY : DT_ENVIRONMENT;
  return dt_error_set(status, file, line, "CUDA: %.*s failed: %s (%s)%s", (int)strcspn(call, "("), call, cudaGetErrorName(code),
                      cudaGetErrorString(code), remedy_of(code));
}
