/* Launching a kernel: what CUDA would refuse, and what would crash a GPU, is found here. */
#include <dlfcn.h>
#include <unistd.h>
#include <cstdio>
#include <cstring>
#include <string>

#include "internal.h"

namespace {

using namespace emulated;

/* addr2line knows names of functions that the library does not export. */
std::string name_of(const void *function) {
  Dl_info info;
  if (!dladdr(function, &info)) return "?";
  if (info.dli_sname) return info.dli_sname;
  char command[1024], line[512] = "";
  snprintf(command, sizeof command, "addr2line -Cfse '%s' %#zx 2>/dev/null", info.dli_fname,
           (size_t)((const char *)function - (const char *)info.dli_fbase));
  if (FILE *pipe = popen(command, "r")) {
    if (!fgets(line, sizeof line, pipe)) line[0] = 0;
    pclose(pipe);
  }
  const char anonymous[] = "(anonymous namespace)::";
  std::string name = line;
  size_t prefix = name.find(anonymous);
  if (prefix != std::string::npos) name.erase(0, prefix + strlen(anonymous));
  name.resize(strcspn(name.c_str(), "(\n"));
  if (!name.empty() && name[0] != '?') return name;
  snprintf(line, sizeof line, "at %#zx of %s", (size_t)((const char *)function - (const char *)info.dli_fbase), info.dli_fname);
  return line;
}

struct range {
  uintptr_t low, high;
  bool has(uintptr_t p) const {
    return p >= low && p < high;
  }
};

range stack_of_thread() {
  thread_local range own = {0, 0};
  if (!own.high) {
    pthread_attr_t attributes;
    void *low;
    size_t bytes;
    pthread_getattr_np(pthread_self(), &attributes);
    pthread_attr_getstack(&attributes, &low, &bytes);
    pthread_attr_destroy(&attributes);
    own = {(uintptr_t)low, (uintptr_t)low + bytes};
  }
  return own;
}

#ifdef __SANITIZE_ADDRESS__
range heap() {
  return {0x600000000000, 0x700000000000};
}
#else
uintptr_t heap_start() {
  uintptr_t start = 0;
  FILE *maps = fopen("/proc/self/maps", "r");
  char line[512];
  while (maps && fgets(line, sizeof line, maps)) {
    if (strstr(line, "[heap]")) sscanf(line, "%zx", &start);
  }
  if (maps) fclose(maps);
  return start;
}

range heap() {
  static uintptr_t start = heap_start();
  return {start, start ? (uintptr_t)sbrk(0) : 0};
}
#endif

bool readable(const void *p) {
  return emulator_owns(p, 0) || (held_lock(lock()), is_mapped(p));
}

void run_launched(void *context) {
  static const long fail_kernel = emulator_number("fail_kernel", 0);
  static long ran = 0;
  emulator_kernel *kernel = static_cast<emulator_kernel *>(context);
  if (++ran == fail_kernel) {
    held_lock held(lock());
    set_sticky_error(cudaErrorIllegalAddress);
    return;
  }
  run_kernel(kernel);
}

void drop_launched(void *context) {
  delete static_cast<emulator_kernel *>(context);
}

bool valid(const cudaLaunchConfig_t &config) {
  const dim3 &g = config.gridDim, &b = config.blockDim;
  uint64_t threads = (uint64_t)b.x * b.y * b.z;
  return threads && threads <= 1024 && b.z <= 64 && g.x && g.y && g.z && g.x <= INT32_MAX && g.y <= 65535 && g.z <= 65535;
}

}  // namespace

namespace emulated {

void fail_in_kernel(const void *function, const char *what) {
  emulator_fail("kernel %s: %s", name_of(function).c_str(), what);
}

}  // namespace emulated

void emulator_check_pointer(const void *function, int argument, const void *pointer) {
  if (!pointer || readable(pointer)) return;
  bool pinned = (held_lock(lock()), pinned_owns(pointer, 1));
  emulator_fail("kernel %s: argument %d points to %s, not to device memory", name_of(function).c_str(), argument,
                pinned ? "pinned host memory" : "host memory");
}

void emulator_check_struct(const void *function, int argument, const void *value, size_t bytes) {
  range own_stack = stack_of_thread(), own_heap = heap();
  for (size_t at = 0; at + sizeof(uintptr_t) <= bytes; at += sizeof(uintptr_t)) {
    uintptr_t word;
    memcpy(&word, (const char *)value + at, sizeof word);
    const char *where = own_stack.has(word) ? "stack" : own_heap.has(word) ? "heap" : nullptr;
    if (!where || readable((const void *)word)) continue;
    emulator_fail(
        "kernel %s: argument %d holds, at byte %zu, a pointer to the host's %s; hand it device memory, or clear the field",
        name_of(function).c_str(), argument, at, where);
  }
}

cudaError_t emulator_launch(const cudaLaunchConfig_t *config, const void *function, emulator_kernel *kernel) {
  kernel->grid = config->gridDim;
  kernel->block = config->blockDim;
  kernel->function = function;
  if (config->dynamicSmemBytes || config->numAttrs) {
    fail_in_kernel(function, "dynamic shared memory and launch attributes are not emulated");
  }
  if (!valid(*config)) {
    delete kernel;
    return keep_error(cudaErrorInvalidConfiguration);
  }
  emulator_work what = {"kernel", run_launched, drop_launched, kernel};
  return emulator_enqueue(config->stream, &what);
}

/* What loading a kernel ends in (code=...). */
static cudaError_t loading_error() {
  static const struct {
    const char *code;
    cudaError_t error;
  } errors[] = {{"none", cudaErrorNoKernelImageForDevice},
                {"old_compiler", cudaErrorUnsupportedPtxVersion},
                {"no_compiler", cudaErrorJitCompilerNotFound},
                {"compiler_off", cudaErrorJitCompilationDisabled}};
  const char *code = emulator_text("code");
  for (const auto &row : errors) {
    if (code && !strcmp(code, row.code)) return row.error;
  }
  if (code) emulator_fail("code=%s is none that there is", code);
  return cudaSuccess;
}

/* Of the compiled kernel only the limit is known. It was built for 8.0, 9.0 and 10.0, and for what is newer as PTX of the last.
 */
extern "C" cudaError_t cudaFuncGetAttributes(struct cudaFuncAttributes *attributes, const void *function) {
  const int capability = (int)emulator_number("capability", 90), built = capability / 10 < 10 ? capability / 10 * 10 : 100;
  *attributes = {};
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  attributes->ptxVersion = built;
  attributes->binaryVersion = capability / 10 > 10 ? capability : built;
  cudaError_t error = device_error();
  return keep_error(error ? error : loading_error());
}
