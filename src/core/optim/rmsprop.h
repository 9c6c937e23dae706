/* RMSprop (Tieleman and Hinton, "Lecture 6.5", 2012; centred: Graves, "Generating sequences with recurrent neural networks",
 * 2013), as torch.optim.RMSprop:
 *
 *   g = gradient + weight_decay * p
 *   v = alpha * v + (1 - alpha) * g * g
 *   m = m + (1 - alpha) * (g - m)                (centred)
 *   b = momentum * b + g / (sqrt(v) + eps)       (centred: sqrt(v - m * m))
 *   p = p - lr * b
 *
 * Rounding can take v - m * m below zero where gradients hardly change; it is then taken for zero, where PyTorch has a NaN. */
#ifndef DT_CORE_OPTIM_RMSPROP_H
#define DT_CORE_OPTIM_RMSPROP_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_RMSPROP_LR, DT_RMSPROP_ALPHA, DT_RMSPROP_MOMENTUM, DT_RMSPROP_WEIGHT_DECAY };

/* The options. Of alpha, momentum and weight_decay dt_step holds what counts. */
typedef struct dt_rmsprop_attr {
  double alpha, momentum, eps, weight_decay;
  bool centered;
} dt_rmsprop_attr;

#endif

#ifdef RULE

typedef struct RULE(rmsprop_factors) {
  real lr, alpha, take, momentum, eps, decay; /* take = 1 - alpha */
  bool centered;
} RULE(rmsprop_factors);

RULE_FUNCTION RULE(rmsprop_factors)
    RULE(rmsprop_prepare)(const dt_rmsprop_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(rmsprop_factors) f;
  f.lr = (real)(step->hyper[DT_RMSPROP_LR] * at->lr_scale);
  f.alpha = (real)step->hyper[DT_RMSPROP_ALPHA];
  f.take = (real)(1 - step->hyper[DT_RMSPROP_ALPHA]);
  f.momentum = (real)step->hyper[DT_RMSPROP_MOMENTUM];
  f.eps = (real)attr->eps;
  f.decay = (real)(at->decay ? step->hyper[DT_RMSPROP_WEIGHT_DECAY] : 0);
  f.centered = attr->centered;
  return f;
}

RULE_FUNCTION real RULE(rmsprop_element)(const RULE(rmsprop_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  s[0] = f->alpha * s[0] + f->take * (g * g);
  real square = s[0];
  if (f->centered) {
    s[2] = s[2] + f->take * (g - s[2]);
    square = square - s[2] * s[2];
    if (square < 0) square = 0;
  }
  s[1] = f->momentum * s[1] + g / (real_sqrt(square) + f->eps);
  return p - f->lr * s[1];
}

#endif
