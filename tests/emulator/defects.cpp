/* Defects of a program, planted by options: what a run with one of them comes to shows whether the tests would notice it.
 * Streams count from 1 in the order in which the program makes them.
 *
 * drop_waits=1         cudaStreamWaitEvent does nothing; drop_wait=K: the K-th call does nothing
 * deaf=S:T             stream S does not wait for events of stream T; deaf=S:T:K: only the K-th such wait of those recorded
 * early_events=T       events of stream T are recorded before the last work there, not behind it
 * hasty=T              the host does not wait for events of stream T: they are over when it asks
 * wrong_stream=WHAT:K  the K-th piece of work of this name ("kernel", "nccl", "copy", "cublasLtMatmul") that is recorded
 *                      while two streams are goes to the other one */
#include <cstdio>
#include <cstring>

#include "internal.h"

namespace {

struct options {
  bool drop_waits = emulator_number("drop_waits", 0) != 0;
  long drop_wait = emulator_number("drop_wait", 0), early_events = emulator_number("early_events", 0),
       hasty = emulator_number("hasty", 0);
  long deaf = 0, unheard = 0, deaf_at = 0; /* of deaf=S:T:K; K 0 = all */
  char wrong_work[32] = "";
  long wrong_at = 0;
  long waits = 0, deaf_waits = 0, works = 0; /* so far: calls, recorded waits of S for T, recorded work of the name */
  options();
};

options::options() {
  const char *deaf_text = emulator_text("deaf"), *wrong_text = emulator_text("wrong_stream");
  if (deaf_text && sscanf(deaf_text, "%ld:%ld:%ld", &deaf, &unheard, &deaf_at) < 2) {
    emulator_fail("DTRAIN_EMULATED_GPU: deaf=%s is not S:T or S:T:K", deaf_text);
  }
  if (wrong_text && sscanf(wrong_text, "%31[^:]:%ld", wrong_work, &wrong_at) < 2) {
    emulator_fail("DTRAIN_EMULATED_GPU: wrong_stream=%s is not WHAT:K", wrong_text);
  }
}

options &o() {
  static options &only = *new options;
  return only;
}

bool is_deaf(const CUstream_st *stream, const CUevent_st *event) {
  if (stream->number != o().deaf || event->of_stream != o().unheard) return false;
  if (o().deaf_at == 0) return true;
  return event->recording && ++o().deaf_waits == o().deaf_at;
}

}  // namespace

namespace emulated {

bool ignores_wait(const CUstream_st *stream, const CUevent_st *event) {
  bool deaf = o().deaf && is_deaf(stream, event);
  return ++o().waits == o().drop_wait || o().drop_waits || deaf;
}

bool is_early(const CUevent_st *event) {
  return o().early_events && event->of_stream == o().early_events;
}

bool is_hasty(const CUevent_st *event) {
  return o().hasty && event->of_stream == o().hasty;
}

CUstream_st *mistaken_stream(CUstream_st *stream, const work *what) {
  if (!o().wrong_at || !what || !stream->recording || strcmp(what->what.name, o().wrong_work) != 0) return stream;
  CUstream_st *other = companion_of(stream);
  return other && ++o().works == o().wrong_at ? other : stream;
}

}  // namespace emulated
