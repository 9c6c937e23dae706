/* Errors of the CUDA runtime in dtrain's words. */
#include <string.h>

#include "gpu/gpu.h"

/* A library that cannot be recorded says so in words of its own, or in none. */
static const char without_recording[] =
    "; this was while a step was recorded: DTRAIN_GPU_GRAPH=0 issues steps without recording them";
static _Thread_local bool is_recording;

void dt_gpu_note_recording(bool recording) {
  is_recording = recording;
}

const char *dt_gpu_recording_remedy(void) {
  return is_recording ? without_recording : "";
}

/* What CUDA says only of recordings. */
static bool is_about_recording(cudaError_t code) {
  return code >= cudaErrorStreamCaptureUnsupported && code <= cudaErrorStreamCaptureWrongThread;
}

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
  if (is_about_recording(code)) return without_recording;
  for (size_t i = 0; i < sizeof remedies / sizeof *remedies; i++) {
    if (remedies[i].code == code) return remedies[i].remedy;
  }
  return dt_gpu_recording_remedy();
}

dt_status dt_gpu_check(cudaError_t code, const char *call, const char *file, int line) {
  if (code == cudaSuccess) return DT_OK;
  dt_status status = code == cudaErrorMemoryAllocation ? DT_MEMORY : DT_ENVIRONMENT;
  call += strspn(call, "("); /* a kernel with several arguments of its template stands in parentheses */
  return dt_error_set(status, file, line, "CUDA: %.*s failed: %s (%s)%s", (int)strcspn(call, "()"), call,
                      cudaGetErrorName(code), cudaGetErrorString(code), remedy_of(code));
}
