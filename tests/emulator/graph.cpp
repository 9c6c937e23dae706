/* Recording streams, and graphs.
 *
 * A capture is one graph that grows: a recording stream holds its heads, the nodes that its next node waits for, and an event
 * recorded there keeps them. A stream that waits for such an event joins the capture. A launch makes a node of the queue for
 * each of the graph's, so that a replay runs in any order its edges allow. */
#include <algorithm>

#include "internal.h"

struct CUgraphNode_st {
  emulated::work_ref what; /* NULL: an event's record, which only orders */
  const void *stream;
  std::vector<size_t> before;
  std::vector<size_t> told; /* before, and what ignored waits would have added */
};
struct CUgraph_st {
  std::vector<CUgraphNode_st> nodes;
};
struct CUgraphExec_st {
  std::vector<CUgraphNode_st> nodes;
  emulated::node_ref last; /* a graph's launches follow one another */
};

namespace emulated {

struct capture {
  std::unique_ptr<CUgraph_st> graph = std::make_unique<CUgraph_st>();
  cudaStreamCaptureMode mode;
  pthread_t thread;
  CUstream_st *origin;
  std::vector<CUstream_st *> streams;
  bool active = true, invalid = false;
};

namespace {

std::vector<std::shared_ptr<capture>> &captures() {
  static auto &all = *new std::vector<std::shared_ptr<capture>>;
  return all;
}

void add_heads(std::vector<capture_head> *heads, const std::vector<capture_head> &more, bool dropped) {
  for (capture_head head : more) {
    head.dropped = head.dropped || dropped;
    heads->push_back(head);
  }
}

cudaError_t invalidate(capture *c, cudaError_t error) {
  c->invalid = true;
  return error;
}

/* Whether every head of the other streams lies before the origin's heads. */
bool joined(const capture &c) {
  std::vector<bool> reached(c.graph->nodes.size());
  for (const capture_head &head : c.origin->heads) reached[head.node] = true;
  for (size_t i = reached.size(); i-- > 0;) {
    if (!reached[i]) continue;
    for (size_t before : c.graph->nodes[i].told) reached[before] = true;
  }
  for (const CUstream_st *stream : c.streams) {
    for (const capture_head &head : stream->heads) {
      if (!reached[head.node]) return false;
    }
  }
  return true;
}

void end(const std::shared_ptr<capture> &c) {
  for (CUstream_st *stream : c->streams) {
    stream->recording.reset();
    stream->heads.clear();
    stream->earlier_heads.clear();
  }
  c->active = false;
  captures().erase(std::find(captures().begin(), captures().end(), c));
}

}  // namespace

cudaError_t unsafe_call() {
  cudaError_t error = cudaSuccess;
  for (auto &c : captures()) {
    bool own = pthread_equal(c->thread, pthread_self());
    if (c->mode == cudaStreamCaptureModeGlobal || (c->mode == cudaStreamCaptureModeThreadLocal && own)) {
      error = invalidate(c.get(), cudaErrorStreamCaptureUnsupported);
    }
  }
  return error;
}

cudaError_t legacy_call() {
  cudaError_t error = cudaSuccess;
  for (auto &c : captures()) {
    for (const CUstream_st *stream : c->streams) {
      if (stream->blocking) error = invalidate(c.get(), cudaErrorStreamCaptureImplicit);
    }
  }
  return error;
}

cudaError_t forbidden(CUstream_st *stream) {
  return stream->recording ? invalidate(stream->recording.get(), cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t forbidden(CUevent_st *event) {
  return event->recording ? invalidate(event->recording.get(), cudaErrorCapturedEvent) : cudaSuccess;
}

cudaError_t record_work(CUstream_st *stream, work_ref what) {
  static const long refused = emulator_number("fail_record", 0);
  static long recorded;
  capture *c = stream->recording.get();
  if (c->invalid) return cudaErrorStreamCaptureInvalidated;
  if (++recorded == refused) return invalidate(c, cudaErrorStreamCaptureUnsupported);
  CUgraphNode_st made = {std::move(what), stream, {}, {}};
  for (const capture_head &head : stream->heads) {
    made.told.push_back(head.node);
    if (!head.dropped) made.before.push_back(head.node);
  }
  if (made.what) stream->earlier_heads = stream->heads;
  c->graph->nodes.push_back(std::move(made));
  stream->heads = {{c->graph->nodes.size() - 1, false}};
  return cudaSuccess;
}

void record_event(CUstream_st *stream, CUevent_st *event, bool early) {
  event->recording = stream->recording;
  event->heads = early ? stream->earlier_heads : stream->heads;
}

CUstream_st *companion_of(const CUstream_st *stream) {
  for (CUstream_st *other : stream->recording->streams) {
    if (other != stream) return other;
  }
  return nullptr;
}

cudaError_t record_wait(CUstream_st *stream, CUevent_st *event, bool dropped) {
  if (!event->recording) return invalidate(stream->recording.get(), cudaErrorStreamCaptureIsolation);
  if (!event->recording->active) {
    return stream->recording ? invalidate(stream->recording.get(), cudaErrorStreamCaptureIsolation) : cudaErrorCapturedEvent;
  }
  if (event->recording->invalid) return cudaErrorStreamCaptureInvalidated;
  if (stream->recording && stream->recording != event->recording) {
    invalidate(event->recording.get(), cudaSuccess);
    return invalidate(stream->recording.get(), cudaErrorStreamCaptureMerge);
  }
  if (!stream->recording) {
    stream->recording = event->recording;
    stream->recording->streams.push_back(stream);
  }
  add_heads(&stream->heads, event->heads, dropped);
  return cudaSuccess;
}

}  // namespace emulated

using namespace emulated;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode) {
  return call([&](held_lock &) {
    if (!handle || handle == cudaStreamLegacy) return cudaErrorStreamCaptureUnsupported;
    CUstream_st *stream = stream_of(handle);
    if (stream->recording) return cudaErrorIllegalState;
    auto c = std::make_shared<capture>();
    c->mode = mode;
    c->thread = pthread_self();
    c->origin = stream;
    c->streams.push_back(stream);
    captures().push_back(c);
    stream->recording = c;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
  std::shared_ptr<capture> ended; /* outlives the lock, because dropping work may call the runtime */
  *graph = nullptr;
  return call([&](held_lock &) {
    CUstream_st *stream = stream_of(handle);
    if (!stream->recording) return cudaErrorIllegalState;
    ended = stream->recording;
    if (ended->origin != stream) return invalidate(ended.get(), cudaErrorStreamCaptureUnmatched);
    if (ended->mode != cudaStreamCaptureModeRelaxed && !pthread_equal(ended->thread, pthread_self())) {
      return cudaErrorStreamCaptureWrongThread;
    }
    cudaError_t error = ended->invalid   ? cudaErrorStreamCaptureInvalidated
                        : joined(*ended) ? cudaSuccess
                                         : cudaErrorStreamCaptureUnjoined;
    end(ended);
    if (!error) *graph = ended->graph.release();
    return error;
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status) {
  return call([&](held_lock &) {
    const CUstream_st *stream = stream_of(handle);
    *status = !stream->recording           ? cudaStreamCaptureStatusNone
              : stream->recording->invalid ? cudaStreamCaptureStatusInvalidated
                                           : cudaStreamCaptureStatusActive;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
  return call([&](held_lock &) {
    *exec = new CUgraphExec_st{graph->nodes, {}};
    return cudaSuccess;
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t handle) {
  return call([&](held_lock &held) {
    CUstream_st *stream = stream_of(handle);
    if (stream->recording) {
      emulator_fail("cudaGraphLaunch: the stream is capturing, and a graph inside a graph is not emulated");
    }
    node_ref first, last;
    if (cudaError_t error = enqueue(stream, nullptr, &first)) return error;
    emulated::graph_launched();
    count_work(stream, "graph");
    std::vector<node_ref> made;
    for (const CUgraphNode_st &node : exec->nodes) {
      std::vector<node_ref> before = {first, exec->last};
      for (size_t index : node.before) before.push_back(made[index]);
      made.push_back(submit(node.what, node.stream, before));
    }
    made.push_back(stream->last);
    stream->last = exec->last = submit(nullptr, stream, made);
    if (emulator_text("order")) wait_for(held, stream->last);
    return cudaSuccess;
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t handle) {
  return call([&](held_lock &) { return enqueue(stream_of(handle), nullptr, nullptr); });
}

/* Work only: an event's record, which is no node of a CUDA graph, is left out. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
  return call([&](held_lock &) {
    size_t found = 0;
    for (CUgraphNode_st &node : graph->nodes) {
      if (!node.what) continue;
      if (nodes && found < *count) nodes[found] = &node;
      found++;
    }
    *count = nodes ? std::min(*count, found) : found;
    return cudaSuccess;
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type) {
  *type = node->what->type;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  std::unique_ptr<CUgraphExec_st> dead(exec);
  return call([](held_lock &) { return cudaSuccess; });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  std::unique_ptr<CUgraph_st> dead(graph);
  return call([](held_lock &) { return cudaSuccess; });
}
}
