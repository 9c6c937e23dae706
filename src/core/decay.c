/* The decays: how a hyper-parameter falls after its warm-up. Each is a formula in t, the samples since the end of the warm-up.
 */
#include <math.h>
#include <stddef.h>

#include "core/schedule.h"

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
static double intervals(const interval_attr *a, const dt_clock *clock, double t) {
  return t / fmax(1.0, (double)dt_duration_samples(a->every, clock));
}

static double constant_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  return peak;
}

static double step_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(a->factor, floor(intervals(a, clock, t)));
}

static double multistep_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const multistep_attr *a = attr;
  double samples = (double)clock->total_samples - span + t, value = peak;
  for (int i = 0; i < a->at.count; i++) {
    dt_duration milestone = {a->at.value[i], DT_EPOCHS};
    if (samples >= (double)dt_duration_samples(milestone, clock)) value *= a->factor;
  }
  return value;
}

static double exponential_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(a->factor, intervals(a, clock, t));
}

static double inverse_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const interval_attr *a = attr;
  return peak * pow(1.0 + a->factor * intervals(a, clock, t), -a->power);
}

static double polynomial_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const polynomial_attr *a = attr;
  return final + (peak - final) * pow(1.0 - t / span, a->power);
}

static double linear_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  return final + (peak - final) * (1.0 - t / span);
}

static double cosine_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  return cosine_between(peak, final, t / span);
}

static double one_cycle_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const one_cycle_attr *a = attr;
  double x = t / span;
  if (x < a->rise) return cosine_between(a->start * peak, peak, x / a->rise);
  return cosine_between(peak, final, (x - a->rise) / (1.0 - a->rise));
}

static double stable_value(const void *attr, const dt_clock *clock, double t, double span, double peak, double final) {
  const stable_attr *a = attr;
  double x = (t / span - (1.0 - a->fall)) / a->fall;
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

#define EVERY_ROW(text)                                                                                           \
  {                                                                                                               \
    .name = "every", .type = DT_OPT_DURATION, .fallback = "1 epoch", .min = 0, .max = INFINITY, .open_min = true, \
    .choices = counted_units, .offset = offsetof(interval_attr, every), .doc = text                               \
  }

static const dt_option step_options[] = {
    EVERY_ROW("Length of one stair."),
    {.name = "factor",
     .type = DT_OPT_REAL,
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(interval_attr, factor),
     .doc = "What each stair multiplies by."},
    {0},
};

static const dt_option multistep_options[] = {
    {.name = "at",
     .type = DT_OPT_REALS,
     .unit = "epochs",
     .min = 0,
     .max = INFINITY,
     .open_min = true,
     .offset = offsetof(multistep_attr, at),
     .doc = "Epochs of training, warm-up included, at which the value falls; rising."},
    {.name = "factor",
     .type = DT_OPT_REAL,
     .fallback = "0.1",
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(multistep_attr, factor),
     .doc = "What each milestone multiplies by."},
    {0},
};

static const dt_option exponential_options[] = {
    EVERY_ROW("Interval over which the value is multiplied by factor."),
    {.name = "factor",
     .type = DT_OPT_REAL,
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(interval_attr, factor),
     .doc = "What one interval multiplies by."},
    {0},
};

static const dt_option inverse_options[] = {
    EVERY_ROW("The unit of t."),
    {.name = "rate",
     .type = DT_OPT_REAL,
     .min = 0,
     .max = INFINITY,
     .offset = offsetof(interval_attr, factor),
     .doc = "The rate in the formula."},
    {.name = "power",
     .type = DT_OPT_REAL,
     .fallback = "1",
     .min = 0,
     .max = 100,
     .offset = offsetof(interval_attr, power),
     .doc = "The power in the formula."},
    {0},
};

static const dt_option polynomial_options[] = {
    {.name = "power",
     .type = DT_OPT_REAL,
     .fallback = "2",
     .min = 0,
     .max = 100,
     .open_min = true,
     .offset = offsetof(polynomial_attr, power),
     .doc = "The power in the formula; 1 is linear."},
    {0},
};

static const dt_option one_cycle_options[] = {
    {.name = "start",
     .type = DT_OPT_REAL,
     .fallback = "0.04",
     .min = 0,
     .max = 1,
     .offset = offsetof(one_cycle_attr, start),
     .doc = "Value at the beginning, as a fraction of peak."},
    {.name = "rise",
     .type = DT_OPT_REAL,
     .fallback = "0.3",
     .min = 0,
     .max = 1,
     .open_min = true,
     .open_max = true,
     .offset = offsetof(one_cycle_attr, rise),
     .doc = "Fraction of the span in which the value rises."},
    {0},
};

static const dt_option stable_options[] = {
    {.name = "fall",
     .type = DT_OPT_REAL,
     .fallback = "0.2",
     .min = 0,
     .max = 1,
     .open_min = true,
     .offset = offsetof(stable_attr, fall),
     .doc = "Fraction of the span, at its end, in which the value falls to final."},
    {.name = "shape",
     .type = DT_OPT_ENUM,
     .fallback = "linear",
     .choices = shape_names,
     .offset = offsetof(stable_attr, shape),
     .doc = "How it falls."},
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
        "Half a cosine up from start * peak to peak, then half a cosine down to final, as torch OneCycleLR (Smith and Topin, "
        "Super-Convergence, 2018).",
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

const dt_kind *const dt_decay_kinds[] = {
    &constant_kind, &step_kind,   &multistep_kind, &exponential_kind, &inverse_kind, &polynomial_kind,
    &linear_kind,   &cosine_kind, &one_cycle_kind, &stable_kind,      NULL,
};
