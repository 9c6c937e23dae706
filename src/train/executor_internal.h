/* Inside the executor: the step (executor.c) and the blocks on the host (replica.c). */
#ifndef DT_TRAIN_EXECUTOR_INTERNAL_H
#define DT_TRAIN_EXECUTOR_INTERNAL_H

#include "core/optim/average.h"
#include "core/program/order.h"
#include "core/region.h"
#include "train/executor.h"

/* The replica on the host: mirrors of the flat blocks, or the blocks themselves (dt_device_on_host), and their pieces by
 * name. */
typedef struct dt_replica {
  void *param, *state, *slot[DT_SLOT_BLOCKS];
  dt_tensor_ref *model, *optimizer;
  int model_count, optimizer_count;
  void *scratch; /* a parameter, while its dimensions are turned around for a device with channels last */
  dt_region names;
} dt_replica;

struct dt_executor {
  dt_run run;
  dt_step step;
  const dt_tree *tree;
  dt_reducer *reducer;
  const dt_graph *graph;
  const dt_spec *spec;
  bool owns_blocks; /* parameters, states and slots */
  bool owns_arena;
  dt_replica replica;
  dt_order *order;        /* of devices with streams; else NULL */
  dt_step_result outcome; /* of the last step, on devices without */
  double reduce_wait;     /* reducer->wait_seconds as far as outcomes have told of it */
  double *statistics;     /* [program->statistics_count] of the last outcome; then its sums and what of them was not finite */
  int *owner;             /* [segments], of run.owner */
  int64_t *score;         /* EVAL: [program->score_words] */
};

/* Of a training; else 0. */
static inline int dt_executor_slots(const dt_executor *executor) {
  return executor->run.optimizer != NULL ? dt_slot_count(executor->spec) : 0;
}

dt_status dt_replica_create(dt_executor *executor);
void dt_replica_destroy(dt_executor *executor);

#endif
