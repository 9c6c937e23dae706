/* The device's thread and the order in which it runs nodes.
 *
 * It is as lazy as a GPU may be: it starts nothing until the host waits or asks for something, except a few nodes after one
 * call in eight, and everything when the host has been silent for a while (it may sit in MPI, waiting for what this rank
 * computes). Among the nodes that are ready it draws one; it favours one stream for a while, so that streams run far apart. */
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <thread>

#include "internal.h"

namespace {

using emulated::node_ref;
using clock_type = std::chrono::steady_clock;
constexpr auto silence = std::chrono::milliseconds(2), answer = std::chrono::milliseconds(1),
               lateness = std::chrono::milliseconds(5);

struct queue {
  std::mutex lock;
  std::condition_variable work, progress;
  std::vector<node_ref> ready;
  size_t unfinished = 0; /* nodes submitted and not done */
  int waiting = 0;       /* host threads that wait */
  int asking = 0;        /* those that asked, and wait for the answer */
  long credit = 0;       /* nodes to run although nobody waits */
  double spent = 0;      /* milliseconds that work said it takes */
  long started = 0, hang_after = emulator_number("hang_after", -1);
  bool running = false;
  int busy = 0; /* nodes that are run, one within another (emulator_take) */
  clock_type::time_point last_call = clock_type::now();
  const void *favoured = nullptr;
  emulated::dice dice{1}, lateness{4};
};

queue &q() {
  static queue &only = *new queue;
  return only;
}

double now_ms() {
  return std::chrono::duration<double, std::milli>(clock_type::now().time_since_epoch()).count() + q().spent;
}

void finish(const node_ref &node) {
  node->done = true;
  node->done_ms = now_ms();
  emulated::keep_written(&node->written);
  for (node_ref &next : node->after) {
    emulated::inherit(&next->written, node->written);
    if (--next->before == 0) q().ready.push_back(next);
  }
  node->after.clear();
  q().unfinished--;
  q().busy--;
  if (node->awaited || q().unfinished == 0) q().progress.notify_all();
}

node_ref take_ready() {
  queue &all = q();
  size_t chosen = all.dice.below((uint32_t)all.ready.size());
  if (all.dice.below(16) == 0) all.favoured = all.ready[chosen]->stream;
  if (all.dice.below(2)) {
    for (size_t i = 0; i < all.ready.size(); i++) {
      if (all.ready[i]->stream == all.favoured) chosen = i;
    }
  }
  node_ref node = all.ready[chosen];
  all.ready[chosen] = all.ready.back();
  all.ready.pop_back();
  return node;
}

bool hung() {
  return q().hang_after >= 0 && q().started >= q().hang_after;
}

void run_one(emulated::held_lock &held) {
  node_ref node = take_ready();
  emulated::work_ref what = std::move(node->what);
  bool failed = emulated::sticky_error() != cudaSuccess;
  if (q().credit > 0) q().credit--;
  q().busy++;
  if (what) {
    q().started++;
    held.unlock();
    if (!failed) what->what.run(what->what.context);
    what.reset();
    held.lock();
  }
  finish(node);
}

/* Runs one piece of work, where one is ready. */
bool run_any() {
  emulated::held_lock held(q().lock);
  if (q().ready.empty() || hung()) return false;
  run_one(held);
  return true;
}

void run_device() {
  emulated::held_lock held(q().lock);
  for (;;) {
    bool stuck = q().ready.empty() || hung();
    if (!stuck && (q().waiting > 0 || q().credit > 0 || clock_type::now() - q().last_call >= silence)) {
      run_one(held);
      continue;
    }
    if (q().asking > 0) q().progress.notify_all();
    if (stuck) {
      q().work.wait(held);
    } else {
      q().work.wait_until(held, q().last_call + silence);
    }
  }
}

/* The thread takes no signals, which belong to the program, but for that of a kernel's mistake. */
void start_device() {
  if (q().running) return;
  q().running = true;
  sigset_t all, before;
  sigfillset(&all);
  sigdelset(&all, SIGILL);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::thread(run_device).detach();
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

}  // namespace

namespace emulated {

std::mutex &lock() {
  return q().lock;
}

void host_called(bool asked) {
  queue &all = q();
  all.last_call = clock_type::now();
  if (asked) {
    all.credit += 1 + all.dice.below(16);
  } else if (all.dice.below(8) == 0) {
    all.credit += all.dice.below(4);
  }
  if (all.credit > 0) all.work.notify_one();
}

/* What waits for another rank ends when that one is ready, so that there is a limit. */
void hold_back(held_lock &held) {
  static const long one_in = emulator_number("late_host", 0);
  if (one_in <= 0 || q().busy > 0 || q().lateness.below((uint32_t)one_in) > 0) return;
  q().waiting++;
  q().asking++;
  q().work.notify_one();
  q().progress.wait_for(held, lateness, [] { return q().busy == 0 && (q().ready.empty() || hung()); });
  q().asking--;
  q().waiting--;
  q().last_call = clock_type::now();
}

node_ref submit(work_ref what, const void *stream, const std::vector<node_ref> &before) {
  start_device();
  node_ref made = std::make_shared<node>();
  made->what = std::move(what);
  made->stream = stream;
  for (const node_ref &earlier : before) {
    if (!earlier) continue;
    if (earlier->done) inherit(&made->written, earlier->written);
    if (earlier->done) continue;
    earlier->after.push_back(made);
    made->before++;
  }
  q().unfinished++;
  if (made->before == 0) {
    q().ready.push_back(made);
    q().work.notify_one();
  }
  return made;
}

void hang(held_lock &) {
  q().hang_after = 0;
}

void wait_for(held_lock &held, node_ref node) {
  if (!node) return;
  if (!node->done) {
    q().waiting++;
    node->awaited = true;
    q().work.notify_one();
    q().progress.wait(held, [&] { return node->done; });
    q().waiting--;
    q().last_call = clock_type::now();
  }
  show_written(&node->written);
}

/* The device does what it does before it waits for the next question, for which a host that asks in a loop leaves it the core.
 */
bool wait_for_answer(held_lock &held, const std::vector<node_ref> &nodes) {
  auto done = [&] { return std::all_of(nodes.begin(), nodes.end(), [](const node_ref &node) { return !node || node->done; }); };
  for (const node_ref &node : nodes) {
    if (node) node->awaited = true;
  }
  q().asking++;
  q().progress.wait_for(held, answer, [&] {
    bool stands = q().busy == 0 && (q().ready.empty() || q().credit == 0 || hung());
    return stands || done();
  });
  q().asking--;
  if (!done()) return false;
  for (const node_ref &node : nodes) {
    if (node) show_written(&node->written);
  }
  return true;
}

void wait_for_all(held_lock &held) {
  q().waiting++;
  q().work.notify_one();
  q().progress.wait(held, [] { return q().unfinished == 0; });
  q().waiting--;
  show_all_written();
  q().last_call = clock_type::now();
}

}  // namespace emulated

unsigned long long emulator_globaltimer() {
  emulated::held_lock held(q().lock);
  return (unsigned long long)(now_ms() * 1e6);
}

extern "C" void emulator_spend(long milliseconds) {
  emulated::held_lock held(q().lock);
  q().spent += (double)milliseconds;
}

extern "C" void emulator_take(long ms) {
  auto end = clock_type::now() + std::chrono::milliseconds(ms);
  while (clock_type::now() < end) {
    if (!run_any()) std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

/* A library that waits for its GPU when the process exits waits for ever. */
__attribute__((destructor)) static void wait_at_exit() {
  while (hung()) std::this_thread::sleep_for(std::chrono::seconds(1));
}
