#include "train/devices.h"

#include <stdio.h>

#include "comm/cores.h"
#include "core/plugin.h"

static dt_status create(const dt_spec *spec, const dt_device_options *options, char *missing, dt_device **out) {
  if (spec->device == DT_DEVICE_GPU) return dt_gpu_create(options, out);
  if (spec->device == DT_DEVICE_REFERENCE) return dt_reference_create(options, out);
  if (spec->device == DT_DEVICE_AUTO && dt_plugin_exists()) {
    /* Without a driver the plug-in and its libraries need not be loaded to know how that would end. */
    bool driver = dt_plugin_has_driver();
    dt_status status = driver ? dt_gpu_create(options, out) : DT_ENVIRONMENT;
    if (status == DT_OK || status == DT_USAGE) return status; /* a mistake in the config is not made good by the cpu */
    /* Where there is no GPU, none is missed. */
    if (driver || dt_pci_has_gpu(dt_pci_devices))
      snprintf(missing, DT_MISSING_TEXT, "%s", driver ? dt_error_text() : "the NVIDIA driver is not installed");
    dt_error_clear();
  }
  return dt_cpu_create(options, out);
}

dt_status dt_device_create(const dt_spec *spec, dt_comm *comm, const char *model, int *out_threads, char *missing,
                           dt_device **out) {
  const double cores = comm != NULL ? comm->cores : dt_cores_available();
  int threads = spec->threads > 0 ? (int)spec->threads : (int)cores;
  if (threads < 1) threads = 1;
  *out_threads = threads;
  dt_device_options options = {.threads = threads,
                               .spin = threads <= cores,
                               .math = spec->math,
                               .precision = spec->precision,
                               .transport = spec->comm.transport,
                               .plans = spec->plans,
                               .verify_engines = spec->verify.engines,
                               .local_rank = comm != NULL ? comm->local_rank : 0,
                               .rank = comm != NULL ? &comm->state : NULL,
                               .model = model};
  missing[0] = '\0';
  DT_TRY(create(spec, &options, missing, out));
  DT_ASSERT(dt_device_ops_are_complete((*out)->ops));
  return DT_OK;
}
