/* The second-level cache and the host's calls, as far as the time that engines take depends on them. Options:
 *   l2=BYTES     its size; what libraries and fills touched last is in it. Without this option nothing is, and the size that is
 *                told is small, so that what is done to fill it costs little.
 *   call_ms=N    a library's call takes the host so long, and the GPU no less: it waits. What is recorded is launched without
 */
#include <pthread.h>
#include <string.h>

#include "emulator.h"

typedef struct stretch {
  const char *at;
  size_t bytes;
} stretch;

enum { STRETCHES = 4096 };
static stretch held[STRETCHES]; /* the newest first */
static int held_count;
static size_t held_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

size_t emulator_cache_bytes(void) {
  return (size_t)emulator_number("l2", 256 << 10);
}

static void forget(int i) {
  held_bytes -= held[i].bytes;
  memmove(&held[i], &held[i + 1], (size_t)(--held_count - i) * sizeof *held);
}

/* Takes what lies within [at, at + bytes) out; returns whether that was all of it. */
static bool take_out(const char *at, size_t bytes) {
  size_t found = 0;
  for (int i = held_count; i-- > 0;) {
    if (held[i].at + held[i].bytes <= at || held[i].at >= at + bytes) continue;
    found += held[i].bytes;
    forget(i);
  }
  return found >= bytes;
}

bool emulator_touch(const void *at, size_t bytes) {
  if (emulator_text("l2") == NULL) return false;
  const size_t room = emulator_cache_bytes();
  pthread_mutex_lock(&lock);
  const bool found = take_out(at, bytes);
  memmove(&held[1], &held[0], (size_t)held_count * sizeof *held);
  held[0] = (stretch){at, bytes < room ? bytes : room};
  held_bytes += held[0].bytes;
  held_count++;
  while (held_bytes > room || held_count == STRETCHES) forget(held_count - 1);
  pthread_mutex_unlock(&lock);
  return found;
}

long emulator_call_ms(cudaStream_t stream) {
  enum cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  cudaStreamIsCapturing(stream, &status);
  return status == cudaStreamCaptureStatusNone ? emulator_number("call_ms", 0) : 0;
}
