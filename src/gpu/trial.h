/* Trials of what a library offers for an instruction: operands in device memory, and plans that run and are timed on them.
 *
 * Runs are timed as a step has them: recorded in a graph, one behind the other, by events around its launch. A loop of calls
 * would time the host, which for a small engine takes longer to call than the GPU to compute. Each run has a copy of the
 * operands: together they take as many bytes as a step uses, or twice the second-level cache where a step is larger, so that a
 * run finds as little in the cache as it does in a step. */
#ifndef DT_GPU_TRIAL_H
#define DT_GPU_TRIAL_H

#include "gpu/libraries.h"

/* Numbers in [-1, 1) that operands are filled with, and the most values of an output that are compared. */
enum { DT_GPU_TRIAL_VALUES = 1 << 16 };

typedef struct dt_gpu_trial {
  dt_gpu *gpu;
  const dt_gpu_library *library;
  cudaStream_t stream;
  cudaEvent_t start, end;
  dt_gpu_counts counts;
  char *operands; /* [copies][copy_bytes]: x, w, y and the bias twice, at `offset` */
  size_t copy_bytes, offset[5];
  int copies;
  void *sweep; /* what is written before a launch is timed, so that the cache holds nothing of use; NULL: a step fits into it */
  size_t sweep_bytes;
  void *work;
  size_t work_bytes;
  float *values; /* [DT_GPU_TRIAL_VALUES] */
  unsigned long long *hash;
  int output;       /* what the instruction writes: one of the offsets */
  bool is_gradient; /* of weights, which has a type of its own */
  int64_t output_count;
} dt_gpu_trial;

/* Fills *out, which may be half made on an error, for the instruction; drop frees what there is. DT_MEMORY, DT_ENVIRONMENT. */
dt_status dt_gpu_trial_make(dt_gpu *gpu, const dt_gpu_library *library, const dt_program *program, const dt_instr *instr,
                            dt_gpu_trial *out);
void dt_gpu_trial_drop(dt_gpu_trial *trial);

/* Makes room for what the plan needs. What was recorded before must not be launched any more. */
dt_status dt_gpu_trial_reserve(dt_gpu_trial *trial, const dt_gpu_plan *plan);
/* Enqueues one run on the first copy of the operands; its first one loads kernels, which no recording can. */
dt_status dt_gpu_trial_run(const dt_gpu_trial *trial, const dt_gpu_plan *plan);
/* Records so many runs. An engine that can't be recorded is of no use to a step, and raises DT_ENVIRONMENT. */
dt_status dt_gpu_trial_record(const dt_gpu_trial *trial, const dt_gpu_plan *plan, int runs, cudaGraphExec_t *out);
/* Launches what was recorded twice, and times the second launch: milliseconds of a run. Blocks. */
dt_status dt_gpu_trial_time(const dt_gpu_trial *trial, cudaGraphExec_t graph, int runs, double *out_ms);

/* A run's output as a hash of all its bits, and its first values, at most DT_GPU_TRIAL_VALUES. Block. */
dt_status dt_gpu_trial_hash(const dt_gpu_trial *trial, const dt_gpu_plan *plan, unsigned long long *out);
dt_status dt_gpu_trial_values(const dt_gpu_trial *trial, const dt_gpu_plan *plan, float *out, int64_t *out_count);

#endif
