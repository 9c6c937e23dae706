/* Streams and events. */
#include <set>

#include "internal.h"

namespace {

using namespace emulated;

struct tables {
  std::set<uintptr_t> streams, events; /* disguised */
  std::vector<CUstream_st *> legacy;   /* by device */
  long made_streams = 0;
  bool inlined = emulator_text("order") != nullptr;
};

tables &t() {
  static tables &only = *new tables;
  return only;
}

CUstream_st *legacy_stream(int device) {
  while (t().legacy.size() <= (size_t)device) t().legacy.push_back(new CUstream_st{(int)t().legacy.size(), true, {}, {}, {}});
  return t().legacy[(size_t)device];
}

bool is_legacy(const CUstream_st *stream) {
  return stream == legacy_stream(stream->device);
}

/* What the next work on the stream waits for: its own last, and across the legacy stream as CUDA has it. */
std::vector<node_ref> before_next(CUstream_st *stream) {
  std::vector<node_ref> before = {stream->last};
  if (is_legacy(stream)) {
    for (uintptr_t hidden : t().streams) {
      const CUstream_st *other = static_cast<CUstream_st *>(revealed(hidden));
      if (other->blocking && other->device == stream->device) before.push_back(other->last);
    }
  } else if (stream->blocking) {
    before.push_back(legacy_stream(stream->device)->last);
  }
  return before;
}

CUevent_st *event_of(cudaEvent_t event) {
  if (!t().events.count(disguised(event))) emulator_fail("an event is used that was destroyed or never created");
  return event;
}

cudaError_t create_stream(cudaStream_t *stream, unsigned flags) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &) {
    *stream = new CUstream_st{current_device(), !(flags & cudaStreamNonBlocking), {}, {}, {}};
    (*stream)->number = ++t().made_streams;
    t().streams.insert(disguised(*stream));
    return cudaSuccess;
  });
}

}  // namespace

namespace emulated {

CUstream_st *stream_of(cudaStream_t handle) {
  if (!handle || handle == cudaStreamLegacy) return legacy_stream(current_device());
  if (!t().streams.count(disguised(handle))) emulator_fail("a stream is used that was destroyed or never created");
  return handle;
}

node_ref join_of(CUstream_st *stream) {
  std::vector<node_ref> before = before_next(stream);
  if (before.size() == 1) return stream->last;
  return submit(nullptr, stream, before);
}

std::vector<CUstream_st *> streams_of(int device) {
  std::vector<CUstream_st *> all;
  for (uintptr_t hidden : t().streams) {
    CUstream_st *stream = static_cast<CUstream_st *>(revealed(hidden));
    if (stream->device == device) all.push_back(stream);
  }
  return all;
}

cudaError_t enqueue(CUstream_st *stream, work_ref what, node_ref *node) {
  stream = mistaken_stream(stream, what.get());
  if (stream->recording) return record_work(stream, std::move(what));
  if (is_legacy(stream)) {
    if (cudaError_t error = legacy_call()) return error;
  }
  if (what) count_work(stream, what->what.name);
  if (what) stream->second_last = stream->last;
  stream->last = submit(std::move(what), stream, before_next(stream));
  if (node) *node = stream->last;
  return cudaSuccess;
}

}  // namespace emulated

extern "C" {

cudaError_t emulator_enqueue(cudaStream_t handle, const emulator_work *what) {
  work_ref kept = std::make_shared<work>(*what, cudaGraphNodeTypeKernel);
  return call([&](held_lock &held) {
    node_ref node;
    cudaError_t error = enqueue(stream_of(handle), std::move(kept), &node);
    if (t().inlined) wait_for(held, node);
    return error;
  });
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
  return create_stream(stream, cudaStreamDefault);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
  return create_stream(stream, flags);
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority) {
  return create_stream(stream, flags);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return call([&](held_lock &) {
    CUstream_st *stream = stream_of(handle);
    if (is_legacy(stream)) return cudaErrorInvalidResourceHandle;
    if (stream->recording) emulator_fail("cudaStreamDestroy: the stream is capturing");
    t().streams.erase(disguised(stream));
    delete stream;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&](held_lock &held) {
    CUstream_st *stream = stream_of(handle);
    if (cudaError_t error = forbidden(stream)) return error;
    if (cudaError_t error = unsafe_call()) return error;
    if (is_legacy(stream)) {
      if (cudaError_t error = legacy_call()) return error;
    }
    wait_for(held, join_of(stream));
    return cudaSuccess;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call(
      [&](held_lock &held) {
        CUstream_st *stream = stream_of(handle);
        if (cudaError_t error = forbidden(stream)) return error;
        if (cudaError_t error = unsafe_call()) return error;
        return wait_for_answer(held, before_next(stream)) ? cudaSuccess : cudaErrorNotReady;
      },
      true);
}

cudaError_t cudaDeviceSynchronize(void) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &held) {
    for (CUstream_st *stream : streams_of(current_device())) {
      if (cudaError_t error = forbidden(stream)) return error;
    }
    wait_for_all(held);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t handle_of_event, unsigned int flags) {
  return call([&](held_lock &) {
    CUstream_st *stream = stream_of(handle);
    CUevent_st *event = event_of(handle_of_event);
    bool dropped = ignores_wait(stream, event);
    if (stream->recording || event->recording) return record_wait(stream, event, dropped);
    if (dropped || !event->at || (event->at->done && event->at->written.empty())) return cudaSuccess;
    std::vector<node_ref> before = before_next(stream);
    before.push_back(event->at);
    stream->last = submit(nullptr, stream, before);
    return cudaSuccess;
  });
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) {
  if (cudaError_t error = device_error()) return keep_error(error);
  return call([&](held_lock &) {
    *event = new CUevent_st{!(flags & cudaEventDisableTiming), {}, {}, {}};
    t().events.insert(disguised(*event));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  return call([&](held_lock &) {
    CUevent_st *event = event_of(handle);
    t().events.erase(disguised(event));
    delete event;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t handle_of_stream) {
  return call([&](held_lock &held) {
    CUevent_st *event = event_of(handle);
    CUstream_st *stream = stream_of(handle_of_stream);
    event->of_stream = stream->number;
    count_work(stream, "event");
    if (stream->recording) {
      if (cudaError_t error = record_work(stream, nullptr)) return error;
      record_event(stream, event, is_early(event));
      return cudaSuccess;
    }
    node_ref node;
    cudaError_t error = enqueue(stream, nullptr, &node);
    if (error) return error;
    event->recording.reset();
    event->at = is_early(event) ? stream->second_last : node;
    return cudaSuccess;
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  if (is_hasty(handle)) return cudaSuccess;
  return call(
      [&](held_lock &held) {
        CUevent_st *event = event_of(handle);
        if (cudaError_t error = forbidden(event)) return error;
        if (cudaError_t error = unsafe_call()) return error;
        return wait_for_answer(held, {event->at}) ? cudaSuccess : cudaErrorNotReady;
      },
      true);
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  if (is_hasty(handle)) return cudaSuccess;
  return call([&](held_lock &held) {
    CUevent_st *event = event_of(handle);
    if (cudaError_t error = forbidden(event)) return error;
    if (cudaError_t error = unsafe_call()) return error;
    wait_for(held, event->at);
    return cudaSuccess;
  });
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end) {
  return call([&](held_lock &) {
    CUevent_st *first = event_of(start), *second = event_of(end);
    if (first->recording || second->recording) return cudaErrorCapturedEvent;
    if (!first->timing || !second->timing || !first->at || !second->at) return cudaErrorInvalidResourceHandle;
    if (!first->at->done || !second->at->done) return cudaErrorNotReady;
    *ms = (float)(second->at->done_ms - first->at->done_ms);
    return cudaSuccess;
  });
}
}
