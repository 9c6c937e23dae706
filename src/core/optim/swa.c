/* Stochastic weight averaging (Izmailov et al., "Averaging weights leads to wider optima and better generalization", 2018): the
 * mean of the weights at the points start + every, start + 2 * every, ... of the training; before the first it is the weights
 * themselves. */
#include <math.h>
#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/average.h"

typedef struct swa_attr {
  dt_duration start, every;
} swa_attr;

static const char *const counted_units[] = {"samples", "steps", "epochs", NULL};

/* Points that are passed by `now`, all in steps or all in samples. */
static int64_t points(int64_t start, int64_t every, int64_t now) {
  return now > start ? (now - start) / every : 0;
}

/* Steps are counted where `every` is in steps, since the last one of an epoch may have fewer samples. Several points within a
 * step count as often. */
static double weight(const void *attr, const dt_average_step *at) {
  const swa_attr *swa = attr;
  const bool steps = swa->every.unit == DT_STEPS;
  const int64_t samples = dt_duration_samples(swa->start, at->clock),
                start = steps ? dt_clock_steps(at->clock, samples) : samples;
  const int64_t given = steps ? (int64_t)ceil(swa->every.amount) : dt_duration_samples(swa->every, at->clock);
  const int64_t every = given > 0 ? given : 1;
  const int64_t before = points(start, every, steps ? at->number - 1 : at->before);
  const int64_t after = points(start, every, steps ? at->number : at->after);
  return after == 0 ? 1 : (double)(after - before) / (double)after;
}

static const dt_average swa = {.weight = weight};

static const dt_option options[] = {
    DT_ROW_DURATION("start", offsetof(swa_attr, start), NULL, counted_units, "Where the averaging begins.", .min = 0,
                    .max = INFINITY),
    DT_ROW_DURATION("every", offsetof(swa_attr, every), "1 epoch", counted_units, "From one averaged point to the next.",
                    .min = 0, .max = INFINITY, .open_min = true),
    {0},
};

const dt_kind dt_average_swa = {
    .name = "swa",
    .doc =
        "Stochastic weight averaging: the mean of the weights at start + every, start + 2 * every and so on, for a learning "
        "rate that is constant or goes round (Izmailov et al., 2018). The same as torch.optim.swa_utils.AveragedModel.",
    .options = options,
    .attr_bytes = sizeof(swa_attr),
    .positional = "start",
    .impl = &swa,
};
