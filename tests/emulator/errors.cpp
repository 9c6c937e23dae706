/* Errors: the last one of each host thread, and the one that stays. */
#include "internal.h"

namespace {
cudaError_t sticky = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;
}  // namespace

namespace emulated {

cudaError_t sticky_error() {
  return sticky;
}
void set_sticky_error(cudaError_t error) {
  if (!sticky) sticky = error;
}
cudaError_t keep_error(cudaError_t error) {
  if (error) last = error;
  return error;
}

}  // namespace emulated

extern "C" {

cudaError_t cudaPeekAtLastError(void) {
  emulated::held_lock held(emulated::lock());
  return sticky ? sticky : last;
}

cudaError_t cudaGetLastError(void) {
  cudaError_t error = cudaPeekAtLastError();
  last = cudaSuccess;
  return error;
}

const char *cudaGetErrorName(cudaError_t error) {
  switch (error) {
#define X(name, value, text) \
  case name:                 \
    return #name;
    EMULATED_CUDA_ERRORS(X)
#undef X
  }
  return "unrecognized error code";
}

const char *cudaGetErrorString(cudaError_t error) {
  switch (error) {
#define X(name, value, text) \
  case name:                 \
    return text;
    EMULATED_CUDA_ERRORS(X)
#undef X
  }
  return "unrecognized error code";
}
}
