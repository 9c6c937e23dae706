/* What the host has free, read from files like the kernel's: a machine without groups, groups of version 2 and 1, limits above
 * a group, and a container that knows its group by another name. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/host_memory.h"
#include "support/files.h"
#include "support/folders.h"
#include "support/unit.h"

static char folder[DT_TEST_PATH];
static dt_host_paths paths;
static char meminfo[DT_TEST_PATH + 16], groups[DT_TEST_PATH + 16], root[DT_TEST_PATH + 16];

static void put(const char *name, const char *text) {
  char path[2 * DT_TEST_PATH];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  for (char *slash = strchr(path + strlen(folder) + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
    *slash = '\0';
    mkdir(path, 0777);
    *slash = '/';
  }
  FILE *file = fopen(path, "w");
  assert_non_null(file);
  fputs(text, file);
  assert_int_equal(fclose(file), 0);
}

static int begin(void **state) {
  if (dt_test_dir_create(folder) != DT_OK) return -1;
  snprintf(meminfo, sizeof meminfo, "%s/meminfo", folder);
  snprintf(groups, sizeof groups, "%s/groups", folder);
  snprintf(root, sizeof root, "%s/cg", folder);
  paths = (dt_host_paths){.meminfo = meminfo, .groups = groups, .root = root};
  put("meminfo", "MemTotal:       1000 kB\nMemFree:         100 kB\nMemAvailable:    800 kB\n");
  return 0;
}

static int end(void **state) {
  dt_test_tree_remove(folder);
  return 0;
}

static void expect(size_t free_kb, size_t all_kb) {
  size_t room, all;
  dt_host_memory(&paths, &room, &all);
  assert_int_equal(room, free_kb * 1024);
  assert_int_equal(all, all_kb * 1024);
}

static void test_machine(void **state) {
  expect(800, 1000);
  put("groups", "0::/\n");
  put("cg/memory.stat", "anon 5\n");
  expect(800, 1000);
  paths.meminfo = "/does/not/exist";
  size_t room, all;
  dt_host_memory(&paths, &room, &all);
  assert_true(room == SIZE_MAX && all == SIZE_MAX);
}

static void test_version_2(void **state) {
  put("groups", "0::/job/step\n");
  put("cg/job/step/memory.max", "max\n");
  put("cg/job/step/memory.current", "102400\n");
  expect(800, 1000);
  put("cg/job/memory.max", "614400\n"); /* 600 kB, of which 300 are taken and 100 could be given back */
  put("cg/job/memory.current", "307200\n");
  put("cg/job/memory.stat", "anon 204800\nfile 102400\ninactive_file 102400\n");
  expect(400, 600);
  put("cg/job/step/memory.max", "204800\n");
  expect(100, 200);
  put("cg/job/step/memory.current", "999999999\n"); /* beyond its limit */
  expect(0, 200);
}

static void test_version_1(void **state) {
  put("groups", "9:name=systemd:/\n4:memory:/pod/1\n3:cpuset:/\n0::/\n");
  put("cg/memory/pod/1/memory.limit_in_bytes", "512000\n");
  put("cg/memory/pod/1/memory.usage_in_bytes", "409600\n");
  put("cg/memory/pod/1/memory.stat", "inactive_file 51200\ntotal_inactive_file 204800\n");
  put("cg/memory/memory.limit_in_bytes", "9223372036854771712\n");
  put("cg/memory/memory.usage_in_bytes", "1\n");
  expect(300, 500);
}

/* The group's name is that of the host; inside, its files are the root's. */
static void test_container(void **state) {
  put("groups", "0::/system.slice/docker-1234.scope\n");
  put("cg/memory.max", "409600\n");
  put("cg/memory.current", "307200\n");
  expect(100, 400);
}

static void test_own(void **state) {
  size_t room, all;
  assert_true(dt_host_resident() > 100000);
  dt_host_address_space(&room, &all);
  assert_true(room <= all);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void) {
  const struct CMUnitTest tests[] = {CASE(test_machine), CASE(test_version_2), CASE(test_version_1), CASE(test_container),
                                     CASE(test_own)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
