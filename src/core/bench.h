/* Timing of a training step and of its instructions, with the arithmetic floor. */
#ifndef DT_CORE_BENCH_H
#define DT_CORE_BENCH_H

#include <stdio.h>

#include "comm/comm.h"
#include "core/spec.h"

/* Trains `steps` steps to warm up and times `steps` more (median of five laps); rank 0 prints samples/s and the fraction of
 * the peak of a register-only FMA loop measured in the same run. layers: times each instruction of a pass instead.
 * Nothing is saved. Collective. */
dt_status dt_bench_steps(const dt_config *config, dt_comm *comm, int64_t steps, bool layers, FILE *out);

#endif
