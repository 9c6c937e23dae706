/* Nesterov's accelerated gradient as the literature has it (Nesterov, "A method of solving a convex programming problem with
 * convergence rate O(1/k^2)", 1983; Sutskever et al., "On the importance of initialization and momentum in deep learning",
 * 2013, equations 3 and 4): the gradient is taken at the point ahead, p, and not at the weights w.
 *
 *   v = momentum * v + lr * (gradient at p + weight_decay * p)
 *   w = w - v
 *   p = w - momentum * v
 *
 * sgd's nesterov is PyTorch's form, whose parameters are the point ahead and whose velocity leaves lr out: with a constant
 * learning rate and momentum its p is this p, and evaluations see it instead of w. */
#ifndef DT_CORE_OPTIM_NESTEROV_H
#define DT_CORE_OPTIM_NESTEROV_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_NESTEROV_LR, DT_NESTEROV_MOMENTUM, DT_NESTEROV_WEIGHT_DECAY };

/* Slots. */
enum { DT_NESTEROV_VELOCITY, DT_NESTEROV_WEIGHTS };

/* The options; dt_step holds what counts. */
typedef struct dt_nesterov_attr {
  double momentum, weight_decay;
} dt_nesterov_attr;

#endif

#ifdef RULE

typedef struct RULE(nesterov_factors) {
  real lr, momentum, decay;
} RULE(nesterov_factors);

RULE_FUNCTION RULE(nesterov_factors)
    RULE(nesterov_prepare)(const dt_nesterov_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(nesterov_factors) f;
  f.lr = (real)(step->hyper[DT_NESTEROV_LR] * at->lr_scale);
  f.momentum = (real)step->hyper[DT_NESTEROV_MOMENTUM];
  f.decay = (real)(at->decay ? step->hyper[DT_NESTEROV_WEIGHT_DECAY] : 0);
  return f;
}

RULE_FUNCTION real RULE(nesterov_element)(const RULE(nesterov_factors) * f, real p, real g, real *s) {
  const real v = f->momentum * s[DT_NESTEROV_VELOCITY] + f->lr * (g + f->decay * p);
  s[DT_NESTEROV_VELOCITY] = v;
  s[DT_NESTEROV_WEIGHTS] = s[DT_NESTEROV_WEIGHTS] - v;
  return s[DT_NESTEROV_WEIGHTS] - f->momentum * v;
}

#endif
