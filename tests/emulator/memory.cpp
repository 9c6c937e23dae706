/* Device memory and pinned host memory: both are heap memory of the process that is known by address. New and freed memory
 * holds garbage, NaN in every float type or large numbers; before and behind every allocation stand fences, NaN too, that are
 * looked at when it is freed. AddressSanitizer has better fences, so there none are needed. Device memory of more than `sparse`
 * bytes is a mapping that takes what is written of it and holds zeros, with nothing else anywhere near. */
#include <sys/mman.h>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

#include "internal.h"

namespace {

using namespace emulated;

struct block {
  size_t bytes;
  int device;
  const char *freed_by = nullptr; /* the one call that may free it; NULL: cudaFree */
};
/* On either side of a mapping: what is wrong by 2^32 elements is within. */
constexpr size_t apart = (size_t)1 << 36;
struct memory {
  std::map<uintptr_t, block> device, pinned; /* by disguised address */
  size_t limit = (size_t)emulator_number("memory", 8L << 30), used[64] = {}, peak[64] = {};
  size_t sparse = (size_t)emulator_number("sparse", LONG_MAX);
  long allocations = 0, fail_alloc = emulator_number("fail_alloc", 0);
  bool full = false;
  dice garbage{2};
};

#ifdef __SANITIZE_ADDRESS__
constexpr size_t fence_bytes = 0;
#else
constexpr size_t fence_bytes = 256;
#endif
constexpr unsigned char fence = 0xFF;

memory &m();

void write_peaks() {
  for (int device = 0; device < 64; device++) {
    if (m().peak[device] == 0) continue;
    char name[4096];
    snprintf(name, sizeof name, "%s.%d", emulator_text("peaks"), device);
    FILE *file = fopen(name, "w");
    if (!file || fprintf(file, "%zu\n", m().peak[device]) < 0 || fclose(file)) emulator_fail("peaks: cannot write %s", name);
  }
}

memory *make_memory() {
  if (emulator_text("peaks")) atexit(write_peaks);
  return new memory;
}

memory &m() {
  static memory &only = *make_memory();
  return only;
}

bool holds(const std::map<uintptr_t, block> &blocks, const void *p, size_t bytes) {
  uintptr_t start = disguised(p);
  auto next = blocks.upper_bound(start);
  if (next == blocks.begin()) return false;
  auto found = std::prev(next);
  return start - found->first <= found->second.bytes && bytes <= found->second.bytes - (start - found->first);
}

void *allocate(std::map<uintptr_t, block> *blocks, size_t bytes) {
  void *p = nullptr;
  if (posix_memalign(&p, 256, bytes + 2 * fence_bytes)) return nullptr;
  memset(p, fence, fence_bytes);
  p = (char *)p + fence_bytes;
  memset(p, m().garbage.below(4) ? 0xFF : 0x7F, bytes);
  memset((char *)p + bytes, fence, fence_bytes);
  (*blocks)[disguised(p)] = {bytes, current_device(), nullptr};
  return p;
}

cudaError_t release_mapping(std::map<uintptr_t, block> *blocks, std::map<uintptr_t, block>::iterator found, void *p) {
  m().used[found->second.device] -= found->second.bytes;
  munmap((char *)p - apart, found->second.bytes + 2 * apart);
  blocks->erase(found);
  return cudaSuccess;
}

void *map_sparsely(std::map<uintptr_t, block> *blocks, size_t bytes) {
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void *p = mmap(nullptr, bytes + 2 * apart, PROT_NONE, flags, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  p = (char *)p + apart;
  if (mprotect(p, bytes, PROT_READ | PROT_WRITE)) emulator_fail("sparse: a mapping can't be used");
  (*blocks)[disguised(p)] = {bytes, current_device(), nullptr};
  return p;
}

/* Gives back what `name` was called for. */
cudaError_t release(std::map<uintptr_t, block> *blocks, void *p, const char *name) {
  auto found = blocks->find(disguised(p));
  if (found == blocks->end()) return cudaErrorInvalidValue;
  if (found->second.freed_by) emulator_fail("%s: the memory is for %s to free", name, found->second.freed_by);
  if (blocks == &m().device && found->second.bytes > m().sparse) return release_mapping(blocks, found, p);
  const unsigned char *behind = (const unsigned char *)p + found->second.bytes;
  for (size_t i = 1; i <= fence_bytes; i++) {
    if (((const unsigned char *)p)[-(ptrdiff_t)i] != fence) {
      emulator_fail("%s: something wrote %zu bytes before an allocation of %zu bytes", name, i, found->second.bytes);
    }
  }
  for (size_t i = 0; i < fence_bytes; i++) {
    if (behind[i] != fence) {
      emulator_fail("%s: something wrote %zu bytes behind the end of an allocation of %zu bytes", name, i, found->second.bytes);
    }
  }
  if (blocks == &m().device) m().used[found->second.device] -= found->second.bytes;
  unmap_memory(p);
  memset(p, 0xFF, found->second.bytes);
  free((char *)p - fence_bytes);
  blocks->erase(found);
  return cudaSuccess;
}

}  // namespace

namespace emulated {

bool device_owns(const void *p, size_t bytes) {
  return holds(m().device, p, bytes);
}
bool pinned_owns(const void *p, size_t bytes) {
  return holds(m().pinned, p, bytes);
}
std::vector<std::pair<uintptr_t, uintptr_t>> device_memory() {
  std::vector<std::pair<uintptr_t, uintptr_t>> all;
  held_lock held(lock());
  for (const auto &entry : m().device) {
    const uintptr_t start = (uintptr_t)revealed(entry.first);
    all.emplace_back(start, start + entry.second.bytes);
  }
  return all;
}
void graph_launched() {
  m().full = emulator_number("full", 0) != 0;
}

}  // namespace emulated

extern "C" {

bool emulator_owns(const void *p, size_t bytes) {
  held_lock held(lock());
  return device_owns(p, bytes);
}

void emulator_own(void *memory, const char *call) {
  held_lock held(lock());
  auto found = m().device.find(disguised(memory));
  if (found == m().device.end()) emulator_fail("%s: not the beginning of an allocation", call ? call : "a free");
  found->second.freed_by = call;
}

cudaError_t cudaMalloc(void **memory, size_t bytes) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &) {
    if (cudaError_t error = unsafe_call()) return error;
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    size_t *used = &m().used[current_device()];
    if (++m().allocations == m().fail_alloc || m().full || bytes > m().limit - *used) return cudaErrorMemoryAllocation;
    *memory = bytes > m().sparse ? map_sparsely(&m().device, bytes) : allocate(&m().device, bytes);
    if (!*memory) return cudaErrorMemoryAllocation;
    *used += bytes;
    if (*used > m().peak[current_device()]) m().peak[current_device()] = *used;
    return cudaSuccess;
  });
}

/* Waits for all work first, as CUDA does. */
cudaError_t cudaFree(void *memory) {
  if (!memory) return cudaSuccess;
  return call([&](held_lock &held) {
    if (cudaError_t error = unsafe_call()) return error;
    wait_for_all(held);
    return release(&m().device, memory, "cudaFree");
  });
}

cudaError_t cudaHostAlloc(void **memory, size_t bytes, unsigned int flags) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &) {
    if (cudaError_t error = unsafe_call()) return error;
    *memory = bytes ? allocate(&m().pinned, bytes) : nullptr;
    if (*memory && (flags & cudaHostAllocMapped)) map_memory(*memory, bytes);
    return *memory || !bytes ? cudaSuccess : cudaErrorMemoryAllocation;
  });
}

cudaError_t cudaMallocHost(void **memory, size_t bytes) {
  return cudaHostAlloc(memory, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void *memory) {
  if (!memory) return cudaSuccess;
  return call([&](held_lock &held) {
    if (cudaError_t error = unsafe_call()) return error;
    wait_for_all(held);
    return release(&m().pinned, memory, "cudaFreeHost");
  });
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &) {
    *total = m().limit;
    *free = m().limit - m().used[current_device()];
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer) {
  return call([&](held_lock &) {
    bool device = device_owns(pointer, 1), pinned = pinned_owns(pointer, 1);
    void *p = const_cast<void *>(pointer);
    *attributes = {device   ? cudaMemoryTypeDevice
                   : pinned ? cudaMemoryTypeHost
                            : cudaMemoryTypeUnregistered,
                   device || pinned ? current_device() : -1, device || pinned ? p : nullptr, device ? nullptr : p};
    return cudaSuccess;
  });
}
}
