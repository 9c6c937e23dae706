#include "train/timing.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static dt_spread spread_of(double *value, int count) {
  qsort(value, (size_t)count, sizeof *value, ascending);
  return (dt_spread){.min = value[0], .median = 0.5 * (value[(count - 1) / 2] + value[count / 2]), .max = value[count - 1]};
}

static double own_work(const dt_rank_clocks *c) {
  return fmax(0, c->step - c->reduce_wait);
}

static void compare(const dt_rank_clocks *all, int count, double *scratch, dt_ranks_timing *out) {
  out->ranks = count;
  for (int r = 1; r < count; r++) {
    if (own_work(&all[r]) > own_work(&all[out->slowest])) out->slowest = r;
  }
  for (int r = 0; r < count; r++) scratch[r] = all[r].step;
  out->step = spread_of(scratch, count);
  for (int r = 0; r < count; r++) scratch[r] = all[r].data_wait;
  out->data_wait = spread_of(scratch, count);
  for (int r = 0; r < count; r++) scratch[r] = all[r].reduce_wait;
  out->exposed_communication = spread_of(scratch, count);
  for (int r = 0; r < count; r++) scratch[r] = own_work(&all[r]);
  out->own = spread_of(scratch, count);
}

dt_status dt_timing_create(dt_comm *comm, dt_timing *out) {
  const size_t count = comm->rank == 0 ? (size_t)comm->size : 0;
  DT_TRY(dt_alloc(count, sizeof *out->all, &out->all));
  return dt_alloc(count, sizeof *out->scratch, &out->scratch);
}

dt_status dt_timing_gather(dt_timing *timing, dt_comm *comm, const dt_rank_clocks *own, dt_ranks_timing *out) {
  *out = (dt_ranks_timing){0};
  DT_TRY(comm->ops->gather(comm, own, sizeof *own, timing->all, 0));
  if (comm->rank == 0) compare(timing->all, comm->size, timing->scratch, out);
  return DT_OK;
}

void dt_timing_destroy(dt_timing *timing) {
  free(timing->scratch);
  free(timing->all);
}
