/* What the config gives stochastic gradient descent, for the devices whose kernels are not in sgd.c. */
#ifndef DT_CORE_OPTIM_SGD_H
#define DT_CORE_OPTIM_SGD_H

#include <stdbool.h>

/* dt_run.optimizer_attr where the optimizer's name is "sgd". Schedules override the numbers: dt_step holds what counts. */
typedef struct dt_sgd_attr {
  double momentum, weight_decay;
  bool nesterov;
} dt_sgd_attr;

#endif
