/* LAMB (You et al., "Large batch optimization for deep learning: training BERT in 76 minutes", 2020, algorithm 2), as
 * optax.lamb: Adam's direction, whose length in each tensor is brought to that of the tensor. Norms are of the whole tensor w
 * and of its direction u:
 *
 *   m = m + (1 - beta1) * (g - m)
 *   v = beta2 * v + (1 - beta2) * g * g
 *   u = m / (1 - beta1^t) / (sqrt(v) / sqrt(1 - beta2^t) + eps) + weight_decay * p
 *   p = p - lr * |w| / |u| * u
 *
 * |w| / |u| is 1 where a norm is 0. */
#ifndef DT_CORE_OPTIM_LAMB_H
#define DT_CORE_OPTIM_LAMB_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_LAMB_LR, DT_LAMB_BETA1, DT_LAMB_BETA2, DT_LAMB_WEIGHT_DECAY };

/* The options. Of the numbers but eps dt_step holds what counts. */
typedef struct dt_lamb_attr {
  double beta1, beta2, eps, weight_decay;
} dt_lamb_attr;

#endif

#ifdef RULE

typedef struct RULE(lamb_factors) {
  real take1, beta2, take2;    /* take = 1 - beta */
  real size, root, eps, decay; /* 1 / (1 - beta1^t), sqrt(1 - beta2^t) */
  real rate;                   /* lr * |w| / |u| */
} RULE(lamb_factors);

RULE_FUNCTION RULE(lamb_factors)
    RULE(lamb_prepare)(const dt_lamb_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  const double beta1 = step->hyper[DT_LAMB_BETA1], beta2 = step->hyper[DT_LAMB_BETA2];
  const double w = tensor != NULL ? sqrt(tensor[0]) : 0, u = tensor != NULL ? sqrt(tensor[1]) : 0;
  const double lr = step->hyper[DT_LAMB_LR] * at->lr_scale;
  RULE(lamb_factors) f;
  f.take1 = (real)(1 - beta1);
  f.beta2 = (real)beta2;
  f.take2 = (real)(1 - beta2);
  f.size = (real)(1 / (1 - dt_rule_power(beta1, step->number)));
  f.root = (real)sqrt(1 - dt_rule_power(beta2, step->number));
  f.eps = (real)attr->eps;
  f.decay = (real)(at->decay ? step->hyper[DT_LAMB_WEIGHT_DECAY] : 0);
  f.rate = (real)(w > 0 && u > 0 ? lr * (w / u) : lr);
  return f;
}

RULE_FUNCTION real RULE(lamb_direction)(const RULE(lamb_factors) * f, real p, real g, real *s) {
  s[0] = s[0] + f->take1 * (g - s[0]);
  s[1] = f->beta2 * s[1] + f->take2 * (g * g);
  return f->size * s[0] / (real_sqrt(s[1]) / f->root + f->eps) + f->decay * p;
}

RULE_FUNCTION real RULE(lamb_element)(const RULE(lamb_factors) * f, real p, real u, real *s) {
  return p - f->rate * u;
}

#endif
