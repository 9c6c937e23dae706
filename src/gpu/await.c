#include "gpu/await.h"

#include <math.h>
#include <stdlib.h>

#include "core/clock.h"

enum { TIMEOUT_SECONDS = 120 };

dt_status dt_gpu_timeout_read(double *out) {
  const char *text = getenv(DT_GPU_TIMEOUT_VARIABLE);
  *out = TIMEOUT_SECONDS;
  if (text == NULL) return DT_OK;
  char *end = NULL;
  *out = strtod(text, &end);
  DT_REQUIRE(end != text && *end == '\0' && *out > 0, DT_ENVIRONMENT,
             DT_GPU_TIMEOUT_VARIABLE ": found '%s', expected a number of seconds above 0, or inf", text);
  return DT_OK;
}

/* What is asked for comes before the clock: a process that was itself stopped for long finds its work done. */
static dt_status check_deadline(dt_gpu *gpu, double waited_seconds, const char *what) {
  if (waited_seconds <= gpu->timeout) return DT_OK;
  dt_rank_enter(gpu->base.rank, DT_RANK_HUNG);
  DT_RAISE(DT_PEER, "GPU %d has not finished %s for %g s: it hangs (" DT_GPU_TIMEOUT_VARIABLE " sets the limit in seconds)",
           gpu->index, what, gpu->timeout);
}

dt_status dt_gpu_await_stream(dt_gpu *gpu, cudaStream_t stream, const char *what) {
  double start = dt_clock_seconds();
  for (;;) {
    cudaError_t code = cudaStreamQuery(stream);
    if (code != cudaErrorNotReady) return dt_gpu_check(code, what, __FILE__, __LINE__);
    double waited = dt_clock_seconds() - start;
    DT_TRY(check_deadline(gpu, waited, what));
    dt_gpu_pause(waited);
  }
}

dt_status dt_gpu_await_event(dt_gpu *gpu, cudaEvent_t event, dt_reducer *reducer, const char *what) {
  bool polls = reducer != NULL && reducer->ops->poll != NULL;
  double start = dt_clock_seconds();
  for (;;) {
    cudaError_t code = cudaEventQuery(event);
    if (code != cudaErrorNotReady) return dt_gpu_check(code, what, __FILE__, __LINE__);
    double waited = dt_clock_seconds() - start;
    DT_TRY(polls ? reducer->ops->poll(reducer, waited) : check_deadline(gpu, waited, what));
    dt_gpu_pause(waited);
  }
}
