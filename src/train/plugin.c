/* Finds and loads the plug-in with the gpu device. */
#include "core/plugin.h"

#include <dirent.h>
#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "comm/comm.h"

#define FILE_NAME "libdtrain_gpu.so"

/* Where the plug-in may lie, seen from the folder of the program: beside it (a build), or as installed. */
static const char *const places[] = {"", "../lib/dtrain/", "../lib64/dtrain/", "../lib/" DTRAIN_MULTIARCH "/dtrain/"};

/* Where the plan tables that come with dtrain may lie. */
static const char *const plan_places[] = {"plans", "../share/dtrain/plans"};

/* The folder of the running program with a slash at its end. */
static bool program_folder(char *folder) {
  ssize_t length = readlink("/proc/self/exe", folder, PATH_MAX - 1);
  if (length <= 0) return false;
  folder[length] = '\0';
  char *slash = strrchr(folder, '/');
  if (slash == NULL) return false;
  slash[1] = '\0';
  return true;
}

/* DTRAIN_GPU_PLUGIN names a plug-in outright; tests load their emulated GPU so. */
static dt_status find_plugin(char *path) {
  char folder[PATH_MAX];
  const char *named = getenv("DTRAIN_GPU_PLUGIN");
  if (named != NULL) {
    DT_REQUIRE(snprintf(path, PATH_MAX, "%s", named) < PATH_MAX && access(path, R_OK) == 0, DT_ENVIRONMENT,
               "DTRAIN_GPU_PLUGIN: found \"%s\", expected a file that can be read", named);
    return DT_OK;
  }
  DT_REQUIRE(program_folder(folder), DT_ENVIRONMENT, "the folder of the program can't be found in /proc/self/exe");
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (snprintf(path, PATH_MAX, "%s%s" FILE_NAME, folder, places[i]) < PATH_MAX && access(path, R_OK) == 0) return DT_OK;
  }
  DT_RAISE(DT_ENVIRONMENT, "no " FILE_NAME " beside the program: a dtrain that is built without the CUDA Toolkit has none");
}

bool dt_plugin_exists(void) {
  char path[PATH_MAX];
  if (getenv("DTRAIN_GPU_PLUGIN") != NULL) return true;
  bool exists = find_plugin(path) == DT_OK;
  if (!exists) dt_error_clear();
  return exists;
}

bool dt_plugin_has_driver(void) {
  if (getenv("DTRAIN_GPU_PLUGIN") != NULL) return true;
  void *driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (driver != NULL) dlclose(driver);
  return driver != NULL;
}

const char dt_pci_devices[] = "/sys/bus/pci/devices";

/* The number in a file of one line; -1 when there is none. */
static long read_number(const char *devices, const char *device, const char *name) {
  char path[PATH_MAX];
  long number = -1;
  snprintf(path, sizeof path, "%s/%s/%s", devices, device, name);
  FILE *file = fopen(path, "re");
  if (file == NULL) return -1;
  if (fscanf(file, "%li", &number) != 1) number = -1;
  fclose(file);
  return number;
}

bool dt_pci_has_gpu(const char *devices) {
  enum { NVIDIA = 0x10de, DISPLAY = 0x03 }; /* the vendor, and the class of every kind of display controller */
  bool found = false;
  DIR *dir = opendir(devices);
  if (dir == NULL) return false;
  for (struct dirent *item; !found && (item = readdir(dir)) != NULL;) {
    if (read_number(devices, item->d_name, "vendor") != NVIDIA) continue;
    found = read_number(devices, item->d_name, "class") >> 16 == DISPLAY;
  }
  closedir(dir);
  return found;
}

/* The loader's words about a library that the plug-in needs and that is not there want an addition. */
static dt_status raise_load_error(const char *path) {
  const char *text = dlerror();
  bool absent = strstr(text, "cannot open shared object file") != NULL;
  DT_RAISE(DT_ENVIRONMENT, "%s can't be loaded: %s%s", path, text,
           absent ? "; install that library, or name its folder in LD_LIBRARY_PATH" : "");
}

static const dt_host host = {
    .error_set = dt_error_set_args, .alloc = dt_alloc, .error_clear = dt_error_clear, .agree = dt_comm_agree};

/* The plug-in stays loaded: devices have its functions. */
static dt_status load(const char *path, const dt_plugin **out) {
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == NULL) return raise_load_error(path);
  dt_plugin_entry *entry = (dt_plugin_entry *)(uintptr_t)dlsym(library, DT_PLUGIN_SYMBOL);
  DT_REQUIRE(entry != NULL, DT_ENVIRONMENT, "%s is no plug-in of dtrain: it has no " DT_PLUGIN_SYMBOL, path);
  *out = entry();
  DT_REQUIRE((*out)->device_bytes == DT_PLUGIN_BYTES && strcmp((*out)->build, DT_PLUGIN_BUILD) == 0, DT_ENVIRONMENT,
             "%s was built from dtrain %s, this program from %s; build both from one tree", path, (*out)->build,
             DT_PLUGIN_BUILD);
  return DT_OK;
}

/* The folder of plan tables that come with dtrain; false where there is none. */
static bool find_plans(char *path) {
  char folder[PATH_MAX];
  if (!program_folder(folder)) return false;
  for (size_t i = 0; i < sizeof plan_places / sizeof *plan_places; i++) {
    if (snprintf(path, PATH_MAX, "%s%s", folder, plan_places[i]) < PATH_MAX && access(path, R_OK) == 0) return true;
  }
  return false;
}

/* The words of the config become a path, or none. */
static void resolve_plans(dt_device_options *options, char *path) {
  if (options->plans == NULL) return;
  bool tables = strcmp(options->plans, "auto") == 0, off = strcmp(options->plans, "off") == 0;
  options->plans_needed = !tables && !off;
  if (off || (tables && !find_plans(path))) options->plans = NULL;
  if (tables && options->plans != NULL) options->plans = path;
}

dt_status dt_gpu_create(const dt_device_options *options, dt_device **out) {
  char path[PATH_MAX], plans[PATH_MAX];
  dt_device_options resolved = *options;
  const dt_plugin *plugin = NULL;
  *out = NULL;
  DT_TRY(find_plugin(path));
  DT_TRY(load(path, &plugin));
  resolve_plans(&resolved, plans);
  return plugin->create(&host, &resolved, out);
}
