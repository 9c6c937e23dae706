/* Inside the emulated CUDA runtime. All work is a node of one graph: a node runs when the nodes before it are done. A stream is
 * the last node put on it, an event the node it was recorded at, a wait one more edge; so order is exactly what streams and
 * events say.
 *
 * 1. One lock guards everything. call() takes it; work runs without it, on the device's thread.
 * 2. Work may not use thread-local variables of this library: kernels' shared memory lives there (shared.cpp).
 * 3. What is global is never destroyed, because the device's thread may still run while the process ends. */
#ifndef DT_EMULATOR_INTERNAL_H
#define DT_EMULATOR_INTERNAL_H

#include <pthread.h>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "emulator.h"

namespace emulated {

/* options.cpp: a number drawn from the seed, [0, bound); the place of use has its own sequence. */
class dice {
 public:
  explicit dice(uint64_t sequence);
  uint64_t draw();
  uint32_t below(uint32_t bound) {
    return (uint32_t)((draw() >> 32) * bound >> 32);
  }

 private:
  uint64_t state;
};

/* Owns an emulator_work. */
struct work {
  emulator_work what;
  cudaGraphNodeType type;
  work(const emulator_work &w, cudaGraphNodeType t) : what(w), type(t) {
  }
  work(const work &) = delete;
  work &operator=(const work &) = delete;
  ~work() {
    if (what.drop) what.drop(what.context);
  }
};
using work_ref = std::shared_ptr<work>;

/* mapped.cpp: what work has written into mapped memory and the host has not been shown. */
struct snapshot;
using snapshot_ref = std::shared_ptr<snapshot>;
using snapshots = std::vector<snapshot_ref>;

struct node {
  work_ref what; /* NULL joins only */
  const void *stream;
  size_t before = 0; /* nodes not yet done that it waits for */
  std::vector<std::shared_ptr<node>> after;
  bool done = false, awaited = false;
  double done_ms = 0;
  snapshots written; /* by this work and what came before it */
};
using node_ref = std::shared_ptr<node>;

/* queue.cpp */
using held_lock = std::unique_lock<std::mutex>;
std::mutex &lock();
/* Puts work (NULL: nothing to do) behind the nodes in `before`, which may hold NULL. */
node_ref submit(work_ref what, const void *stream, const std::vector<node_ref> &before);
/* From here on nothing runs any more. */
void hang(held_lock &held);
void wait_for(held_lock &held, node_ref node);
void wait_for_all(held_lock &held);
/* Whether the nodes are done, after a question about them: waits a moment for what the question makes the device do. */
bool wait_for_answer(held_lock &held, const std::vector<node_ref> &nodes);
/* Tells the device that the host made a call; it may run a few nodes, and after a question it does. */
void host_called(bool asked);
/* Lets the device run as far as it comes before the host goes on, at random (late_host). */
void hold_back(held_lock &held);

/* errors.cpp: the error that every call returns once it has happened, as after a fault on a GPU. */
cudaError_t sticky_error();
void set_sticky_error(cudaError_t error);
/* Keeps a call's result for cudaGetLastError. */
cudaError_t keep_error(cudaError_t error);

/* One call of the API: body(held) runs under the lock unless the device has failed. */
template <class Body>
cudaError_t call(const Body &body, bool asked = false) {
  held_lock held(lock());
  cudaError_t error = sticky_error();
  if (!error) {
    host_called(asked);
    error = body(held);
    hold_back(held);
  }
  return keep_error(error ? error : sticky_error());
}

/* device.cpp */
int current_device();
cudaError_t device_error(); /* why there is no device */

/* What stands in a table of everything that the program has made, in place of its address: such a table would otherwise keep
 * LeakSanitizer from seeing that the program has lost it. The order stays that of addresses. */
inline uintptr_t disguised(const void *p) {
  return (uintptr_t)p ^ (uintptr_t)1 << 63;
}
inline void *revealed(uintptr_t p) {
  return (void *)(p ^ (uintptr_t)1 << 63);
}

/* memory.cpp: under the lock. */
void graph_launched(); /* from now on there may be no memory left (full) */
bool device_owns(const void *p, size_t bytes);
bool pinned_owns(const void *p, size_t bytes);

/* mapped.cpp: under the lock. Makes pinned memory mapped, and ends that. */
void map_memory(void *host, size_t bytes);
void unmap_memory(void *host);
/* Whether a kernel may have the address. */
bool is_mapped(const void *p);
/* What the work that has just run has written. */
void keep_written(snapshots *list);
void inherit(snapshots *list, const snapshots &earlier);
/* The host has waited for it; for everything. */
void show_written(snapshots *list);
void show_all_written();

/* graph.cpp */
struct capture;
struct capture_head {
  size_t node;  /* of the graph being recorded */
  bool dropped; /* the wait that brought it is to be ignored (drop_waits) */
};

}  // namespace emulated

struct CUstream_st {
  int device;
  bool blocking; /* ordered with the legacy stream */
  emulated::node_ref last;
  std::shared_ptr<emulated::capture> recording;
  std::vector<emulated::capture_head> heads; /* what the next recorded node waits for */
  long number = 0;                           /* of the streams that the program has made, from 1 */
  emulated::node_ref second_last;
  std::vector<emulated::capture_head> earlier_heads; /* heads before the last recorded node */
};
struct CUevent_st {
  bool timing;
  emulated::node_ref at;
  std::shared_ptr<emulated::capture> recording; /* last recorded in a capturing stream */
  std::vector<emulated::capture_head> heads;
  long of_stream = 0; /* number of the stream that it was last recorded on */
};

namespace emulated {

/* streams.cpp: the stream of a handle; ends the process for one that was destroyed. */
CUstream_st *stream_of(cudaStream_t handle);
/* Puts work on a stream, or records it. Gives the node when it was put on the stream. */
cudaError_t enqueue(CUstream_st *stream, work_ref what, node_ref *node);
/* A node that is done when all work on the stream is. */
node_ref join_of(CUstream_st *stream);
std::vector<CUstream_st *> streams_of(int device);

/* graph.cpp: what capture says about a call. unsafe_call: one that a capture in global mode, or of this thread, forbids, as to
 * allocate, and to ask or wait for anything;
 * legacy_call: one that touches the legacy stream. */
cudaError_t unsafe_call();
cudaError_t legacy_call();
cudaError_t forbidden(CUstream_st *stream); /* to wait for or to ask a capturing stream */
cudaError_t forbidden(CUevent_st *event);
cudaError_t record_work(CUstream_st *stream, work_ref what);
/* early: as if the last recorded work came after the event. */
void record_event(CUstream_st *stream, CUevent_st *event, bool early);
/* The other stream of the stream's capture, NULL when there is none. */
CUstream_st *companion_of(const CUstream_st *stream);
cudaError_t record_wait(CUstream_st *stream, CUevent_st *event, bool dropped);

/* counts.cpp: under the lock; for the option work. */
void count_work(const CUstream_st *stream, const char *name);

/* defects.cpp: mistakes of a program that options plant. */
bool ignores_wait(const CUstream_st *stream, const CUevent_st *event);
bool is_early(const CUevent_st *event);
bool is_hasty(const CUevent_st *event);
/* The stream that work is put on, which is `stream` unless that is to be mistaken. */
CUstream_st *mistaken_stream(CUstream_st *stream, const work *what);

/* kernels.cpp: ends the process with the kernel's name. */
[[noreturn]] void fail_in_kernel(const void *function, const char *what);
/* fibers.cpp: runs all blocks of a kernel, on the device's thread. */
void run_kernel(emulator_kernel *kernel);
/* fibers.cpp: which thread of which block runs; phases are what barriers, and __syncwarp within a warp, divide a block's life
 * into. */
struct moment_of_kernel {
  uint32_t block, thread, phase, warp_phase[32];
};
extern moment_of_kernel moment;
/* watch.cpp: a launch begins (NULL: it has ended), and a block of it. */
void watch_launch(const void *function);
void watch_block();
/* memory.cpp, shared.cpp: where device memory, in ascending pieces, and shared memory lie. */
std::vector<std::pair<uintptr_t, uintptr_t>> device_memory();
std::pair<uintptr_t, uintptr_t> shared_memory();
/* shared.cpp: fills __shared__ memory with garbage before a block of `function`; says after it that the block ended. */
void poison_shared(const void *function);
void learn_shared(const void *function);

}  // namespace emulated

#endif
