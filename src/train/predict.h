/* Labels for data, by a checkpoint. */
#ifndef DT_TRAIN_PREDICT_H
#define DT_TRAIN_PREDICT_H

#include <stdio.h>

#include "comm/comm.h"
#include "core/config/spec.h"

/* Labels the eval set: a header and a CSV line per sample on rank 0, in the order of the data: index,label,probability, then
 * true where the data has labels, the names of both where the config has names, and, if `all`, the probability of each class.
 * What is no class (core/losses/loss.h) is a row of numbers: index,p0,p1,... or index,y0,y1,.... DT_NUMERIC when one is not
 * finite. Collective. */
dt_status dt_predict(const dt_config *config, dt_comm *comm, const char *checkpoint, bool all, FILE *out);

#endif
