#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

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

/* --- drawing by weight --- */

/* Samples of each class, of labels that are 0 or more. Returns new. */
static dt_status count_classes(const dt_dataset *dataset, const int32_t *label, int64_t **out) {
  int64_t classes = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    DT_REQUIRE(label[i] >= 0, DT_DATA, "%s: found label %" PRId32 " of sample %" PRId64 ", expected 0 or more", dataset->source,
               label[i], i);
    if (label[i] >= classes) classes = (int64_t)label[i] + 1;
  }
  DT_TRY(dt_alloc((size_t)classes, sizeof **out, out));
  for (int64_t i = 0; i < dataset->count; i++) (*out)[label[i]]++;
  return DT_OK;
}

/* A sample of a class of n weighs 1 / n. */
static dt_status weigh_classes(const dt_dataset *dataset, double *weight) {
  const int f = dt_dataset_find(dataset, "label");
  int64_t *count;
  DT_REQUIRE(f >= 0 && dataset->fields.field[f].dtype == DT_I32 && dataset->fields.field[f].shape.ndim == 0 &&
                 dataset->fields.field[f].layout == DT_FIELD_DENSE,
             DT_USAGE, "data.sampling: found no field label of one class a sample in %s, expected one to be balanced",
             dataset->source);
  const int32_t *label = dataset->data[f].values;
  DT_TRY(count_classes(dataset, label, &count));
  for (int64_t i = 0; i < dataset->count; i++) weight[i] = 1 / (double)count[label[i]];
  free(count);
  return DT_OK;
}

static dt_status take_weights(const dt_dataset *dataset, const char *name, double *weight) {
  const int f = dt_dataset_find(dataset, name);
  DT_REQUIRE(f >= 0 && dataset->fields.field[f].dtype == DT_F32 && dt_shape_count(&dataset->fields.field[f].shape) == 1 &&
                 dataset->fields.field[f].layout == DT_FIELD_DENSE,
             DT_USAGE, "data.sampling: found no field %s of one float a sample in %s, expected the weights there", name,
             dataset->source);
  const float *values = dataset->data[f].values;
  double sum = 0;
  for (int64_t i = 0; i < dataset->count; i++) {
    DT_REQUIRE(isfinite(values[i]) && values[i] >= 0, DT_DATA,
               "%s: found weight %g of sample %" PRId64 ", expected 0 or a positive number", dataset->source, (double)values[i],
               i);
    weight[i] = values[i];
    sum += values[i];
  }
  DT_REQUIRE(sum > 0, DT_DATA, "%s: found weights of 0 alone in field %s, expected a positive one", dataset->source, name);
  return DT_OK;
}

static void add_up(const double *weight, int64_t count, uint64_t *out) {
  double largest = 0;
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; i++) largest = weight[i] > largest ? weight[i] : largest;
  for (int64_t i = 0; i < count; i++) {
    const uint64_t whole = (uint64_t)(weight[i] / largest * 0x1p31 + 0.5);
    sum += whole > 0 ? whole : weight[i] > 0;
    out[i] = sum;
  }
}

dt_status dt_sampler_weigh(const dt_dataset *dataset, int rule, const char *field, uint64_t **out) {
  double *weight;
  DT_TRY(dt_alloc((size_t)dataset->count, sizeof *weight, &weight));
  dt_status status = rule == DT_SAMPLING_BALANCED ? weigh_classes(dataset, weight) : take_weights(dataset, field, weight);
  if (status == DT_OK) status = dt_alloc((size_t)dataset->count, sizeof **out, out);
  if (status == DT_OK) add_up(weight, dataset->count, *out);
  free(weight);
  return status;
}

/* The first sample up to which the weights are more than a number below their sum. */
static int64_t draw(const dt_sampler *sampler, int64_t epoch, int64_t position) {
  const dt_rng_block block = dt_rng(sampler->seed, DT_RNG_DRAW, (uint64_t)epoch, (uint64_t)position, 0);
  const uint64_t word = (uint64_t)block.word[1] << 32 | block.word[0], sum = sampler->draws[sampler->dataset_count - 1];
  const uint64_t below = (uint64_t)((unsigned __int128)word * sum >> 64);
  int64_t low = 0, high = sampler->dataset_count - 1;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    if (sampler->draws[middle] > below) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

int64_t dt_sampler_index(const dt_sampler *sampler, int64_t epoch, int64_t position) {
  if (sampler->draws != NULL) return draw(sampler, epoch, position);
  if (!sampler->shuffle) return position;
  return (int64_t)dt_permute(sampler->seed, (uint64_t)epoch, (uint64_t)position, (uint64_t)sampler->dataset_count);
}
