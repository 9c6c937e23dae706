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
    {cudaErrorCompatNotSupportedOnDevice,
     "; forward compatibility (cuda-compat) is for data-center GPUs: take its folder out of LD_LIBRARY_PATH and update the "
     "driver"},
    {cudaErrorNoKernelImageForDevice,
     "; a library has no code for this GPU: take a newer one, or choose another GPU by CUDA_VISIBLE_DEVICES"},
    {cudaErrorUnsupportedPtxVersion,
     "; this GPU is newer than the plug-in's machine code, and the driver's compiler older than its PTX: update the driver"},
    {cudaErrorJitCompilerNotFound,
     "; this GPU is newer than the plug-in's machine code, and the driver's compiler of PTX (libnvidia-ptxjitcompiler.so.1) is "
     "missing: install all of the driver, or let the container see it"},
    {cudaErrorJitCompilationDisabled,
     "; this GPU is newer than the plug-in's machine code, and CUDA_DISABLE_PTX_JIT keeps the driver from compiling its PTX: "
     "unset it"},
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
