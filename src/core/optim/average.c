#include "core/optim/average.h"

#include <string.h>

#include "core/optim/optimizer.h"

extern const dt_kind dt_average_ema;
extern const dt_kind dt_average_swa;

/* clang-format off */
const dt_kind *const dt_average_kinds[] = {
    &dt_average_ema,
    &dt_average_swa,
    NULL,
};
/* clang-format on */

double dt_average_weight(const dt_spec *spec, const dt_average_step *at) {
  if (spec->average.kind == NULL) return 0;
  return ((const dt_average *)spec->average.kind->impl)->weight(spec->average.attr, at);
}

static const dt_optimizer *optimizer_of(const dt_spec *spec) {
  return spec->optimizer.kind->impl;
}

int dt_slot_count(const dt_spec *spec) {
  return optimizer_of(spec)->slots + (spec->average.kind != NULL);
}

int dt_slot_evaluated(const dt_spec *spec) {
  return spec->average.kind != NULL ? optimizer_of(spec)->slots : optimizer_of(spec)->evaluated - 1;
}

const char *dt_slot_name(const dt_spec *spec, int slot) {
  return slot == dt_slot_evaluated(spec) ? "iterate" : optimizer_of(spec)->slot_name[slot];
}

bool dt_slot_starts_as_param(const dt_spec *spec, int slot) {
  return slot == dt_slot_evaluated(spec) || (optimizer_of(spec)->starts_as_param >> slot & 1) != 0;
}

void dt_average_f32(double weight, int64_t count, const float *restrict param, float *restrict average) {
  const float w = (float)weight;
  if (weight == 1) memcpy(average, param, (size_t)count * sizeof *average);
  for (int64_t i = 0; weight > 0 && weight < 1 && i < count; i++) average[i] = average[i] + w * (param[i] - average[i]);
}

void dt_average_f64(double weight, int64_t count, const double *restrict param, double *restrict average) {
  if (weight == 1) memcpy(average, param, (size_t)count * sizeof *average);
  for (int64_t i = 0; weight > 0 && weight < 1 && i < count; i++) average[i] = average[i] + weight * (param[i] - average[i]);
}
