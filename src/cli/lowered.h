/* A config lowered to the programs that a device would run, without its data: what describe prints and bench plans times. */
#ifndef DT_CLI_LOWERED_H
#define DT_CLI_LOWERED_H

#include "comm/comm.h"
#include "core/config/spec.h"
#include "core/device.h"
#include "core/program/graph.h"
#include "core/program/program.h"
#include "core/tree.h"

typedef struct dt_lowered {
  dt_device *device;
  dt_graph *graph;
  dt_tree *tree;
  dt_program *train, *eval; /* eval NULL without an evaluation set */
} dt_lowered;

/* As rank 0 of so many ranks would lower it. comm: of the rank that is to work with the device, NULL for none. model: a GPU to
 * plan for, NULL for what the machine has; plans: whether a gpu uses the config's plan table. To be destroyed after a failure
 * too. DT_USAGE where a model meets another device than a gpu, and where a layer cannot be trained on shards so small. */
dt_status dt_lowered_create(const dt_config *config, dt_comm *comm, int ranks, const char *model, bool plans, dt_lowered *out);
void dt_lowered_destroy(dt_lowered *lowered);

#endif
