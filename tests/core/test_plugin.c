/* Whether a machine has a GPU of NVIDIA's, as the kernel's list of PCI devices tells. */
#include "core/plugin.h"

#include <stdio.h>
#include <sys/stat.h>

#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

static char dir[DT_TEST_PATH];

static void write_number(const char *device, const char *name, const char *text) {
  char path[DT_TEST_PATH + 64];
  snprintf(path, sizeof path, "%s/%s/%s", dir, device, name);
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fprintf(file, "%s\n", text);
  fclose(file);
}

static void add_device(const char *device, const char *vendor, const char *class_text) {
  char path[DT_TEST_PATH + 64];
  snprintf(path, sizeof path, "%s/%s", dir, device);
  assert_int_equal(mkdir(path, 0700), 0);
  write_number(device, "vendor", vendor);
  write_number(device, "class", class_text);
}

static void a_gpu_is_found_among_other_devices(void **state) {
  assert_int_equal(dt_test_dir_create(dir), DT_OK);
  assert_false(dt_pci_has_gpu(dir));
  add_device("0000:00:00.0", "0x8086", "0x060000"); /* a bridge */
  add_device("0000:00:02.0", "0x8086", "0x030000"); /* another vendor's display */
  add_device("0000:01:00.1", "0x10de", "0x040300"); /* NVIDIA's sound, which every card has */
  add_device("0000:01:00.2", "", "");
  assert_false(dt_pci_has_gpu(dir));
  add_device("0000:02:00.0", "0x10de", "0x030200"); /* a 3D controller, as in data centres */
  assert_true(dt_pci_has_gpu(dir));
  dt_test_tree_remove(dir);
  assert_false(dt_pci_has_gpu(dir));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_gpu_is_found_among_other_devices)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
