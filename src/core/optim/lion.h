/* Lion (Chen et al., "Symbolic discovery of optimization algorithms", 2023, algorithm 2), as optax.lion:
 *
 *   p = p - lr * weight_decay * p
 *   p = p - lr * sign(beta1 * m + (1 - beta1) * g)
 *   m = beta2 * m + (1 - beta2) * g */
#ifndef DT_CORE_OPTIM_LION_H
#define DT_CORE_OPTIM_LION_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_LION_LR, DT_LION_BETA1, DT_LION_BETA2, DT_LION_WEIGHT_DECAY };

/* The options; dt_step holds what counts. */
typedef struct dt_lion_attr {
  double beta1, beta2, weight_decay;
} dt_lion_attr;

#endif

#ifdef RULE

typedef struct RULE(lion_factors) {
  real lr, keep, beta1, take1, beta2, take2; /* take = 1 - beta */
} RULE(lion_factors);

RULE_FUNCTION RULE(lion_factors)
    RULE(lion_prepare)(const dt_lion_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  const double lr = step->hyper[DT_LION_LR] * at->lr_scale;
  RULE(lion_factors) f;
  f.lr = (real)lr;
  f.keep = (real)(at->decay ? 1 - RULE_TIMES(lr, step->hyper[DT_LION_WEIGHT_DECAY]) : 1);
  f.beta1 = (real)step->hyper[DT_LION_BETA1];
  f.take1 = (real)(1 - step->hyper[DT_LION_BETA1]);
  f.beta2 = (real)step->hyper[DT_LION_BETA2];
  f.take2 = (real)(1 - step->hyper[DT_LION_BETA2]);
  return f;
}

RULE_FUNCTION real RULE(lion_element)(const RULE(lion_factors) * f, real p, real g, real *s) {
  const real way = f->beta1 * s[0] + f->take1 * g;
  s[0] = f->beta2 * s[0] + f->take2 * g;
  p = f->keep * p;
  if (0 < way) return p - f->lr;
  return way < 0 ? p + f->lr : p + way; /* a zero stays, and a NaN is not lost */
}

#endif
