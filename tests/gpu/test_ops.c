/* The gpu device has a kernel for every op that instructions of a program are run by: all of core/program/ops.def but those
 * that the executor carries out itself. So an op that the gpu lacks is found here and not by a user's net. */
#include "core/program/program.h"
#include "gpu/device.h"
#include "support/unit.h"

static device_create *create;

/* What the executor does with the reducer and the device's `add`. */
static bool is_executors(dt_op op) {
  return op == DT_OP_COMBINE || op == DT_OP_ACCUMULATE || op == DT_OP_REDUCE_BEGIN || op == DT_OP_REDUCE_END ||
         op == DT_OP_GRAD_ADD;
}

/* Appends the names of the ops without a kernel to a text, each behind a blank. */
static void list_missing(const dt_device *device, char *out, size_t bytes) {
  size_t length = 0;
  out[0] = '\0';
  for (int op = 0; op < DT_OP_COUNT && length < bytes; op++) {
    if (is_executors((dt_op)op) || device->kernel[op] != NULL) continue;
    length += (size_t)snprintf(out + length, bytes - length, " %s", dt_op_infos[op].name);
  }
}

static dt_device *open_device(device_create *make) {
  dt_device *device = NULL;
  if (make(&(dt_device_options){.threads = 1}, &device) != DT_OK) fail_msg("%s", dt_error_text());
  return device;
}

static void test_complete(void **state) {
  char missing[512];
  dt_device *device = open_device(create);
  list_missing(device, missing, sizeof missing);
  const bool complete = dt_device_ops_are_complete(device->ops);
  device->ops->destroy(&device);
  assert_string_equal(missing, "");
  assert_true(complete);
}

/* Whatever another device can do the gpu can; the executor's ops are nobody's. */
static void test_others(void **state) {
  static device_create *const others[] = {dt_reference_create, dt_cpu_create};
  dt_device *device = open_device(create);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    dt_device *other = open_device(others[i]);
    for (int op = 0; op < DT_OP_COUNT; op++) {
      if (other->kernel[op] == NULL) continue;
      if (device->kernel[op] == NULL)
        fail_msg("%s has a kernel for %s, %s has none", other->ops->name, dt_op_infos[op].name, device->ops->name);
      assert_false(is_executors((dt_op)op));
    }
    other->ops->destroy(&other);
  }
  device->ops->destroy(&device);
}

/* The list can have something in it. */
static void test_row_taken_out(void **state) {
  char missing[512];
  dt_device *device = open_device(create);
  device->kernel[DT_OP_SLICE] = NULL;
  device->kernel[DT_OP_BN_UPDATE] = NULL;
  list_missing(device, missing, sizeof missing);
  device->ops->destroy(&device);
  assert_string_equal(missing, " slice bn_update");
}

int main(int argc, char **argv) {
  create = device_wanted(argc, argv);
  int missing = device_missing(create, "gpu.ops");
  if (missing) return missing;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_complete), cmocka_unit_test(test_others),
                                     cmocka_unit_test(test_row_taken_out)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
