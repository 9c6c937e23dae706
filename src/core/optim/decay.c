/* The decays: how a hyper-parameter falls after its warm-up. Each is a formula in t, the time since the end of the warm-up.
 *
 * Time is counted in what was written: an interval of steps in steps, one of epochs in samples, and the way to the end of the
 * training in steps where train.length is in steps, else in samples. one_cycle counts steps always, as PyTorch's is made of
 * them. */
#include <math.h>
#include <stddef.h>

#include "core/config/rows.h"
#include "core/optim/schedule.h"

/* step, exponential and inverse: what happens every so many samples. */
typedef struct interval_attr {
  dt_duration every;
  double factor, power;
} interval_attr;

typedef struct multistep_attr {
  dt_reals at;
  double factor;
} multistep_attr;

typedef struct polynomial_attr {
  double power;
} polynomial_attr;

typedef struct one_cycle_attr {
  double start, rise;
} one_cycle_attr;

typedef struct stable_attr {
  double fall;
  int shape;
} stable_attr;

enum { SHAPE_LINEAR, SHAPE_COSINE, SHAPE_SQRT };

/* From a to b as x goes from 0 to 1, along half a cosine. */
static double cosine_between(double a, double b, double x) {
  return b + (a - b) * 0.5 * (1.0 + cos(M_PI * x));
}

/* t in units of the interval; an interval below one sample counts as one. */
static double intervals(const interval_attr *a, const dt_moment *at) {
  if (a->every.unit == DT_STEPS) return (double)at->steps / ceil(a->every.amount);
  return (double)at->samples / fmax(1.0, (double)dt_duration_samples(a->every, at->clock));
}

/* The part of the way to the end that lies behind. */
static double progress(const dt_moment *at) {
  if (at->clock->by_steps) return (double)at->steps / (double)at->span_steps;
  return (double)at->samples / (double)at->span_samples;
}

static double constant_value(const void *attr, const dt_moment *at, double peak, double final) {
  return peak;
}

static double step_value(const void *attr, const dt_moment *at, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(a->factor, floor(intervals(a, at)));
}

static double multistep_value(const void *attr, const dt_moment *at, double peak, double final) {
  const multistep_attr *a = attr;
  int64_t samples = at->clock->total_samples - at->span_samples + at->samples;
  double value = peak;
  for (int i = 0; i < a->at.count; i++) {
    dt_duration milestone = {a->at.value[i], DT_EPOCHS};
    if (samples >= dt_duration_samples(milestone, at->clock)) value *= a->factor;
  }
  return value;
}

static double exponential_value(const void *attr, const dt_moment *at, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(a->factor, intervals(a, at));
}

static double inverse_value(const void *attr, const dt_moment *at, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(1.0 + a->factor * intervals(a, at), -a->power);
}

static double polynomial_value(const void *attr, const dt_moment *at, double peak, double final) {
  const polynomial_attr *a = attr;
  return final + (peak - final) * pow(1.0 - progress(at), a->power);
}

static double linear_value(const void *attr, const dt_moment *at, double peak, double final) {
  return final + (peak - final) * (1.0 - progress(at));
}

static double cosine_value(const void *attr, const dt_moment *at, double peak, double final) {
  return cosine_between(peak, final, progress(at));
}

/* PyTorch's phases end at step rise * span - 1, which need not be whole, and at the last step, which gets the final value. */
static double one_cycle_value(const void *attr, const dt_moment *at, double peak, double final) {
  const one_cycle_attr *a = attr;
  double step = (double)at->steps, top = a->rise * (double)at->span_steps - 1.0, last = (double)(at->span_steps - 1);
  if (step <= top) return top > 0.0 ? cosine_between(a->start * peak, peak, step / top) : peak;
  return cosine_between(peak, final, fmin(1.0, (step - top) / (last - top)));
}

static double stable_value(const void *attr, const dt_moment *at, double peak, double final) {
  const stable_attr *a = attr;
  double x = (progress(at) - (1.0 - a->fall)) / a->fall;
  if (x <= 0.0) return peak;
  if (a->shape == SHAPE_COSINE) return cosine_between(peak, final, x);
  return final + (peak - final) * (1.0 - (a->shape == SHAPE_SQRT ? sqrt(x) : x));
}

static dt_status check_multistep(const void *attr) {
  const dt_reals *at = &((const multistep_attr *)attr)->at;
  for (int i = 1; i < at->count; i++)
    DT_REQUIRE(at->value[i] > at->value[i - 1], DT_USAGE, "found %g after %g in \"at\", expected rising epochs", at->value[i],
               at->value[i - 1]);
  return DT_OK;
}

static const char *const counted_units[] = {"samples", "steps", "epochs", NULL};
static const char *const shape_names[] = {[SHAPE_LINEAR] = "linear", [SHAPE_COSINE] = "cosine", [SHAPE_SQRT] = "sqrt", NULL};

#define EVERY_ROW(text)                                                                                               \
  {                                                                                                                   \
    .name = "every", .type = DT_OPT_DURATION, .default_text = "1 epoch", .min = 0, .max = INFINITY, .open_min = true, \
    .choices = counted_units, .offset = offsetof(interval_attr, every), .doc = text                                   \
  }

static const dt_option step_options[] = {
    EVERY_ROW("Length of one stair."),
    DT_ROW_REAL("factor", offsetof(interval_attr, factor), "0.1", 0, 1, "What each stair multiplies by.", .open_min = true),
    {0},
};

static const dt_option multistep_options[] = {
    DT_ROW_REALS("at", offsetof(multistep_attr, at), NULL, 0, INFINITY,
                 "Epochs of training, warm-up included, at which the value falls; rising.", .unit = "epochs", .open_min = true),
    DT_ROW_REAL("factor", offsetof(multistep_attr, factor), "0.1", 0, 1, "What each milestone multiplies by.",
                .open_min = true),
    {0},
};

static const dt_option exponential_options[] = {
    EVERY_ROW("Interval over which the value is multiplied by factor."),
    DT_ROW_REAL("factor", offsetof(interval_attr, factor), NULL, 0, 1, "What one interval multiplies by.", .open_min = true),
    {0},
};

static const dt_option inverse_options[] = {
    EVERY_ROW("The unit of t."),
    DT_ROW_REAL("rate", offsetof(interval_attr, factor), NULL, 0, INFINITY, "The rate in the formula."),
    DT_ROW_REAL("power", offsetof(interval_attr, power), "1", 0, 100, "The power in the formula."),
    {0},
};

static const dt_option polynomial_options[] = {
    DT_ROW_REAL("power", offsetof(polynomial_attr, power), "2", 0, 100, "The power in the formula; 1 is linear.",
                .open_min = true),
    {0},
};

static const dt_option one_cycle_options[] = {
    DT_ROW_REAL("start", offsetof(one_cycle_attr, start), "0.04", 0, 1, "Value at the beginning, as a fraction of peak."),
    DT_ROW_REAL("rise", offsetof(one_cycle_attr, rise), "0.3", 0, 1, "Fraction of the span in which the value rises.",
                .open_min = true, .open_max = true),
    {0},
};

static const dt_option stable_options[] = {
    DT_ROW_REAL("fall", offsetof(stable_attr, fall), "0.2", 0, 1,
                "Fraction of the span, at its end, in which the value falls to final.", .open_min = true),
    DT_ROW_ENUM("shape", offsetof(stable_attr, shape), "linear", shape_names, "How it falls."),
    {0},
};

#define DECAY(id) static const dt_decay id##_decay = {.value = id##_value}
DECAY(constant);
DECAY(step);
DECAY(multistep);
DECAY(exponential);
DECAY(inverse);
DECAY(polynomial);
DECAY(linear);
DECAY(cosine);
DECAY(one_cycle);
DECAY(stable);

static const dt_kind constant_kind = {.name = "constant", .doc = "peak.", .impl = &constant_decay};
static const dt_kind step_kind = {
    .name = "step",
    .doc = "Stairs: peak * factor^floor(t / every), as torch StepLR.",
    .options = step_options,
    .attr_bytes = sizeof(interval_attr),
    .positional = "every",
    .impl = &step_decay,
};
static const dt_kind multistep_kind = {
    .name = "multistep",
    .doc = "peak * factor^(milestones passed), as torch MultiStepLR.",
    .options = multistep_options,
    .attr_bytes = sizeof(multistep_attr),
    .positional = "at",
    .impl = &multistep_decay,
    .check = check_multistep,
};
static const dt_kind exponential_kind = {
    .name = "exponential",
    .doc = "peak * factor^(t / every), as torch ExponentialLR at whole intervals.",
    .options = exponential_options,
    .attr_bytes = sizeof(interval_attr),
    .positional = "factor",
    .impl = &exponential_decay,
};
static const dt_kind inverse_kind = {
    .name = "inverse",
    .doc = "peak * (1 + rate * t / every)^-power, as Caffe's inv.",
    .options = inverse_options,
    .attr_bytes = sizeof(interval_attr),
    .positional = "rate",
    .impl = &inverse_decay,
};
static const dt_kind polynomial_kind = {
    .name = "polynomial",
    .doc = "final + (peak - final) * (1 - t / span)^power, as torch PolynomialLR.",
    .options = polynomial_options,
    .attr_bytes = sizeof(polynomial_attr),
    .positional = "power",
    .impl = &polynomial_decay,
};
static const dt_kind linear_kind = {
    .name = "linear", .doc = "final + (peak - final) * (1 - t / span), as torch LinearLR.", .impl = &linear_decay};
static const dt_kind cosine_kind = {
    .name = "cosine",
    .doc =
        "final + (peak - final) * (1 + cos(pi * t / span)) / 2, as torch CosineAnnealingLR (Loshchilov and Hutter, SGDR, "
        "2017).",
    .impl = &cosine_decay,
};
static const dt_kind one_cycle_kind = {
    .name = "one_cycle",
    .doc =
        "Half a cosine up from start * peak to peak at step rise * span - 1, then half a cosine down to final at the last "
        "step, "
        "as torch OneCycleLR without three_phase; t and span count steps (Smith and Topin, Super-Convergence, 2018).",
    .options = one_cycle_options,
    .attr_bytes = sizeof(one_cycle_attr),
    .impl = &one_cycle_decay,
};
static const dt_kind stable_kind = {
    .name = "warmup_stable_decay",
    .doc =
        "peak, then a fall to final over the last part: final + (peak - final) * f(x), x from 0 to 1, with f = 1 - x, "
        "(1 + cos(pi * x)) / 2 or 1 - sqrt(x) (Hu et al., MiniCPM, 2024).",
    .options = stable_options,
    .attr_bytes = sizeof(stable_attr),
    .positional = "fall",
    .impl = &stable_decay,
};

/* clang-format off */
const dt_kind *const dt_decay_kinds[] = {
    &constant_kind,
    &step_kind,
    &multistep_kind,
    &exponential_kind,
    &inverse_kind,
    &polynomial_kind,
    &linear_kind,
    &cosine_kind,
    &one_cycle_kind,
    &stable_kind,
    NULL,
};
/* clang-format on */
