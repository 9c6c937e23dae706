#include "train/device_ids.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct device_id {
  char host[64], id[96], title[160];
} device_id;

static void fill(device_id *u, const dt_device *device) {
  gethostname(u->host, sizeof u->host - 1);
  snprintf(u->id, sizeof u->id, "%s", device->id);
  snprintf(u->title, sizeof u->title, "%s", device->title);
}

static dt_status refuse_doubles(const device_id *u, int size) {
  for (int a = 0; a < size; a++) {
    for (int b = a + 1; b < size; b++) {
      DT_REQUIRE(strcmp(u[a].id, u[b].id) != 0, DT_ENVIRONMENT,
                 "ranks %d and %d share %s on %s (%s): found %d ranks, expected one a GPU; start fewer ranks, look at "
                 "CUDA_VISIBLE_DEVICES, or let them share it with comm.transport: staged",
                 a, b, u[a].title, u[a].host, u[a].id, size);
    }
  }
  return DT_OK;
}

static dt_status print_table(const device_id *u, int size, char **out) {
  size_t bytes;
  FILE *memory = open_memstream(out, &bytes);
  DT_REQUIRE(memory != NULL, DT_MEMORY, "no memory for the table of ranks");
  for (int r = 0; r < size; r++) {
    fprintf(memory, "%srank %d: %s, %s, %s", r > 0 ? "\n" : "", r, u[r].host, u[r].title, u[r].id);
  }
  DT_REQUIRE(fclose(memory) == 0, DT_MEMORY, "no memory for the table of ranks");
  return DT_OK;
}

/* Of every rank, on rank 0. */
static void count_sharers(const device_id *u, int size, int *count) {
  for (int a = 0; a < size; a++) {
    for (int b = 0; b < size; b++) count[a] += strcmp(u[a].id, u[b].id) == 0;
  }
}

static dt_status share_counts(dt_comm *comm, const device_id *all, int *out_sharers) {
  int *count = NULL;
  dt_status status = dt_comm_agree(comm, dt_alloc((size_t)comm->size, sizeof *count, &count));
  if (status == DT_OK && comm->rank == 0) count_sharers(all, comm->size, count);
  if (status == DT_OK) status = comm->ops->bcast(comm, count, (size_t)comm->size * sizeof *count, 0);
  if (status == DT_OK) *out_sharers = count[comm->rank];
  free(count);
  return status;
}

dt_status dt_device_ids_agree(dt_comm *comm, const dt_device *device, bool shared, int *out_sharers, char **out_table) {
  device_id own, *all = NULL;
  *out_table = NULL;
  *out_sharers = 1;
  int64_t with_id = device->id != NULL;
  DT_TRY(comm->ops->allreduce_i64(comm, &with_id, 1, DT_SUM));
  if (with_id < comm->size) return DT_OK; /* devices of other kinds are noticed when ranks agree on their set-up */
  memset(&own, 0, sizeof own);
  fill(&own, device);
  dt_status status = dt_comm_agree(comm, dt_alloc((size_t)comm->size, sizeof *all, &all));
  if (status == DT_OK) status = comm->ops->gather(comm, &own, sizeof own, all, 0);
  if (status == DT_OK) {
    dt_status found = comm->rank == 0 && !shared ? refuse_doubles(all, comm->size) : DT_OK;
    if (found == DT_OK && comm->rank == 0) found = print_table(all, comm->size, out_table);
    status = dt_comm_agree(comm, found);
  }
  if (status == DT_OK) status = share_counts(comm, all, out_sharers);
  free(all);
  return status;
}
