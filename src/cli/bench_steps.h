/* Timing of a training step and of its instructions, with the arithmetic floor. */
#ifndef DT_CLI_BENCH_STEPS_H
#define DT_CLI_BENCH_STEPS_H

#include <stdio.h>

#include "comm/comm.h"
#include "core/config/spec.h"

/* Trains `steps` steps to warm up, then five laps of `steps`; rank 0 prints the median lap, samples/s, and beside them the
 * floor at the peak of sgemm measured in the same run. layers: times each instruction of a micro-batch instead. Nothing is
 * saved. DT_USAGE with more ranks than shards. Collective. */
dt_status dt_bench_steps(const dt_config *config, dt_comm *comm, int64_t steps, bool layers, FILE *out);

#endif
