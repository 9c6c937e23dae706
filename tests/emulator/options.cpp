/* Options of the emulated GPU, DTRAIN_EMULATED_GPU="name=value,...":
 *
 * seed=N          what the order of work, of blocks and of threads is drawn from (0)
 * devices=N       GPUs of the machine (1)
 * memory=BYTES    of each (8 GiB)
 * sparse=BYTES    an allocation of more takes what is written of it, and holds zeros
 * blocks=N        of a grid of more than 2 N blocks the first N and the last N run, and no others
 * multiprocessors=N of each (8): nothing that is computed may depend on it
 * driver=WHAT     none: no driver; old: one of CUDA 12.8; nodevice: a driver without a GPU; notready or mismatch: one that
 *                 does not start; compat: one that is newer than what the GPU's own can be made
 * capability=NN   of each GPU: 90 is 9.0 (90)
 * code=WHAT       kernels can't be loaded. none: there is none for this GPU; old_compiler, no_compiler, compiler_off: of the
 *                 driver, for one that is PTX
 * busy=1          another process has the GPUs to itself
 * order=inline    every call waits for its work, for debugging
 * late_host=N     after one call in N the device does all that it can before the host goes on: what relies on the device being
 *                 the slower one shows
 * fail_alloc=K    the K-th cudaMalloc fails
 * full=1          every cudaMalloc fails once a recorded graph has been launched
 * peaks=FILE      when the process ends, writes the most bytes that it had of device D at a time to FILE.D
 * work=FILE       when the process ends, writes what it has put on streams, outside of recordings: counts.cpp
 * fail_kernel=K   the K-th kernel that runs touches memory that it may not
 * fail_record=K   the K-th piece of work that is recorded is refused, as what cannot be recorded is
 * hang_after=K    nothing runs any more after K pieces of work
 * hang_download=K nothing runs any more from the K-th copy to the host on, which is not made
 * slow_copies=MS  a copy from pinned memory to the device takes so many milliseconds
 *
 * The cuDNN, cuBLASLt and NCCL stand-ins and cache.c read options of their own; defects.cpp has those that plant a program's
 * mistakes. */
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>

#include "internal.h"

namespace {

/* Every option that is read anywhere: one that is misspelt would plant nothing, and its test could not fail. */
const char known[] =
    " seed devices memory sparse blocks multiprocessors driver busy order late_host capability code fail_alloc full peaks work "
    "fail_kernel fail_record hang_after hang_download slow_copies "
    " drop_waits drop_wait deaf early_events hasty wrong_stream "
    " batch_dependent cublas_fail l2 call_ms cudnn cudnn_broken cudnn_engine_5 cublas cudnn_fail cudnn_refuse cudnn_shuffled "
    "cudnn_wrong "
    " nccl_version nccl_init_die nccl_die nccl_init_kill nccl_kill nccl_stop count_scale nccl_hang nccl_error nccl_abort_hangs "
    "slow_nccl nccl_refuse ";

/* engine_2_ms, engine_2_7_ms, engine_2_warm_ms and algorithm_1_ms belong to engines, of which there are many. */
bool is_time(const std::string &name) {
  bool of_engine = name.rfind("engine_", 0) == 0 || name.rfind("algorithm_", 0) == 0;
  return of_engine && name.compare(name.size() - 3, 3, "_ms") == 0;
}

void require_known(const std::string &name) {
  if (strstr(known, (" " + name + " ").c_str()) || is_time(name)) return;
  emulator_fail("DTRAIN_EMULATED_GPU: there is no option %s", name.c_str());
}

std::map<std::string, std::string> parse(const char *text) {
  std::map<std::string, std::string> options;
  std::string rest = text ? text : "";
  while (!rest.empty()) {
    size_t end = rest.find(',');
    std::string item = rest.substr(0, end);
    size_t equals = item.find('=');
    if (equals == std::string::npos) emulator_fail("DTRAIN_EMULATED_GPU: \"%s\" is not name=value", item.c_str());
    require_known(item.substr(0, equals));
    options[item.substr(0, equals)] = item.substr(equals + 1);
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
  }
  return options;
}

uint64_t mix(uint64_t x) { /* splitmix64 */
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace

extern "C" const char *emulator_text(const char *name) {
  static const auto &options = *new std::map<std::string, std::string>(parse(getenv("DTRAIN_EMULATED_GPU")));
  require_known(name);
  auto found = options.find(name);
  return found == options.end() ? nullptr : found->second.c_str();
}

extern "C" long emulator_number(const char *name, long otherwise) {
  const char *text = emulator_text(name);
  if (!text) return otherwise;
  char *end;
  long value = strtol(text, &end, 10);
  if (end == text || *end) emulator_fail("DTRAIN_EMULATED_GPU: %s=%s is not a number", name, text);
  return value;
}

extern "C" void emulator_fail(const char *format, ...) {
  va_list args;
  va_start(args, format);
  char text[1024];
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fprintf(stderr, "emulated gpu: %s\n", text);
  fflush(stderr);
  abort();
}

namespace emulated {

dice::dice(uint64_t sequence) : state(mix((uint64_t)emulator_number("seed", 0)) + mix(sequence)) {
}

uint64_t dice::draw() {
  return mix(state += 0x9e3779b97f4a7c15ull);
}

}  // namespace emulated
