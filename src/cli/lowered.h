/* A config lowered to the programs that a device would run, without its data: what describe prints and bench plans times. */
#ifndef DT_CLI_LOWERED_H
#define DT_CLI_LOWERED_H

#include "core/device.h"
#include "core/graph.h"
#include "core/program.h"
#include "core/spec.h"
#include "core/tree.h"

typedef struct dt_lowered {
  dt_device *device;
  dt_graph *graph;
  dt_tree *tree;
  dt_program *train, *eval; /* eval NULL without data.eval */
} dt_lowered;

/* As rank 0 of so many ranks would lower it. model: a GPU to plan for, NULL for what the machine has; plans: whether a gpu
 * heeds the config's plan table. To be destroyed after a failure too. DT_USAGE where a model meets another device than a gpu.
 */
dt_status dt_lowered_create(const dt_config *config, int ranks, const char *model, bool plans, dt_lowered *out);
void dt_lowered_destroy(dt_lowered *lowered);

#endif
