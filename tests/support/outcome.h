/* What a device makes of a net: the gradients of one step and what it leaves, and how two devices' outcomes are compared. */
#ifndef DT_TESTS_SUPPORT_OUTCOME_H
#define DT_TESTS_SUPPORT_OUTCOME_H

#include "support/cases.h"
#include "support/net.h"

/* One device's results: gradients of the first step, everything else after it. */
typedef struct outcome {
  net net;
  int64_t params, trained, states, logits; /* counts; of params, those with a gradient come first */
  double *grad, *param, *state, *logit;
  net_sums sums;
  int64_t *score; /* of an evaluation, [net.eval->score_words] */
} outcome;

/* A case's options without a device. */
net_options outcome_options(const net_case *row);
void outcome_run(const net_case *row, const net_options *options, outcome *o);
void outcome_free(outcome *o);

typedef struct comparison {
  double tolerance; /* relative distance in the 2-norm, a tensor */
  bool counts;      /* answers and losses of an evaluation must agree too */
  double worst;     /* found */
} comparison;

/* Fails the test where a tensor is farther than the tolerance. */
void outcome_compare(const outcome *got, const outcome *expected, comparison *c);

/* How numbers lie to those expected, as a whole: roundings of narrow types leave both near 1, a wrong factor does not. */
typedef struct outcome_fit {
  double factor, cosine; /* <got, expected> / <expected, expected>, and the cosine of the angle between the two */
} outcome_fit;

typedef struct outcome_fits {
  outcome_fit gradient, rest; /* all tensors; all but the one with the largest norm, beside which the others count little */
  outcome_fit weight;         /* the worst of those that outcome_fit_weight measures */
  const char *weight_name;
  outcome_fit logits;
} outcome_fits;

outcome_fits outcome_fit_all(const outcome *got, const outcome *expected);
/* Fits one tensor's gradient; whether it is one whose own fit counts. */
bool outcome_fit_weight(const outcome *got, const outcome *expected, int tensor, outcome_fit *out);
/* Whether roundings explain them. */
bool outcome_fits_are_near(const outcome_fits *fits);
void outcome_require_same_bits(const char *what, const outcome *a, const outcome *b);

#endif
