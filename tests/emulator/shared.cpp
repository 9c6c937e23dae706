/* __shared__ memory is thread-local memory of the device's thread (emulated_kernels.h), all of it in this library's one block
 * of such memory. Before a block of a kernel runs it is filled with NaN. To fill all of it for each of thousands of blocks
 * would be slow, so the first blocks of a kernel show what it writes, and for later ones only that is filled. */
#include <link.h>
#include <cstring>
#include <map>

#include "internal.h"

namespace {

constexpr unsigned char garbage = 0xFF;
constexpr int lessons = 4; /* blocks that are watched */

thread_local volatile int touched; /* the thread that writes it gets its block, if it had none */

struct region {
  unsigned char *start = nullptr;
  size_t bytes = 0;
};
struct use {
  size_t low = SIZE_MAX, high = 0; /* bytes of the region that the kernel wrote */
  int watched = 0;
};

int find_region(dl_phdr_info *info, size_t, void *found) {
  bool own = false;
  const ElfW(Phdr) *local = nullptr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
    uintptr_t offset = (uintptr_t)&find_region - (info->dlpi_addr + segment->p_vaddr);
    if (segment->p_type == PT_LOAD && offset < segment->p_memsz) own = true;
    if (segment->p_type == PT_TLS) local = segment;
  }
  if (!own || !local || !info->dlpi_tls_data) return 0;
  /* What has an initial value is not shared memory of a kernel. */
  *static_cast<region *>(found) = {(unsigned char *)info->dlpi_tls_data + local->p_filesz, local->p_memsz - local->p_filesz};
  return 1;
}

const region &shared() {
  static const region found = [] {
    region r;
    touched = 1;
    if (!dl_iterate_phdr(find_region, &r)) emulator_fail("the block of thread-local memory is not found");
    return r;
  }();
  return found;
}

use &use_of(const void *function) {
  static auto &uses = *new std::map<const void *, use>;
  return uses[function];
}

}  // namespace

namespace emulated {

std::pair<uintptr_t, uintptr_t> shared_memory() {
  const uintptr_t start = (uintptr_t)shared().start;
  return {start, start + shared().bytes};
}

void poison_shared(const void *function) {
  const use &known = use_of(function);
  if (known.watched < lessons) {
    memset(shared().start, garbage, shared().bytes);
  } else if (known.high > known.low) {
    memset(shared().start + known.low, garbage, known.high - known.low);
  }
}

void learn_shared(const void *function) {
  use &known = use_of(function);
  if (known.watched >= lessons) return;
  known.watched++;
  const unsigned char *start = shared().start;
  size_t low = 0, high = shared().bytes;
  while (low < high && start[low] == garbage) low++;
  while (high > low && start[high - 1] == garbage) high--;
  if (low == high) return;
  if (low < known.low) known.low = low;
  if (high > known.high) known.high = high;
}

}  // namespace emulated
