#include "core/config/warnings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/augment.h"
#include "core/format.h"
#include "core/optim/schedule.h"

enum { REMARK_BYTES = 512 };

void dt_warning(const dt_warnings *to, const char *format, ...) {
  char line[REMARK_BYTES];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  to->take(to->context, line);
}

static void warn_optimizer(const dt_spec *spec, const dt_warnings *to) {
  const dt_optimizer *optimizer = spec->optimizer.kind->impl;
  double largest[DT_HYPER_MAX];
  if (optimizer->warning == NULL) return;
  for (int i = 0; i < dt_hyper_count(spec->optimizer.kind); i++) largest[i] = dt_hyper_largest(spec, i);
  optimizer->warning(spec->optimizer.attr, largest, to);
}

/* A mean beyond 1 is an error. A deviation beyond 1 is no pixel's either, but a config may scale as it likes. */
static void warn_statistics_of(const char *where, const dt_reals *mean, const dt_reals *std, const dt_warnings *to) {
  for (int i = 0; i < mean->count; i++) {
    if (mean->value[i] < 0) {
      dt_warning(to, "%s.mean: %g is no mean of bytes: the unit is pixel / 255, from 0 to 1", where, mean->value[i]);
      break;
    }
  }
  for (int i = 0; i < std->count; i++) {
    if (std->value[i] > 1) {
      dt_warning(to,
                 "%s.std: %g is no deviation of bytes: the unit is pixel / 255, from 0 to 0.5; samples become nearly constant",
                 where, std->value[i]);
      break;
    }
  }
}

static void warn_statistics(const dt_spec *spec, const dt_warnings *to) {
  for (int i = 0; i < spec->model.inputs.count; i++) {
    const dt_input *input = dt_spec_input(spec, i);
    dt_fields all;
    const dt_field *field = dt_format_declared(&spec->data.train, dt_spec_input_field(spec, i), &all);
    char where[DT_NAMED_BYTES + 16];
    if (field == NULL || field->dtype != DT_U8 || field->limit == DT_DTYPE_GUESSED) continue;
    snprintf(where, sizeof where, "model.inputs.%s", spec->model.inputs.name[i]);
    warn_statistics_of(where, &input->mean, &input->std, to);
    if (spec->model.inputs.count == 1) warn_statistics_of("data", &spec->data.mean, &spec->data.std, to);
  }
}

static void warn_threads(const dt_spec *spec, double cores, const dt_warnings *to) {
  if (spec->threads > ceil(fmax(1, cores))) {
    dt_warning(to, "threads: %lld on %.3g core%s: more threads than cores wait for one another; auto takes the cores there are",
               (long long)spec->threads, cores, cores == 1 ? "" : "s");
  }
}

/* What is decided by evaluations, where there is none. */
static void warn_evaluation(const dt_spec *spec, const dt_warnings *to) {
  const struct {
    const char *name;
    bool given;
  } options[] = {{"train.early_stopping", spec->train.early_stopping.given},
                 {"checkpoint.best", spec->checkpoint.best[0] != '\0'},
                 {"target", spec->target.value != 0}};
  if (spec->data.eval.kind != NULL || spec->data.split.given) return;
  for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
    if (options[i].given)
      dt_warning(to, "%s has no effect: there is no evaluation set (data.eval, or a part of data.train by data.split)",
                 options[i].name);
  }
}

void dt_spec_warnings(const dt_spec *spec, double cores, const dt_warnings *to) {
  for (int i = 0; i < spec->replaced.count; i++) dt_warning(to, "%s", spec->replaced.value[i]);
  warn_optimizer(spec, to);
  warn_evaluation(spec, to);
  warn_statistics(spec, to);
  warn_threads(spec, cores, to);
}
