/* Running a kernel. Blocks run one after another, in an order drawn from the seed. A fiber runs the threads of a block as plain
 * calls, one after another, until one must wait at a barrier or for its warp; that fiber is parked, and another one goes on
 * with the threads that have not begun. When the last one arrives, the parked ones go on in an order drawn at random.
 *
 * Switching is setjmp and longjmp, without system calls; only the first entry of a fiber needs its context. */
#undef _FORTIFY_SOURCE /* its longjmp takes a fiber for a corrupted stack */
#include <sys/mman.h>
#include <ucontext.h>
#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "internal.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;
emulated::moment_of_kernel emulated::moment;

namespace {

constexpr unsigned max_threads = 1024, lanes = 32;
/* Most of a switch is the first look at the other stack: stacks lie close together in large pages, with their tops in different
 * sets of the cache. Sanitizers make frames large. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr size_t stack_bytes = 256 << 10;
#else
constexpr size_t stack_bytes = 32 << 10;
#endif
constexpr size_t stack_stride = stack_bytes + 576, large_page = 2 << 20, stacks_bytes = max_threads * stack_stride + large_page;

struct fiber {
  void *where[5];                /* __builtin_setjmp's */
  ucontext_t *context = nullptr; /* until it is entered */
  void *stack = nullptr;
  size_t bytes = 0;
  void *fake = nullptr, *traced = nullptr; /* AddressSanitizer's and ThreadSanitizer's view of it */
};

enum waiting { NOTHING, BARRIER, WARP, RETURNED };
struct thread {
  waiting waits;
  fiber *on;
  const char *file;
  int line, source;
  unsigned mask;
  uint64_t bits;
};

/* i -> (start + i * step) mod count, with step prime to count. */
struct shuffled {
  uint64_t start, step, count;
  void draw(emulated::dice *dice, uint64_t n) {
    count = n;
    start = dice->draw() % n;
    do {
      step = 1 + dice->draw() % n;
    } while (common(step, n) != 1);
  }
  uint64_t at(uint64_t i) const {
    return (start + i * step) % count;
  }
  static uint64_t common(uint64_t a, uint64_t b) {
    while (b) {
      uint64_t rest = a % b;
      a = b;
      b = rest;
    }
    return a;
  }
};

struct runner {
  emulated::dice dice{3};
  emulator_kernel *kernel;
  unsigned count, begun, live, at_barrier;    /* threads of the block */
  unsigned in_warp[max_threads / lanes] = {}; /* that wait for their warp */
  unsigned current;
  shuffled order;
  thread threads[max_threads] = {};
  std::vector<unsigned> ready; /* parked threads that may go on */
  std::vector<fiber *> idle;
  fiber fibers[max_threads]; /* a thread needs one at most */
  size_t made = 0;
  char *stacks = nullptr;
  fiber scheduler; /* the device thread's own stack */
  fiber *self = &scheduler;
  dim3 placed = {0, 0, 0}; /* the shape of block that `place` is for */
  uint3 place[max_threads];
};

runner *only; /* made by the first kernel */
runner &r() {
  return *only;
}

void set_thread(unsigned t) {
  r().current = emulated::moment.thread = t;
  threadIdx = r().place[t];
}

/* Works out each thread's place in a block of this shape. */
void place_threads() {
  runner &run = r();
  if (run.placed.x == blockDim.x && run.placed.y == blockDim.y && run.placed.z == blockDim.z) return;
  run.placed = blockDim;
  for (unsigned t = 0; t < run.count; t++) {
    run.place[t] = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
  }
}

/* What sanitizers are told before a switch and after it. */
void leaving(fiber *from, fiber *to) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&from->fake, to->stack, to->bytes);
#endif
#ifdef __SANITIZE_THREAD__
  if (!from->traced) from->traced = __tsan_get_current_fiber();
  if (!to->traced) to->traced = __tsan_create_fiber(0);
  __tsan_switch_to_fiber(to->traced, 0);
#endif
}
void arrived() {
#ifdef __SANITIZE_ADDRESS__
  const void *bottom;
  size_t bytes;
  fiber *scheduler = &r().scheduler;
  __sanitizer_finish_switch_fiber(r().self->fake, &bottom, &bytes);
  if (!scheduler->stack) { /* the first switch of all comes from it */
    scheduler->stack = const_cast<void *>(bottom);
    scheduler->bytes = bytes;
  }
#endif
}

/* __builtin_longjmp must not be in the function that it jumps to. Instrumented, it would clear the shadow of whole stacks. */
__attribute__((noinline, no_sanitize("address"))) void jump(fiber *to) {
  if (to->context) {
    ucontext_t *context = to->context;
    to->context = nullptr;
    setcontext(context);
  }
  __builtin_longjmp(to->where, 1);
}

__attribute__((noinline, no_sanitize("address"))) void switch_to(fiber *to) {
  fiber *from = r().self;
  if (to == from) return;
  r().self = to;
  if (__builtin_setjmp(from->where) == 0) {
    leaving(from, to);
    jump(to);
  }
  arrived();
}

[[noreturn]] void fail(const char *what) {
  emulated::fail_in_kernel(r().kernel->function, what);
}

/* Kernels are compiled so that an access which is not aligned traps, those of tests/gpu/kernels_far.c so that an overflow does.
 */
void stop_misaligned(int) {
  fail(
      "memory is read or written at an address that is no multiple of the access's width, or a number passes what it can hold");
}

/* Nobody can go on. */
[[noreturn]] void report_deadlock() {
  char text[512];
  int used = 0, shown = 0;
  used += snprintf(text, sizeof text, "block (%u, %u, %u): threads wait for each other for ever:", blockIdx.x, blockIdx.y,
                   blockIdx.z);
  const thread *before = nullptr;
  for (unsigned t = 0; t < r().count && shown < 4; t++) {
    const thread *th = &r().threads[t];
    bool same = before && th->waits == before->waits &&
                (th->waits == RETURNED || (th->line == before->line && th->mask == before->mask));
    before = th;
    if (same) continue;
    shown++;
    if (th->waits == RETURNED) {
      used += snprintf(text + used, sizeof text - (size_t)used, " thread %u has returned;", t);
    } else {
      used += snprintf(text + used, sizeof text - (size_t)used, " thread %u at %s:%d (%s);", t,
                       strrchr(th->file, '/') ? strrchr(th->file, '/') + 1 : th->file, th->line,
                       th->waits == BARRIER ? "barrier" : "warp");
    }
    if ((size_t)used > sizeof text - 128) break;
  }
  fail(text);
}

void run_threads();

void enter_fiber() {
  arrived();
  run_threads();
}

char *make_stacks() {
  void *memory = mmap(nullptr, stacks_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) emulator_fail("no memory for the stacks of fibers");
  char *aligned = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(memory) + large_page - 1) / large_page * large_page);
  madvise(aligned, max_threads * stack_stride, MADV_HUGEPAGE); /* a matter of speed alone */
  return aligned;
}

fiber *make_fiber() {
  runner &run = r();
  if (!run.stacks) run.stacks = make_stacks();
  fiber *made = &run.fibers[run.made];
  made->bytes = stack_bytes;
  made->stack = run.stacks + run.made++ * stack_stride;
  made->context = static_cast<ucontext_t *>(made->stack); /* its far end */
  getcontext(made->context);
  made->context->uc_stack.ss_sp = made->stack;
  made->context->uc_stack.ss_size = stack_bytes;
  made->context->uc_link = nullptr;
  makecontext(made->context, enter_fiber, 0);
  return made;
}

/* Where to go on when the running thread cannot: a fresh thread or a parked one, or the scheduler when the block has ended. */
fiber *next_fiber() {
  runner &run = r();
  if (run.begun < run.count && (run.ready.empty() || run.dice.below(2))) {
    if (run.idle.empty()) return make_fiber();
    fiber *free = run.idle.back();
    run.idle.pop_back();
    return free;
  }
  if (!run.ready.empty()) {
    size_t chosen = run.dice.below((uint32_t)run.ready.size());
    unsigned t = run.ready[chosen];
    run.ready[chosen] = run.ready.back();
    run.ready.pop_back();
    return run.threads[t].on;
  }
  if (run.live) report_deadlock();
  return &run.scheduler;
}

bool same_place(const thread &a, const thread &b) {
  return a.line == b.line && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

void park(unsigned t) {
  r().threads[t].on = r().self;
  switch_to(next_fiber());
  set_thread(t);
}

/* All live threads stand at a barrier. `running` goes on by itself. */
void release_barrier(unsigned running) {
  runner &run = r();
  const thread *first = nullptr;
  for (unsigned t = 0; t < run.count; t++) {
    thread *th = &run.threads[t];
    if (th->waits != BARRIER) continue;
    if (!first) first = th;
    if (!same_place(*th, *first)) report_deadlock();
  }
  for (unsigned t = 0; t < run.count; t++) {
    if (run.threads[t].waits != BARRIER) continue;
    run.threads[t].waits = NOTHING;
    if (t != running) run.ready.push_back(t);
  }
  run.at_barrier = 0;
  emulated::moment.phase++;
}

/* Lets the lanes in mask go on with what they receive, when all have come to the same place. */
bool release_warp(unsigned running) {
  runner &run = r();
  unsigned first = running / lanes * lanes, mask = run.threads[running].mask;
  if (run.count - first < lanes) mask &= (1u << (run.count - first)) - 1;
  if (run.in_warp[first / lanes] < (unsigned)__builtin_popcount(mask)) return false;
  const thread *me = &run.threads[running];
  uint64_t received[lanes];
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    const thread *th = &run.threads[first + lane];
    if (th->waits != WARP || th->mask != me->mask || !same_place(*th, *me)) return false;
    unsigned source = (unsigned)th->source % lanes;
    received[lane] = mask >> source & 1 ? run.threads[first + source].bits : ~0ull; /* nobody there: garbage */
  }
  for (unsigned lane = 0; lane < lanes; lane++) {
    if (!(mask >> lane & 1)) continue;
    thread *th = &run.threads[first + lane];
    th->waits = NOTHING;
    th->bits = received[lane];
    run.in_warp[first / lanes]--;
    if (first + lane != running) run.ready.push_back(first + lane);
  }
  return true;
}

/* A fiber's life: threads that have not begun, then idleness until a block needs it again. */
void run_threads() {
  runner &run = r();
  for (;;) {
    while (run.begun < run.count) {
      unsigned t = (unsigned)run.order.at(run.begun++);
      run.threads[t].waits = NOTHING;
      set_thread(t);
      run.kernel->run_thread();
      run.threads[t].waits = RETURNED;
      if (--run.live && run.at_barrier == run.live) release_barrier(max_threads);
    }
    run.idle.push_back(run.self);
    fiber *next = next_fiber();
    switch_to(next);
  }
}

void run_block(uint64_t index) {
  runner &run = r();
  blockIdx = {(unsigned)(index % gridDim.x), (unsigned)(index / gridDim.x % gridDim.y),
              (unsigned)(index / ((uint64_t)gridDim.x * gridDim.y))};
  run.live = run.count;
  run.begun = run.at_barrier = 0;
  emulated::moment = {};
  emulated::moment.block = (uint32_t)index;
  emulated::watch_block();
  run.order.draw(&run.dice, run.count);
  emulated::poison_shared(run.kernel->function);
  switch_to(next_fiber());
  emulated::learn_shared(run.kernel->function);
}

}  // namespace

namespace emulated {

void run_kernel(emulator_kernel *kernel) {
  if (!only) {
    only = new runner;
    signal(SIGILL, stop_misaligned);
  }
  runner &run = r();
  run.kernel = kernel;
  blockDim = kernel->block;
  gridDim = kernel->grid;
  run.count = blockDim.x * blockDim.y * blockDim.z;
  place_threads();
  static const uint64_t most = 2 * (uint64_t)emulator_number("blocks", 1L << 60);
  const uint64_t blocks = (uint64_t)gridDim.x * gridDim.y * gridDim.z, runs = blocks < most ? blocks : most;
  shuffled order;
  order.draw(&run.dice, runs);
  watch_launch(kernel->function);
  for (uint64_t i = 0; i < runs; i++) {
    const uint64_t index = order.at(i);
    run_block(index < (runs + 1) / 2 ? index : index + blocks - runs);
  }
  watch_launch(nullptr);
}

}  // namespace emulated

void emulator_trap() {
  fail("it traps");
}

int emulator_lane() {
  return (int)(r().current % lanes);
}

void emulator_barrier(const char *file, int line) {
  runner &run = r();
  unsigned t = run.current;
  thread *th = &run.threads[t];
  th->waits = BARRIER;
  th->file = file;
  th->line = line;
  th->mask = 0;
  if (++run.at_barrier == run.live) {
    release_barrier(t);
  } else {
    park(t);
  }
}

uint64_t emulator_exchange(unsigned mask, uint64_t bits, int source, const char *file, int line) {
  runner &run = r();
  unsigned t = run.current;
  thread *th = &run.threads[t];
  if (!(mask >> (t % lanes) & 1)) fail("a lane that its own mask leaves out takes part in a shuffle");
  th->waits = WARP;
  th->file = file;
  th->line = line;
  th->source = source;
  th->mask = mask;
  th->bits = bits;
  run.in_warp[t / lanes]++;
  if (!release_warp(t)) park(t);
  return th->bits;
}

/* Of the lanes that go on, the first one tells. */
void emulator_sync_warp(unsigned mask, const char *file, int line) {
  runner &run = r();
  const unsigned warp = run.current / lanes, before = emulated::moment.warp_phase[warp];
  emulator_exchange(mask, 0, emulator_lane(), file, line);
  if (emulated::moment.warp_phase[warp] == before) emulated::moment.warp_phase[warp]++;
}
