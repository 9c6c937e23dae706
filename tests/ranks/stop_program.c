/* A training that a signal meets at a chosen moment: stop_program CONFIG BATCH RANK [KEY=VALUE ...] raises SIGINT on rank RANK
 * when the reduction of its BATCH-th batch begins. Ends as the dtrain command does. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "train/signals.h"
#include "train/trainer.h"

static dt_comm_ops comm_ops;
static dt_reducer_ops reducer_ops;
static dt_status (*create)(dt_comm *comm, const dt_reducer_options *options, dt_reducer **out);
static dt_status (*begin)(dt_reducer *reducer, int bucket);
static int batches_left;

/* The first bucket that a batch reduces is bucket 0. */
static dt_status begin_counted(dt_reducer *reducer, int bucket) {
  if (bucket == 0 && --batches_left == 0) raise(SIGINT);
  return begin(reducer, bucket);
}

static dt_status create_counting(dt_comm *comm, const dt_reducer_options *options, dt_reducer **out) {
  DT_TRY(create(comm, options, out));
  reducer_ops = *(*out)->ops;
  begin = reducer_ops.begin;
  reducer_ops.begin = begin_counted;
  (*out)->ops = &reducer_ops;
  return DT_OK;
}

static void count_batches(dt_comm *comm, int stop_at) {
  batches_left = stop_at;
  comm_ops = *comm->ops;
  create = comm_ops.reducer_create;
  comm_ops.reducer_create = create_counting;
  comm->ops = &comm_ops;
}

int main(int argc, char **argv) {
  if (argc < 4) return 77;
  static dt_train_result result;
  const dt_train_options options = {.command = "stop_program"};
  dt_comm *comm = NULL;
  dt_config *config = NULL;
  const int batch = atoi(argv[2]), rank = atoi(argv[3]);
  dt_status status = dt_signals_install();
  if (status == DT_OK) status = dt_comm_create(&argc, &argv, &comm);
  if (status == DT_OK) status = dt_config_load(argv[1], (const char *const *)(argv + 4), argc - 4, &config);
  if (status == DT_OK && comm->rank == rank) count_batches(comm, batch);
  if (status == DT_OK) status = dt_train(config, comm, &options, &result);
  if (status != DT_OK) fprintf(stderr, "stop_program: %s: %s\n", dt_status_name(status), dt_error_text());
  dt_config_destroy(&config);
  if (comm != NULL) comm->ops->destroy(&comm);
  return dt_status_exit_code(status);
}
