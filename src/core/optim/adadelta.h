/* Adadelta (Zeiler, "ADADELTA: an adaptive learning rate method", 2012, algorithm 1), as torch.optim.Adadelta:
 *
 *   g = gradient + weight_decay * p
 *   v = rho * v + (1 - rho) * g * g
 *   d = sqrt(u + eps) / sqrt(v + eps) * g
 *   u = rho * u + (1 - rho) * d * d
 *   p = p - lr * d */
#ifndef DT_CORE_OPTIM_ADADELTA_H
#define DT_CORE_OPTIM_ADADELTA_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_ADADELTA_LR, DT_ADADELTA_RHO, DT_ADADELTA_WEIGHT_DECAY };

/* The options. Of the numbers but eps dt_step holds what counts. */
typedef struct dt_adadelta_attr {
  double rho, eps, weight_decay;
} dt_adadelta_attr;

#endif

#ifdef RULE

typedef struct RULE(adadelta_factors) {
  real lr, rho, take, eps, decay; /* take = 1 - rho */
} RULE(adadelta_factors);

RULE_FUNCTION RULE(adadelta_factors)
    RULE(adadelta_prepare)(const dt_adadelta_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(adadelta_factors) f;
  f.lr = (real)(step->hyper[DT_ADADELTA_LR] * at->lr_scale);
  f.rho = (real)step->hyper[DT_ADADELTA_RHO];
  f.take = (real)(1 - step->hyper[DT_ADADELTA_RHO]);
  f.eps = (real)attr->eps;
  f.decay = (real)(at->decay ? step->hyper[DT_ADADELTA_WEIGHT_DECAY] : 0);
  return f;
}

RULE_FUNCTION real RULE(adadelta_element)(const RULE(adadelta_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  s[0] = f->rho * s[0] + f->take * (g * g);
  const real d = real_sqrt(s[1] + f->eps) / real_sqrt(s[0] + f->eps) * g;
  s[1] = f->rho * s[1] + f->take * (d * d);
  return p - f->lr * d;
}

#endif
