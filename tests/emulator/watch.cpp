/* Watches what kernels read and write, where they were compiled for it: with the accesses instrumented as for ThreadSanitizer,
 * whose functions stand here in place of its library. The emulated GPU runs one thread at a time and one block after another,
 * and so computes right where a real one need not. Within a launch this ends the process, with the kernel's name, when
 *
 * 1. two threads of a block use a place, one of them writing, and no barrier (or __syncwarp, within a warp) stands between;
 * 2. two blocks do so, and the one's access is not handed over to the other: on the one side the access, a fence, an atomic; on
 * the other an atomic of the same place, a fence, the access. A fence may be another thread's of the block, with a barrier
 * between;
 * 3. a place is written that is also read through the read-only cache (__ldg).
 *
 * Every byte of device and shared memory that is touched has a cell, which knows its last writer and its last readers. */
#include <cstdio>
#include <cstring>
#include <map>
#include <unordered_map>
#include <vector>

#include "internal.h"

namespace {

using namespace emulated;

constexpr uint32_t nobody = 0;
constexpr size_t page_bytes = 4096, threads_most = 1024;

/* An access; blocks count from 1. */
struct access {
  uint32_t block = nobody, time = 0;
  uint16_t thread = 0, phase = 0, warp_phase = 0;
};
struct cell {
  access write, read, other_read; /* the last ones, of two threads */
  bool atomic = false;            /* the write is one */
  bool read_only = false;         /* it was read by __ldg */
};
struct page {
  uint32_t launch = 0;
  cell cells[page_bytes];
};

struct fence {
  uint32_t time = 0;
  uint16_t phase = 0;
};
/* What an atomic of a block hands over: what came before the fences that came before it. */
struct handover {
  uint32_t block;
  int last_phase;               /* all that came in earlier phases than this one; 0 = none */
  std::vector<uint32_t> before; /* [thread]: what it did up to then */
};
/* An atomic that a block has made, and which of its threads have a fence behind it. */
struct receipt {
  uint16_t thread, phase;
  size_t handovers; /* of this place at that time */
  const void *at;
  int fenced_phase;            /* the first phase with a fence behind the atomic; -1: none */
  std::vector<bool> fenced_by; /* [thread] */
};

struct watcher {
  bool on = false;
  pthread_t device;
  const void *function = nullptr;
  std::vector<std::pair<uintptr_t, uintptr_t>> memory; /* of the device, sorted */
  uintptr_t low = 1, high = 0;                         /* the piece of it that was used last */
  uintptr_t shared_low = 0, shared_high = 0;
  std::unordered_map<uintptr_t, page *> pages;
  uintptr_t last_page = 0;
  page *last = nullptr;
  uint32_t launch = 0, time = 0;
  fence now[threads_most], earlier[threads_most]; /* each thread's last fence, and its last one of a phase before that */
  bool any_fence = false;
  std::map<const void *, std::vector<handover>> handovers; /* of this launch, by the place of the atomic */
  std::vector<receipt> receipts;                           /* of this block */
};

watcher &w() {
  static watcher &only = *new watcher;
  return only;
}

bool in_kernel() {
  return w().on && w().function && pthread_equal(w().device, pthread_self());
}

access here() {
  const uint16_t thread = (uint16_t)moment.thread;
  return {moment.block + 1, w().time, thread, (uint16_t)moment.phase, (uint16_t)moment.warp_phase[thread / 32]};
}

bool is_shared(uintptr_t p) {
  return p >= w().shared_low && p < w().shared_high;
}

bool is_device(uintptr_t p) {
  watcher &own = w();
  if (p >= own.low && p < own.high) return true;
  size_t first = 0, end = own.memory.size();
  while (first < end) {
    const size_t middle = (first + end) / 2;
    if (own.memory[middle].second <= p) {
      first = middle + 1;
    } else {
      end = middle;
    }
  }
  if (first == own.memory.size() || p < own.memory[first].first) return false;
  own.low = own.memory[first].first, own.high = own.memory[first].second;
  return true;
}

cell *cell_of(uintptr_t p) {
  watcher &own = w();
  if (p / page_bytes != own.last_page || !own.last) {
    page *&found = own.pages[p / page_bytes];
    if (!found) found = new page;
    own.last = found, own.last_page = p / page_bytes;
  }
  if (own.last->launch != own.launch) *own.last = page(), own.last->launch = own.launch;
  return &own.last->cells[p % page_bytes];
}

/* Of one block: whether the one comes before the other whatever the order in which threads run. */
bool ordered_in_block(const access &before, const access &now) {
  return before.thread == now.thread || before.phase != now.phase ||
         (before.thread / 32 == now.thread / 32 && before.warp_phase != now.warp_phase);
}

bool usable(const receipt &got, const access &now) {
  if (got.fenced_phase < 0) return false;
  return got.fenced_phase < now.phase || got.fenced_by[now.thread];
}

/* Whether another block's access has been handed over to this one. */
bool handed_over(const access &before, const access &now) {
  for (const receipt &got : w().receipts) {
    if (!usable(got, now)) continue;
    const std::vector<handover> &all = w().handovers[got.at];
    for (size_t i = 0; i < got.handovers; i++) {
      if (all[i].block != before.block) continue;
      if (before.phase < all[i].last_phase || before.time < all[i].before[before.thread]) return true;
    }
  }
  return false;
}

[[noreturn]] void report(const access &before, const char *did, const access &now, const char *does, const char *where) {
  char text[400];
  if (before.block != now.block) {
    snprintf(text, sizeof text,
             "thread %u of block %u %s %s that thread %u of block %u %s in the same launch, and nothing hands "
             "it over: a fence and an atomic there, an atomic of the same place and a fence here",
             now.thread, now.block - 1, does, where, before.thread, before.block - 1, did);
  } else {
    snprintf(text, sizeof text, "thread %u of block %u %s %s that thread %u %s, and no barrier stands between", now.thread,
             now.block - 1, does, where, before.thread, did);
  }
  fail_in_kernel(w().function, text);
}

void require_order(const access &before, const char *did, const access &now, const char *does, bool shared) {
  if (before.block == nobody) return;
  const char *where = shared ? "shared memory" : "memory";
  if (before.block == now.block ? ordered_in_block(before, now) : shared || handed_over(before, now)) return;
  report(before, did, now, does, where);
}

void note_read(uintptr_t p, bool shared) {
  cell *c = cell_of(p);
  const access now = here();
  require_order(c->write, "wrote", now, "reads", shared);
  if (c->read.block != now.block || c->read.thread != now.thread) c->other_read = c->read;
  c->read = now;
}

void note_write(uintptr_t p, bool shared, bool atomic) {
  cell *c = cell_of(p);
  const access now = here();
  if (c->read_only) fail_in_kernel(w().function, "memory is written that the same launch reads through the read-only cache");
  if (!atomic || !c->atomic) require_order(c->write, "wrote", now, "writes", shared);
  require_order(c->read, "read", now, "writes", shared);
  require_order(c->other_read, "read", now, "writes", shared);
  c->write = now;
  c->atomic = atomic;
  c->read = c->other_read = access();
}

void note(const void *pointer, size_t bytes, bool write) {
  if (!in_kernel()) return;
  const uintptr_t p = (uintptr_t)pointer;
  const bool shared = is_shared(p);
  if (!shared && !is_device(p)) return;
  for (size_t i = 0; i < bytes; i++) write ? note_write(p + i, shared, false) : note_read(p + i, shared);
}

}  // namespace

namespace emulated {

void watch_launch(const void *function) {
  watcher &own = w();
  own.function = function;
  if (!own.on || !function) return;
  own.device = pthread_self();
  own.launch++;
  own.handovers.clear();
  own.memory = device_memory();
  own.low = 1, own.high = 0;
  const auto shared = shared_memory();
  own.shared_low = shared.first, own.shared_high = shared.second;
}

void watch_block() {
  watcher &own = w();
  if (!own.on) return;
  own.receipts.clear();
  own.time = 1;
  if (own.any_fence) {
    for (size_t t = 0; t < threads_most; t++) own.now[t] = own.earlier[t] = fence();
  }
  own.any_fence = false;
}

}  // namespace emulated

void emulator_fence() {
  if (!in_kernel()) return;
  watcher &own = w();
  const access now = here();
  fence &last = own.now[now.thread];
  if (last.phase != now.phase) own.earlier[now.thread] = last;
  last = {++own.time, now.phase};
  own.time++;
  own.any_fence = true;
  for (receipt &got : own.receipts) {
    if (got.thread != now.thread && got.phase >= now.phase) continue;
    if (got.fenced_phase < 0) got.fenced_phase = now.phase;
    got.fenced_by[now.thread] = true;
  }
}

void emulator_atomic(const void *pointer, size_t bytes) {
  if (!in_kernel()) return;
  watcher &own = w();
  const uintptr_t p = (uintptr_t)pointer;
  const bool shared = is_shared(p);
  if (!shared && !is_device(p)) return;
  for (size_t i = 0; i < bytes; i++) note_write(p + i, shared, true);
  if (shared || bytes != sizeof(unsigned)) return; /* a counter of blocks is of this size */
  const access now = here();
  std::vector<handover> &all = own.handovers[pointer];
  if (own.any_fence) {
    handover made = {now.block, 0, std::vector<uint32_t>(threads_most, 0)};
    for (unsigned t = 0; t < threads_most; t++) {
      const fence &last = own.now[t].phase < now.phase || t == now.thread ? own.now[t] : own.earlier[t];
      if (last.time == 0) continue;
      made.before[t] = last.time;
      if (last.phase > made.last_phase) made.last_phase = last.phase;
    }
    all.push_back(std::move(made));
  }
  own.receipts.push_back({now.thread, now.phase, all.size(), pointer, -1, std::vector<bool>(threads_most)});
}

void emulator_read_only(const void *pointer, size_t bytes) {
  if (!in_kernel() || !is_device((uintptr_t)pointer)) return;
  for (size_t i = 0; i < bytes; i++) {
    cell *c = cell_of((uintptr_t)pointer + i);
    if (c->write.block != nobody) {
      fail_in_kernel(w().function, "memory is read through the read-only cache that the same launch writes");
    }
    c->read_only = true;
  }
}

#ifndef __SANITIZE_THREAD__
extern "C" {
void __tsan_init() {
  w().on = true;
}
void __tsan_func_entry(void *) {
}
void __tsan_func_exit(void *) {
}
void __tsan_vptr_update(void **, void *) {
}
void __tsan_vptr_read(void **) {
}
#define ACCESS(bytes)                           \
  void __tsan_read##bytes(void *p) {            \
    note(p, bytes, false);                      \
  }                                             \
  void __tsan_write##bytes(void *p) {           \
    note(p, bytes, true);                       \
  }                                             \
  void __tsan_unaligned_read##bytes(void *p) {  \
    note(p, bytes, false);                      \
  }                                             \
  void __tsan_unaligned_write##bytes(void *p) { \
    note(p, bytes, true);                       \
  }
ACCESS(1)
ACCESS(2)
ACCESS(4)
ACCESS(8)
ACCESS(16)
void __tsan_read_range(void *p, unsigned long bytes) {
  note(p, bytes, false);
}
void __tsan_write_range(void *p, unsigned long bytes) {
  note(p, bytes, true);
}
}
#endif
