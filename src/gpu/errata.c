/* An engine number means the same engine in all versions that an entry covers, and need not in others. Entries are for graphs
 * that dtrain makes: one convolution, with bias and relu at most. To add one, say who has seen what, and where. */
#include "gpu/errata.h"

#include <stdio.h>
#include <string.h>

static const dt_gpu_erratum errata[] = {
    /* Seen with 9.23.1 on 8.6, and mended in 9.24. Nobody has shown that other GPUs are spared, so it is out on all. */
    {.op = DT_OP_CONV_FWD,
     .engine = 5,
     .cudnn_first = 92300,
     .cudnn_end = 92400,
     .why = "it gives other numbers from one run to the next",
     .source = "https://github.com/pytorch/pytorch/pull/188318"},
    /* The kernels at fault are cuBLASLt's, which these engines call. */
    {.op = DT_OP_COUNT,
     .engine = 58,
     .cublas_end = 130601,
     .capability_first = 1200,
     .capability_last = 1209,
     .why = "it reads memory that it must not",
     .source = "https://github.com/pytorch/pytorch/pull/190112"},
    {.op = DT_OP_COUNT,
     .engine = 63,
     .cublas_end = 130601,
     .capability_first = 1200,
     .capability_last = 1209,
     .why = "it reads memory that it must not",
     .source = "https://github.com/pytorch/pytorch/pull/190112"},
    /* XLA and TensorFlow keep these two out in every version, for a reason that is not public. */
    {.op = DT_OP_CONV_FWD,
     .engine = 42,
     .knobs = " k2=2 k4=3 k5=0 k6=0 k7=0",
     .why = "XLA keeps it out (b/234183340)",
     .source = "https://github.com/openxla/xla, xla/stream_executor/cuda/cuda_dnn.cc"},
    {.op = DT_OP_CONV_FWD,
     .engine = 42,
     .knobs = " k2=1 k4=3 k5=1 k6=0 k7=0",
     .why = "XLA keeps it out (b/234183340)",
     .source = "https://github.com/openxla/xla, xla/stream_executor/cuda/cuda_dnn.cc"},
};

/* Whether a choice has a knob, which is " kN=V" and then a blank or the end. */
static bool has_knob(const char *choice, const char *knob, size_t length) {
  for (const char *at = choice; (at = strstr(at, " k")) != NULL; at++) {
    if (strncmp(at, knob, length) == 0 && (at[length] == ' ' || at[length] == '\0')) return true;
  }
  return false;
}

static bool has_knobs(const char *choice, const char *knobs) {
  for (const char *at = knobs; at != NULL && *at != '\0';) {
    size_t length = 1 + strcspn(at + 1, " ");
    if (!has_knob(choice, at, length)) return false;
    at += length;
  }
  return true;
}

static bool is_within(size_t value, size_t first, size_t end) {
  return value >= first && (end == 0 || value < end);
}

static bool is_here(const dt_gpu_erratum *e, const dt_gpu_libraries *libraries) {
  const size_t capability_end = e->capability_last > 0 ? (size_t)e->capability_last + 1 : 0;
  return is_within(libraries->cudnn_version, e->cudnn_first, e->cudnn_end) &&
         is_within(libraries->cublas_version, 0, e->cublas_end) &&
         is_within((size_t)libraries->capability, (size_t)e->capability_first, capability_end);
}

const dt_gpu_erratum *dt_gpu_erratum_find(const dt_gpu *gpu, dt_op op, const char *choice) {
  int engine;
  if (sscanf(choice, "engine %d", &engine) != 1) return NULL;
  for (size_t i = 0; i < sizeof errata / sizeof *errata; i++) {
    const dt_gpu_erratum *e = &errata[i];
    const bool is_it = e->engine == engine && (e->op == op || e->op == DT_OP_COUNT) && has_knobs(choice, e->knobs);
    if (is_it && is_here(e, gpu->libraries)) return e;
  }
  return NULL;
}
