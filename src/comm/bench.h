/* Measures the reducers against MPI_Allreduce. */
#ifndef DT_COMM_BENCH_H
#define DT_COMM_BENCH_H

#include <stdio.h>

#include "comm/comm.h"

typedef struct dt_bench_options {
  int64_t min_bytes, max_bytes; /* sizes go up by factors of 4; 0 = 1 KiB and 256 MiB */
  double seconds;               /* bound of the whole, about; 0 = 20 */
} dt_bench_options;

/* Prints to out (rank 0; others may pass NULL) one line per size: microseconds and bus bandwidth 2(n-1)/n * bytes / time of
 * MPI_Allreduce, and bus bandwidth and ratio to it of ordered over shared memory (where all ranks are on one host), ordered
 * over messages, and fast. Each figure is the median of rounds in which all take turns; a round's time is the slowest rank's.
 * Sums of floats, in place. DT_USAGE with one rank. Collective. */
dt_status dt_bench_allreduce(dt_comm *comm, const dt_bench_options *options, FILE *out);

#endif
