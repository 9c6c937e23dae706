#include "data/data.h"

int64_t dt_sampler_epoch_samples(const dt_sampler *sampler) {
  const int64_t count = sampler->dataset_count;
  if (sampler->last_batch == DT_LAST_SHORT) return count;
  return count - count % sampler->global_batch;
}

dt_step_plan dt_sampler_plan(const dt_sampler *sampler, int64_t samples_seen) {
  const int64_t epoch_samples = dt_sampler_epoch_samples(sampler);
  DT_ASSERT(epoch_samples > 0);
  dt_step_plan plan = {.epoch = samples_seen / epoch_samples, .first = samples_seen % epoch_samples};
  const int64_t left = epoch_samples - plan.first;
  plan.count = left < sampler->global_batch ? left : sampler->global_batch;
  return plan;
}

int64_t dt_sampler_index(const dt_sampler *sampler, int64_t epoch, int64_t position) {
  if (!sampler->shuffle) return position;
  return (int64_t)dt_permute(sampler->seed, (uint64_t)epoch, (uint64_t)position, (uint64_t)sampler->dataset_count);
}
