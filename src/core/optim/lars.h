/* Layer-wise adaptive rates (You, Gitman and Ginsburg, "Large batch training of convolutional networks", 2017, algorithm 1):
 * the step of a tensor is in proportion to its norm. Norms are of the whole tensor w and of its mean gradient g:
 *
 *   ratio = trust * |w| / (|g| + weight_decay * |w|)
 *   v = momentum * v + lr * ratio * (g + weight_decay * p)
 *   p = p - v
 *
 * ratio is 1 where a norm is 0. */
#ifndef DT_CORE_OPTIM_LARS_H
#define DT_CORE_OPTIM_LARS_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_LARS_LR, DT_LARS_MOMENTUM, DT_LARS_WEIGHT_DECAY };

/* The options. Of the numbers but trust dt_step holds what counts. */
typedef struct dt_lars_attr {
  double momentum, weight_decay, trust;
} dt_lars_attr;

#endif

#ifdef RULE

typedef struct RULE(lars_factors) {
  real rate, momentum, decay;
} RULE(lars_factors);

RULE_FUNCTION RULE(lars_factors)
    RULE(lars_prepare)(const dt_lars_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  const double decay = at->decay ? step->hyper[DT_LARS_WEIGHT_DECAY] : 0;
  const double w = sqrt(tensor[0]), g = RULE_TIMES(sqrt(tensor[1]), step->scale);
  double rate = RULE_TIMES(step->hyper[DT_LARS_LR], at->lr_scale);
  if (w > 0 && g > 0) rate = RULE_TIMES(rate, RULE_TIMES(attr->trust, w) / (g + RULE_TIMES(decay, w)));
  RULE(lars_factors) f;
  f.rate = (real)rate;
  f.momentum = (real)step->hyper[DT_LARS_MOMENTUM];
  f.decay = (real)decay;
  return f;
}

RULE_FUNCTION real RULE(lars_element)(const RULE(lars_factors) * f, real p, real g, real *s) {
  s[0] = f->momentum * s[0] + f->rate * (g + f->decay * p);
  return p - s[0];
}

#endif
