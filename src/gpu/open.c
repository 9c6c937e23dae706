/* Finding a GPU, and saying what is missing when there is none that will do. */
#include <stdio.h>
#include <stdlib.h>

#include "core/config/spec.h"
#include "gpu/await.h"
#include "gpu/bound.h"
#include "gpu/device.h"
#include "gpu/guard.h"
#include "gpu/staging.h"
#include "gpu/switches.h"

const char *dt_gpu_precision_name(int precision) {
  static const char *const names[] = {[DT_FP32] = "fp32", [DT_TF32] = "tf32", [DT_BF16] = "bf16", [DT_FP16] = "fp16"};
  return names[precision];
}

static dt_status check_driver(int *out_driver) {
  int driver = 0, toolkit = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess) driver = 0;
  DT_CUDA(cudaRuntimeGetVersion(&toolkit));
  DT_REQUIRE(driver > 0, DT_ENVIRONMENT,
             "the NVIDIA driver is not installed (or this container does not see it: docker run --gpus all)");
  DT_REQUIRE(
      driver / 1000 >= toolkit / 1000, DT_ENVIRONMENT,
      "the NVIDIA driver is too old: found one for CUDA %d.%d, expected CUDA %d.0 or newer; update the driver, or, with a "
      "data-center GPU, install the package cuda-compat-%d-%d and name its folder (/usr/local/cuda-%d.%d/compat) in "
      "LD_LIBRARY_PATH",
      driver / 1000, driver % 1000 / 10, toolkit / 1000, toolkit / 1000, toolkit % 1000 / 10, toolkit / 1000,
      toolkit % 1000 / 10);
  *out_driver = driver;
  return DT_OK;
}

static dt_status count_devices(int *out_count) {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES");
  int count = 0;
  cudaError_t code = cudaGetDeviceCount(&count);
  if (code == cudaErrorNoDevice)
    count = 0;
  else
    DT_TRY(dt_gpu_check(code, "cudaGetDeviceCount", __FILE__, __LINE__));
  DT_REQUIRE(
      count > 0 || visible == NULL, DT_ENVIRONMENT,
      "no GPU is left by CUDA_VISIBLE_DEVICES: found '%s', expected indices below the number of GPUs, or UUIDs, as nvidia-smi "
      "-L lists them, each GPU once; or unset it",
      visible);
  DT_REQUIRE(count > 0, DT_ENVIRONMENT, "the NVIDIA driver sees no GPU; see nvidia-smi");
  *out_count = count;
  return DT_OK;
}

/* GPU-xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx, as nvidia-smi writes it. */
static void write_device_id(dt_gpu *gpu, const struct cudaDeviceProp *properties) {
  int length = snprintf(gpu->id, sizeof gpu->id, "GPU-");
  for (int i = 0; i < 16; i++) {
    const char *dash = i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "";
    length +=
        snprintf(gpu->id + length, sizeof gpu->id - (size_t)length, "%s%02x", dash, (unsigned char)properties->uuid.bytes[i]);
  }
}

static void describe(dt_gpu *gpu, const struct cudaDeviceProp *properties, int driver) {
  write_device_id(gpu, properties);
  snprintf(gpu->title, sizeof gpu->title, "GPU %d %.90s, %.1f GiB, driver %d.%d", gpu->index, properties->name,
           (double)properties->totalGlobalMem / 0x1p30, driver / 1000, driver % 1000 / 10);
  snprintf(gpu->kernels, sizeof gpu->kernels, "sm_%d%d %s", properties->major, properties->minor,
           dt_gpu_precision_name(gpu->precision));
}

/* Loads one of dtrain's kernels: a GPU or a driver that can't run them ends the run before anything starts. Where the driver
 * compiles them, its version is among what bits depend on. */
static dt_status check_code(dt_gpu *gpu, const struct cudaDeviceProp *properties, int driver) {
  int binary, ptx;
  DT_TRY(dt_gpu_code_versions(&binary, &ptx));
  if (binary <= ptx) return DT_OK;
  snprintf(gpu->kernels, sizeof gpu->kernels, "sm_%d%d (PTX, driver %d.%d) %s", properties->major, properties->minor,
           driver / 1000, driver % 1000 / 10, dt_gpu_precision_name(gpu->precision));
  snprintf(gpu->note, sizeof gpu->note,
           "GPU %d (sm_%d%d) is newer than dtrain's machine code (sm_%d): the driver compiles each kernel from PTX when it is "
           "first needed, which makes the first start on this machine slow, and keeps it for later ones (CUDA_CACHE_PATH)",
           gpu->index, properties->major, properties->minor, ptx);
  gpu->base.note = gpu->note;
  return DT_OK;
}

/* Gradients are on their way while layers still compute, so communication goes first where both wait. What the side stream
 * computes has time until backward is over, and goes last. The smaller number is the higher priority. */
static dt_status open_streams(dt_gpu *gpu) {
  int lowest = 0, highest = 0;
  DT_CUDA(cudaDeviceGetStreamPriorityRange(&lowest, &highest));
  const int between = lowest - 1 > highest ? lowest - 1 : lowest;
  const int priority[DT_STREAMS] = {
      [DT_STREAM_COMPUTE] = between, [DT_STREAM_COMM] = highest, [DT_STREAM_COPY] = lowest, [DT_STREAM_SIDE] = lowest};
  for (int s = 0; s < DT_STREAMS; s++) {
    DT_CUDA(cudaStreamCreateWithPriority(&gpu->stream[s], cudaStreamNonBlocking, priority[s]));
  }
  return DT_OK;
}

dt_status dt_gpu_open(dt_gpu *gpu, int local_rank) {
  int driver = 0, count = 0;
  struct cudaDeviceProp properties;
  DT_TRY(dt_gpu_timeout_read(&gpu->timeout));
  DT_TRY(dt_gpu_records_check());
  DT_TRY(dt_gpu_guards_check());
  DT_TRY(dt_gpu_switches_check());
  DT_TRY(check_driver(&driver));
  DT_TRY(count_devices(&count));
  gpu->index = local_rank % count;
  DT_CUDA(cudaSetDevice(gpu->index));
  DT_CUDA(cudaGetDeviceProperties(&properties, gpu->index));
  DT_REQUIRE(properties.major >= 8, DT_ENVIRONMENT,
             "GPU %d %s: found compute capability %d.%d, expected 8.0 (A100) or newer; choose another by CUDA_VISIBLE_DEVICES",
             gpu->index, properties.name, properties.major, properties.minor);
  describe(gpu, &properties, driver);
  DT_TRY(check_code(gpu, &properties, driver));
  DT_TRY(open_streams(gpu));
  return dt_gpu_staging_open(gpu);
}

dt_status dt_gpu_open_model(dt_gpu *gpu, const char *name) {
  const dt_gpu_model *model = NULL;
  DT_TRY(dt_gpu_switches_check());
  DT_TRY(dt_gpu_model_get(name, &model));
  gpu->index = -1;
  gpu->model_memory = model->memory_bytes;
  snprintf(gpu->title, sizeof gpu->title, "%s", model->title);
  snprintf(gpu->kernels, sizeof gpu->kernels, "sm_%d %s", model->compute_capability / 10,
           dt_gpu_precision_name(gpu->precision));
  return DT_OK;
}
