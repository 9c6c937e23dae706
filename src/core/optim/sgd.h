/* Stochastic gradient descent with momentum, in PyTorch's form (torch.optim.SGD, dampening 0):
 *
 *   g = gradient + weight_decay * p
 *   v = momentum * v + g
 *   p = p - lr * (nesterov ? g + momentum * v : v)
 *
 * v starts at zero, so the first step takes v = g as PyTorch does. */
#ifndef DT_CORE_OPTIM_SGD_H
#define DT_CORE_OPTIM_SGD_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_SGD_LR, DT_SGD_MOMENTUM, DT_SGD_WEIGHT_DECAY };

/* The options. Of the numbers dt_step holds what counts. */
typedef struct dt_sgd_attr {
  double momentum, weight_decay;
  bool nesterov;
} dt_sgd_attr;

#endif

#ifdef RULE

typedef struct RULE(sgd_factors) {
  real lr, momentum, decay;
  bool nesterov;
} RULE(sgd_factors);

RULE_FUNCTION RULE(sgd_factors)
    RULE(sgd_prepare)(const dt_sgd_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(sgd_factors) f;
  f.lr = (real)(step->hyper[DT_SGD_LR] * at->lr_scale);
  f.momentum = (real)step->hyper[DT_SGD_MOMENTUM];
  f.decay = (real)(at->decay ? step->hyper[DT_SGD_WEIGHT_DECAY] : 0);
  f.nesterov = attr->nesterov;
  return f;
}

RULE_FUNCTION real RULE(sgd_element)(const RULE(sgd_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  s[0] = f->momentum * s[0] + g;
  return p - f->lr * (f->nesterov ? g + f->momentum * s[0] : s[0]);
}

#endif
