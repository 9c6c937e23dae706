/* Copies and fills. Pinned memory is read and written when the copy runs, as late as that may be; pageable memory is read at
 * the call, and a copy into it has ended when the call returns, as with CUDA. A recorded copy takes pinned memory only: it
 * would read pageable memory at every launch. */
#include <cstring>

#include "internal.h"

namespace {

using namespace emulated;

struct copy {
  void *to;
  const void *from;
  size_t bytes;
  bool to_device, from_device;
  std::vector<char> staged; /* what pageable memory held at the call */
};
struct fill {
  void *to;
  int value;
  size_t bytes;
};

void run_copy(void *context) {
  static const long slow_copies = emulator_number("slow_copies", 0);
  copy *c = static_cast<copy *>(context);
  if (c->to_device && !c->from_device && c->staged.empty()) emulator_take(slow_copies);
  if ((c->to_device && !emulator_owns(c->to, c->bytes)) || (c->from_device && !emulator_owns(c->from, c->bytes))) {
    emulator_fail("cudaMemcpyAsync of %zu bytes: the device memory was freed before the copy ran", c->bytes);
  }
  memmove(c->to, c->staged.empty() ? c->from : c->staged.data(), c->bytes);
}
void drop_copy(void *context) {
  delete static_cast<copy *>(context);
}

void run_fill(void *context) {
  fill *f = static_cast<fill *>(context);
  if (!emulator_owns(f->to, f->bytes))
    emulator_fail("cudaMemsetAsync of %zu bytes: the memory was freed before it ran", f->bytes);
  memset(f->to, f->value, f->bytes);
  emulator_touch(f->to, f->bytes);
}
void drop_fill(void *context) {
  delete static_cast<fill *>(context);
}

enum cudaMemcpyKind kind_of(const void *to, const void *from, enum cudaMemcpyKind kind) {
  if (kind != cudaMemcpyDefault) return kind;
  bool to_device = device_owns(to, 1), from_device = device_owns(from, 1);
  return to_device ? (from_device ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice)
                   : (from_device ? cudaMemcpyDeviceToHost : cudaMemcpyHostToHost);
}

void check_side(const char *which, const void *p, size_t bytes, bool device) {
  if (device && !device_owns(p, bytes)) {
    emulator_fail("a copy of %zu bytes: the %s is not inside one allocation of device memory", bytes, which);
  }
  if (!device && device_owns(p, 1))
    emulator_fail("a copy of %zu bytes: the %s is device memory, not host memory", bytes, which);
}

/* The queue is locked: nothing that is enqueued from here on runs. */
void hang_at_download(held_lock *held) {
  static const long chosen = emulator_number("hang_download", -1);
  static long count = 0;
  if (++count == chosen) hang(*held);
}

cudaError_t put_copy(held_lock *held, void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t handle,
                     bool synchronous) {
  if (!bytes) return cudaSuccess;
  kind = kind_of(to, from, kind);
  bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  check_side("target", to, bytes, to_device);
  check_side("source", from, bytes, from_device);
  CUstream_st *stream = stream_of(handle);
  if (stream->recording && ((!to_device && !pinned_owns(to, bytes)) || (!from_device && !pinned_owns(from, bytes)))) {
    emulator_fail("a copy of %zu bytes is recorded that reads or writes pageable memory, expected pinned memory", bytes);
  }
  if (kind == cudaMemcpyDeviceToHost && !stream->recording) hang_at_download(held);
  copy *c = new copy{to, from, bytes, to_device, from_device, {}};
  if (!from_device && !pinned_owns(from, bytes)) {
    c->staged.assign((const char *)from, (const char *)from + bytes);
  }
  emulator_work what = {"copy", run_copy, drop_copy, c};
  node_ref node;
  cudaError_t error = enqueue(stream, std::make_shared<work>(what, cudaGraphNodeTypeMemcpy), &node);
  bool into_pageable = !to_device && !pinned_owns(to, bytes);
  if (node && (into_pageable || (synchronous && kind != cudaMemcpyDeviceToDevice) || emulator_text("order"))) {
    wait_for(*held, node);
  }
  return error;
}

cudaError_t put_fill(held_lock *held, void *to, int value, size_t bytes, cudaStream_t handle) {
  if (!bytes) return cudaSuccess;
  if (!device_owns(to, bytes)) emulator_fail("a fill of %zu bytes: not inside one allocation of device memory", bytes);
  emulator_work what = {"fill", run_fill, drop_fill, new fill{to, value, bytes}};
  node_ref node;
  cudaError_t error = enqueue(stream_of(handle), std::make_shared<work>(what, cudaGraphNodeTypeMemset), &node);
  if (emulator_text("order")) wait_for(*held, node);
  return error;
}

struct host_call {
  cudaHostFn_t function;
  void *data;
};
void run_host_call(void *context) {
  host_call *h = static_cast<host_call *>(context);
  h->function(h->data);
}
void drop_host_call(void *context) {
  delete static_cast<host_call *>(context);
}

}  // namespace

extern "C" {

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream) {
  return call([&](held_lock &held) { return put_copy(&held, to, from, bytes, kind, stream, false); });
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
  return call([&](held_lock &held) {
    if (cudaError_t error = unsafe_call()) return error;
    return put_copy(&held, to, from, bytes, kind, nullptr, true);
  });
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  return call([&](held_lock &held) { return put_fill(&held, to, value, bytes, stream); });
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) {
  return call([&](held_lock &held) {
    if (cudaError_t error = unsafe_call()) return error;
    return put_fill(&held, to, value, bytes, nullptr);
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
  return call([&](held_lock &held) {
    emulator_work what = {"host function", run_host_call, drop_host_call, new host_call{function, data}};
    node_ref node;
    cudaError_t error = enqueue(stream_of(stream), std::make_shared<work>(what, cudaGraphNodeTypeHost), &node);
    if (emulator_text("order")) wait_for(held, node);
    return error;
  });
}
}
