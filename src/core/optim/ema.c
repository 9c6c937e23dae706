/* The exponential moving average of the weights (Polyak and Juditsky, "Acceleration of stochastic approximation by averaging",
 * 1992, with a fading memory). Up to the first step behind `start` it is the weights themselves, as in
 * torch.optim.swa_utils.AveragedModel with get_ema_avg_fn. */
#include <math.h>
#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/average.h"

typedef struct ema_attr {
  double decay;
  dt_duration start;
  bool warmup;
} ema_attr;

static const char *const counted_units[] = {"samples", "steps", "epochs", NULL};

static double weight(const void *attr, const dt_average_step *at) {
  const ema_attr *ema = attr;
  const double taken = (double)(at->number - 1 - dt_clock_steps(at->clock, dt_duration_samples(ema->start, at->clock)));
  if (taken <= 0) return 1;
  return 1 - (ema->warmup ? fmin(ema->decay, (1 + taken) / (10 + taken)) : ema->decay);
}

static const dt_average ema = {.weight = weight};

static const dt_option options[] = {
    DT_ROW_REAL("decay", offsetof(ema_attr, decay), "0.999", 0, 1, "Share of the average that a step leaves.",
                .open_max = true),
    DT_ROW_DURATION("start", offsetof(ema_attr, start), "0 samples", counted_units,
                    "The average begins at the weights that the first step behind this leaves.", .min = 0, .max = INFINITY),
    DT_ROW_BOOL("warmup", offsetof(ema_attr, warmup), "false",
                "Whether the n-th step after the first leaves at most (1 + n) / (10 + n) of the average, so that the beginning "
                "is forgotten sooner."),
    {0},
};

const dt_kind dt_average_ema = {
    .name = "ema",
    .doc =
        "Exponential moving average: after each step a = a + (1 - decay) * (p - a). The same as "
        "torch.optim.swa_utils.AveragedModel with get_ema_avg_fn.",
    .options = options,
    .attr_bytes = sizeof(ema_attr),
    .positional = "decay",
    .impl = &ema,
};
