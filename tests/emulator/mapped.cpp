/* Pinned memory that is mapped: kernels write it, and the host reads what they have written. The two have addresses of their
 * own, so that the host sees nothing too soon: what a piece of work has left at the device's address comes to the host's when
 * the host has waited for that work, or for an event, a stream or the device behind it. That is the latest moment which CUDA
 * allows. What the host writes does not come to the device. */
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>

#include "internal.h"

namespace emulated {

/* What a block held when a piece of work had ended. */
struct snapshot {
  uintptr_t host; /* disguised; of the block */
  std::vector<char> bytes;
  long number; /* from 1, in the order in which they came about */
};

}  // namespace emulated

namespace {

using namespace emulated;

struct mapping {
  std::vector<char> device; /* where kernels write */
  std::vector<char> before; /* what the last piece of work left there */
  long shown = 0;           /* number of the youngest snapshot that the host has seen */
};
struct tables {
  std::map<uintptr_t, mapping> mapped; /* by the host's disguised address */
  long snapshots = 0;
};

tables &t() {
  static tables &only = *new tables;
  return only;
}

char *find(const void *host) {
  auto next = t().mapped.upper_bound(disguised(host));
  if (next == t().mapped.begin()) return nullptr;
  auto found = std::prev(next);
  const size_t at = disguised(host) - found->first;
  return at < found->second.device.size() ? found->second.device.data() + at : nullptr;
}

/* Whether the host has yet to see it; NULL: it has, or never will. */
mapping *unseen(const snapshot &one) {
  auto found = t().mapped.find(one.host);
  return found != t().mapped.end() && one.number > found->second.shown ? &found->second : nullptr;
}

void show(uintptr_t host, mapping *m, const std::vector<char> &bytes, long number) {
  memcpy(revealed(host), bytes.data(), bytes.size());
  m->shown = number;
}

}  // namespace

namespace emulated {

void map_memory(void *host, size_t bytes) {
  t().mapped[disguised(host)] = {std::vector<char>(bytes, '\xFF'), std::vector<char>(bytes, '\xFF')};
}

void unmap_memory(void *host) {
  t().mapped.erase(disguised(host));
}

bool is_mapped(const void *p) {
  for (const auto &one : t().mapped) {
    const std::vector<char> &device = one.second.device;
    if (p >= device.data() && p < device.data() + device.size()) return true;
  }
  return false;
}

void keep_written(snapshots *list) {
  for (auto &one : t().mapped) {
    mapping &m = one.second;
    if (m.device == m.before) continue;
    m.before = m.device;
    list->push_back(std::make_shared<snapshot>(snapshot{one.first, m.device, ++t().snapshots}));
  }
}

void inherit(snapshots *list, const snapshots &earlier) {
  for (const snapshot_ref &one : earlier) {
    if (unseen(*one) && std::find(list->begin(), list->end(), one) == list->end()) list->push_back(one);
  }
}

void show_written(snapshots *list) {
  std::sort(list->begin(), list->end(), [](const snapshot_ref &a, const snapshot_ref &b) { return a->number < b->number; });
  for (const snapshot_ref &one : *list) {
    if (mapping *m = unseen(*one)) show(one->host, m, one->bytes, one->number);
  }
  list->clear();
}

void show_all_written() {
  for (auto &one : t().mapped) show(one.first, &one.second, one.second.before, t().snapshots);
}

}  // namespace emulated

extern "C" cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned int flags) {
  return call([&](held_lock &) {
    *device = find(host);
    return *device && flags == 0 ? cudaSuccess : cudaErrorInvalidValue;
  });
}
