/* Averages of the weights over the steps of a training, which are what evaluations, predictions and model.safetensors then
 * have. Training goes on from its own weights and knows nothing of the average. One file, one row in dt_average_kinds.
 *
 * The average is one more slot behind the optimizer's, so that it is saved, restored, hashed and counted as they are; UPDATE
 * brings it up to date behind the optimizer's formula. What it takes in of a step is a number, dt_step.average, which is a pure
 * function of the step: there is no further state. */
#ifndef DT_CORE_OPTIM_AVERAGE_H
#define DT_CORE_OPTIM_AVERAGE_H

#include "core/config/kinds.h"
#include "core/device.h"
#include "core/optim/schedule.h"

/* Where a step stands. */
typedef struct dt_average_step {
  const dt_clock *clock;
  int64_t number;        /* from 1 */
  int64_t before, after; /* samples seen */
} dt_average_step;

typedef struct dt_average {
  /* How much of the weights that the step leaves goes into the average, a = a + weight * (p - a), from 0 to 1. */
  double (*weight)(const void *attr, const dt_average_step *at);
} dt_average;

/* dt_step.average of a config; 0 where it has none. */
double dt_average_weight(const dt_spec *spec, const dt_average_step *at);

/* Flat blocks besides parameters that a training of the config has for each of them: the optimizer's slots and the average. */
int dt_slot_count(const dt_spec *spec);
/* Which of them evaluations take for the weights; -1: none, but the parameters themselves. */
int dt_slot_evaluated(const dt_spec *spec);
/* What a slot's tensors are called in a checkpoint. The evaluated one changes places with the parameters there, and its
 * tensors are those that training goes on from. */
const char *dt_slot_name(const dt_spec *spec, int slot);
/* Whether it begins as the parameters do, and not as zeros. */
bool dt_slot_starts_as_param(const dt_spec *spec, int slot);

/* a = a + weight * (p - a), each operation rounded by itself; p where the weight is 1. */
void dt_average_f32(double weight, int64_t count, const float *param, float *average);
void dt_average_f64(double weight, int64_t count, const double *param, double *average);

#endif
