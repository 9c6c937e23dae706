/* What the clocks of all ranks say of the same steps, brought together at rank 0. */
#ifndef DT_TRAIN_TIMING_H
#define DT_TRAIN_TIMING_H

#include "comm/comm.h"
#include "report/record.h"

/* One rank's, in seconds: in steps, and of them waiting for data, and for sums over ranks. */
typedef struct dt_rank_clocks {
  double step, data_wait, reduce_wait;
} dt_rank_clocks;

/* Memory for all ranks' clocks, on rank 0. */
typedef struct dt_timing {
  dt_rank_clocks *all;
  double *scratch;
} dt_timing;

/* Not collective. Destroy takes a zeroed one. */
dt_status dt_timing_create(dt_comm *comm, dt_timing *out);
void dt_timing_destroy(dt_timing *timing);
/* Elsewhere than on rank 0 *out is zero. Collective. */
dt_status dt_timing_gather(dt_timing *timing, dt_comm *comm, const dt_rank_clocks *own, dt_ranks_timing *out);

#endif
