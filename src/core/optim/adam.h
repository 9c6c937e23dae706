/* Adam (Kingma and Ba, "Adam: a method for stochastic optimization", 2015, algorithm 1) and AdamW (Loshchilov and Hutter,
 * "Decoupled weight decay regularization", 2019, algorithm 2), in PyTorch's form (torch.optim.Adam, torch.optim.AdamW). t is
 * the number of the step, from 1:
 *
 *   g = gradient + weight_decay * p              (Adam)
 *   p = p - lr * weight_decay * p                (AdamW)
 *   m = m + (1 - beta1) * (g - m)
 *   v = beta2 * v + (1 - beta2) * g * g
 *   p = p - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
 *
 * AMSGrad (Reddi, Kale and Kumar, "On the convergence of Adam and beyond", 2018), as both of PyTorch's with amsgrad=True,
 * divides by the root of the largest v so far. */
#ifndef DT_CORE_OPTIM_ADAM_H
#define DT_CORE_OPTIM_ADAM_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_ADAM_LR, DT_ADAM_BETA1, DT_ADAM_BETA2, DT_ADAM_WEIGHT_DECAY };

/* The options of both. Of the numbers but eps dt_step holds what counts. */
typedef struct dt_adam_attr {
  double beta1, beta2, eps, weight_decay;
} dt_adam_attr;
typedef dt_adam_attr dt_adamw_attr;
typedef struct dt_amsgrad_attr {
  dt_adam_attr adam;
  bool decoupled; /* weight decay as AdamW's */
} dt_amsgrad_attr;

#endif

#ifdef RULE

typedef struct RULE(adam_factors) {
  real keep, decay;         /* p = keep * p; g = g + decay * p */
  real take1, beta2, take2; /* take = 1 - beta */
  real size, root, eps;     /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
} RULE(adam_factors);
typedef RULE(adam_factors) RULE(adamw_factors);
typedef RULE(adam_factors) RULE(amsgrad_factors);

RULE_FUNCTION RULE(adam_factors) RULE(adam_make)(const dt_adam_attr *attr, const dt_step *step, const dt_segment *at) {
  const double beta1 = step->hyper[DT_ADAM_BETA1], beta2 = step->hyper[DT_ADAM_BETA2];
  const double lr = step->hyper[DT_ADAM_LR] * at->lr_scale;
  RULE(adam_factors) f;
  f.keep = 1;
  f.decay = 0;
  f.take1 = (real)(1 - beta1);
  f.beta2 = (real)beta2;
  f.take2 = (real)(1 - beta2);
  f.size = (real)(lr / (1 - dt_rule_power(beta1, step->number)));
  f.root = (real)sqrt(1 - dt_rule_power(beta2, step->number));
  f.eps = (real)attr->eps;
  return f;
}

RULE_FUNCTION RULE(adam_factors)
    RULE(adam_prepare)(const dt_adam_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(adam_factors) f = RULE(adam_make)(attr, step, at);
  f.decay = (real)(at->decay ? step->hyper[DT_ADAM_WEIGHT_DECAY] : 0);
  return f;
}

RULE_FUNCTION RULE(adamw_factors)
    RULE(adamw_prepare)(const dt_adamw_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  RULE(adamw_factors) f = RULE(adam_make)(attr, step, at);
  const double lr = step->hyper[DT_ADAM_LR] * at->lr_scale;
  f.keep = (real)(at->decay ? 1 - RULE_TIMES(lr, step->hyper[DT_ADAM_WEIGHT_DECAY]) : 1);
  return f;
}

RULE_FUNCTION RULE(amsgrad_factors)
    RULE(amsgrad_prepare)(const dt_amsgrad_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  return attr->decoupled ? RULE(adamw_prepare)(&attr->adam, step, at, tensor)
                         : RULE(adam_prepare)(&attr->adam, step, at, tensor);
}

RULE_FUNCTION real RULE(adam_element)(const RULE(adam_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  p = f->keep * p;
  s[0] = s[0] + f->take1 * (g - s[0]);
  s[1] = f->beta2 * s[1] + f->take2 * (g * g);
  return p - f->size * (s[0] / (real_sqrt(s[1]) / f->root + f->eps));
}

RULE_FUNCTION real RULE(adamw_element)(const RULE(adamw_factors) * f, real p, real g, real *s) {
  return RULE(adam_element)(f, p, g, s);
}

RULE_FUNCTION real RULE(amsgrad_element)(const RULE(amsgrad_factors) * f, real p, real g, real *s) {
  g = g + f->decay * p;
  p = f->keep * p;
  s[0] = s[0] + f->take1 * (g - s[0]);
  s[1] = f->beta2 * s[1] + f->take2 * (g * g);
  if (s[2] < s[1]) s[2] = s[1];
  return p - f->size * (s[0] / (real_sqrt(s[2]) / f->root + f->eps));
}

#endif
