/* The tables of a device: one that is there has all its functions. */
#include <string.h>

#include "core/device.h"
#include "support/unit.h"

static void check_device(dt_status (*make)(const dt_device_options *options, dt_device **out)) {
  dt_device *device;
  assert_int_equal(make(&(dt_device_options){.threads = 1}, &device), DT_OK);
  assert_true(dt_device_ops_are_complete(device->ops));
  device->ops->destroy(&device);
}

static void host_devices_are_complete(void **state) {
  check_device(dt_reference_create);
  check_device(dt_cpu_create);
}

static void function(void) {
}

static void fill(void *slots, size_t bytes) {
  void (*const any)(void) = function;
  for (size_t at = 0; at < bytes; at += sizeof any) memcpy((char *)slots + at, &any, sizeof any);
}

/* Takes each function of a table away in turn. */
static void take_away(const dt_device_ops *ops, void *slots, size_t bytes) {
  char none[sizeof(void (*)(void))] = {0}, kept[sizeof none];
  for (size_t at = 0; at < bytes; at += sizeof none) {
    memcpy(kept, (char *)slots + at, sizeof none);
    memcpy((char *)slots + at, none, sizeof none);
    if (dt_device_ops_are_complete(ops)) fail_msg("without the function at %zu of %zu bytes", at, bytes);
    memcpy((char *)slots + at, kept, sizeof none);
  }
}

static void every_function_is_needed(void **state) {
  dt_stream_ops streams;
  dt_own_memory_ops own_memory;
  dt_library_ops libraries;
  dt_device_ops ops = {.name = "full"};
  const size_t first = offsetof(dt_device_ops, fuses), functions = sizeof ops - first;
  fill((char *)&ops + first, functions);
  assert_true(dt_device_ops_are_complete(&ops));
  fill(&streams, sizeof streams);
  fill(&own_memory, sizeof own_memory);
  fill(&libraries, sizeof libraries);
  ops.streams = &streams;
  ops.own_memory = &own_memory;
  ops.libraries = &libraries;
  assert_true(dt_device_ops_are_complete(&ops));
  take_away(&ops, (char *)&ops + first, functions);
  take_away(&ops, &streams, sizeof streams);
  take_away(&ops, &own_memory, sizeof own_memory);
  take_away(&ops, &libraries, sizeof libraries);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(host_devices_are_complete),
      cmocka_unit_test(every_function_is_needed),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
