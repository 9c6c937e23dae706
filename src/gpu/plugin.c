/* The plug-in's one symbol. */
#include "core/plugin.h"

#include "core/config/spec.h"
#include "gpu/device.h"
#include "gpu/host.h"

static const dt_gpu_type types[] = {
    [DT_FP32] = DT_GPU_F32, [DT_TF32] = DT_GPU_F32, [DT_BF16] = DT_GPU_BF16, [DT_FP16] = DT_GPU_F16};

static dt_status open_device(dt_gpu *gpu, const dt_device_options *options) {
  DT_TRY(dt_gpu_environment_check());
  if (options->model != NULL) {
    DT_TRY(dt_gpu_open_model(gpu, options->model));
  } else {
    DT_TRY(dt_gpu_open(gpu, options->local_rank));
  }
  DT_TRY(dt_gpu_libraries_open(gpu, options));
  /* A plan is no piece of hardware that ranks could share. */
  if (options->model != NULL) gpu->base.id = NULL;
  return DT_OK;
}

static dt_status create(const dt_host *host, const dt_device_options *options, dt_device **out) {
  dt_gpu *gpu = NULL;
  *out = NULL;
  dt_gpu_host_set(host);
  DT_TRY(dt_alloc(1, sizeof *gpu, &gpu));
  dt_gpu_init(gpu, options->rank);
  gpu->precision = options->precision;
  gpu->type = types[options->precision];
  gpu->proves = options->verify_engines;
  *out = &gpu->base;
  dt_status status = open_device(gpu, options);
  if (status != DT_OK) (*out)->ops->destroy(out);
  return status;
}

__attribute__((visibility("default"))) const dt_plugin *dt_gpu_plugin(void) {
  static const dt_plugin plugin = {.build = DT_PLUGIN_BUILD, .device_bytes = DT_PLUGIN_BYTES, .create = create};
  return &plugin;
}
