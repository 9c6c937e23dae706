/* Environment variables by which others than the config decide what is computed: they are refused, and named. The libraries may
 * have read them before dtrain could take them away. */
#include <stdlib.h>
#include <string.h>

#include "gpu/device.h"

static const struct {
  const char *name;
  const char *harmless; /* the value that changes nothing, beside an empty one; NULL: none */
  const char *what;
} variables[] = {
    {"CUBLAS_EMULATE_SINGLE_PRECISION", "0", "lets cuBLASLt make float products of 16-bit ones"},
    {"CUBLAS_EMULATE_DOUBLE_PRECISION", "0", "lets cuBLASLt make double products of integer ones"},
    {"CUBLAS_EMULATION_STRATEGY", "default", "says when cuBLASLt makes products of narrower ones"},
    {"CUBLASLT_HEURISTICS_LUT_FILE", NULL, "gives cuBLASLt other heuristics"},
    {"NVIDIA_TF32_OVERRIDE", NULL, "decides over tensor cores in float, as `precision: fp32` or `tf32` does"},
    {"CUDA_FORCE_PTX_JIT", "0", "lets the driver compile all kernels anew, as each version does it"},
};

dt_status dt_gpu_environment_check(void) {
  for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
    const char *value = getenv(variables[i].name);
    if (value == NULL || value[0] == '\0') continue;
    const bool harmless = variables[i].harmless != NULL && strcmp(value, variables[i].harmless) == 0;
    DT_REQUIRE(harmless, DT_ENVIRONMENT, "%s: found '%s', expected it unset: it %s, and bits would depend on it",
               variables[i].name, value, variables[i].what);
  }
  return DT_OK;
}
