/* Adagrad (Duchi, Hazan and Singer, "Adaptive subgradient methods for online learning and stochastic optimization", 2011, in
 * its diagonal form), as torch.optim.Adagrad without lr_decay, which a schedule of the learning rate is (`decay: inverse`):
 *
 *   g = gradient + weight_decay * p
 *   s = s + g * g
 *   p = p - lr * g / (sqrt(initial + s) + eps)
 *
 * s starts at zero: what PyTorch lays into it beforehand is added at the root. */
#ifndef DT_CORE_OPTIM_ADAGRAD_H
#define DT_CORE_OPTIM_ADAGRAD_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_ADAGRAD_LR, DT_ADAGRAD_WEIGHT_DECAY };

/* The options. Of weight_decay dt_step holds what counts. */
typedef struct dt_adagrad_attr {
  double initial, eps, weight_decay;
} dt_adagrad_attr;

#endif

#ifdef RULE

typedef struct RULE(adagrad_factors) {
  real lr, decay, initial, eps;
} RULE(adagrad_factors);

RULE_FUNCTION RULE(adagrad_factors)
    RULE(adagrad_prepare)(const dt_adagrad_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(adagrad_factors) f;
  f.lr = (real)(step->hyper[DT_ADAGRAD_LR] * at->lr_scale);
  f.decay = (real)(at->decay ? step->hyper[DT_ADAGRAD_WEIGHT_DECAY] : 0);
  f.initial = (real)attr->initial;
  f.eps = (real)attr->eps;
  return f;
}

RULE_FUNCTION real RULE(adagrad_element)(const RULE(adagrad_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  s[0] = s[0] + g * g;
  return p - f->lr * (g / (real_sqrt(f->initial + s[0]) + f->eps));
}

#endif
