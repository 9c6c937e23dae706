/* The device whose kernels are under test: the gpu, or the cpu, to test the test. */
#ifndef DT_TESTS_GPU_DEVICE_H
#define DT_TESTS_GPU_DEVICE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/device.h"

typedef dt_status device_create(const dt_device_options *options, dt_device **out);

/* The gpu, or the cpu where the first argument says so. */
static inline device_create *device_wanted(int argc, char **argv) {
  return argc > 1 && strcmp(argv[1], "cpu") == 0 ? dt_cpu_create : dt_gpu_create;
}

/* 0 when there is such a device. Else the exit code of a test that is skipped (77), or that failed since a plug-in was named.
 */
static inline int device_missing(device_create *create, const char *test) {
  dt_device *device = NULL;
  if (create(&(dt_device_options){.threads = 1}, &device) == DT_OK) {
    device->ops->destroy(&device);
    return 0;
  }
  printf("SKIP: %s, %s\n", test, dt_error_text());
  dt_error_clear();
  return getenv("DTRAIN_GPU_PLUGIN") != NULL ? 1 : 77;
}

#endif
