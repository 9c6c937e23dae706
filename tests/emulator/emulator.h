/* Inside the emulated GPU: what the stand-ins share.
 *
 * Work is put on streams and runs later, on a thread of the device's own, in an order that only streams and events constrain
 * and that is otherwise drawn from a seed. Recorded graphs keep their work and run it at every launch.
 *
 * DTRAIN_EMULATED_GPU holds options, "seed=7,devices=2": see options.cpp. */
#ifndef DT_EMULATOR_H
#define DT_EMULATOR_H

#include <cuda_runtime.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A piece of work: run is called on the device's thread, once or, in a graph, many times; drop once when it is no longer
 * needed. */
typedef struct emulator_work {
  const char *name;
  void (*run)(void *context);
  void (*drop)(void *context);
  void *context;
} emulator_work;

/* Enqueues work on a stream, or records it where the stream is recording. Takes the context. */
cudaError_t emulator_enqueue(cudaStream_t stream, const emulator_work *work);
/* For work that takes longer than it takes here: puts the clock forward by which events are timed. Called by the work itself.
 */
void emulator_spend(long milliseconds);
/* For work that takes so many milliseconds: other work that is ready runs meanwhile, as on a GPU. */
void emulator_take(long ms);
/* Bytes of the second-level cache; touch puts memory into it that work reads or writes, and returns whether all of it was
 * there.
 */
size_t emulator_cache_bytes(void);
bool emulator_touch(const void *p, size_t bytes);
/* What a library's call on this stream takes the host, in milliseconds; 0 where it is recorded. */
long emulator_call_ms(cudaStream_t stream);
/* Whether [p, p + bytes) is memory that cudaMalloc gave and nobody freed. */
bool emulator_owns(const void *p, size_t bytes);
/* Says that only `call` may free a block of device memory; NULL: cudaFree may. */
void emulator_own(void *memory, const char *call);
/* The value of an option as text, NULL when it is not given; as a number, or `otherwise`. */
const char *emulator_text(const char *name);
long emulator_number(const char *name, long otherwise);
/* Prints what a program did wrong ("emulated gpu: kernel act: argument 3 points to host memory") and ends the process by abort:
 * on a GPU it would crash or compute garbage. */
__attribute__((noreturn)) void emulator_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#ifdef __cplusplus
}
#endif

#endif
