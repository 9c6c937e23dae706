/* Schedule-free SGD and AdamW (Defazio et al., "The road less scheduled", 2024, equations 2 to 4 and algorithm 1): gradients
 * are taken at p, between the point z that steps move and the mean x of its ways, which are the weights.
 *
 *   u = gradient at p + weight_decay * p                                    (SGD)
 *   v = beta2 * v + (1 - beta2) * g * g
 *   u = g / (sqrt(v) / sqrt(1 - beta2^t) + eps) + weight_decay * p          (AdamW)
 *   z = z - lr * u
 *   c = lr^2 / sum of lr^2 over all steps
 *   x = x + c * (z - x)
 *   p = z + beta * (x - z)
 *
 * As in the package schedulefree of the authors, whose lr in c is the largest so far: the same while it does not fall. */
#ifndef DT_CORE_OPTIM_SCHEDULE_FREE_H
#define DT_CORE_OPTIM_SCHEDULE_FREE_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_SF_SGD_LR, DT_SF_SGD_MOMENTUM, DT_SF_SGD_WEIGHT_DECAY };
enum { DT_SF_ADAMW_LR, DT_SF_ADAMW_BETA1, DT_SF_ADAMW_BETA2, DT_SF_ADAMW_WEIGHT_DECAY };

/* Slots. */
enum { DT_SF_Z, DT_SF_X, DT_SF_WEIGHT_SUM, DT_SF_SQUARES };

/* The options. Of the numbers but eps dt_step holds what counts. */
typedef struct dt_schedule_free_sgd_attr {
  double momentum, weight_decay;
} dt_schedule_free_sgd_attr;
typedef struct dt_schedule_free_adamw_attr {
  double beta1, beta2, eps, weight_decay;
} dt_schedule_free_adamw_attr;

#endif

#ifdef RULE

typedef struct RULE(schedule_free_factors) {
  real lr, weight, beta, decay; /* weight = lr^2 */
  real beta2, take2, root, eps; /* take2 = 1 - beta2, root = sqrt(1 - beta2^t) */
} RULE(schedule_free_factors);
typedef RULE(schedule_free_factors) RULE(schedule_free_sgd_factors);
typedef RULE(schedule_free_factors) RULE(schedule_free_adamw_factors);

RULE_FUNCTION RULE(schedule_free_factors) RULE(schedule_free_make)(double lr, double beta, double decay) {
  RULE(schedule_free_factors) f;
  f.lr = (real)lr;
  f.weight = (real)(lr * lr);
  f.beta = (real)beta;
  f.decay = (real)decay;
  f.beta2 = f.take2 = f.root = f.eps = (real)0.0;
  return f;
}

RULE_FUNCTION RULE(schedule_free_sgd_factors)
    RULE(schedule_free_sgd_prepare)(const dt_schedule_free_sgd_attr *attr, const dt_step *step, const dt_segment *at,
                                    const double *tensor) {
  return RULE(schedule_free_make)(step->hyper[DT_SF_SGD_LR] * at->lr_scale, step->hyper[DT_SF_SGD_MOMENTUM],
                                  at->decay ? step->hyper[DT_SF_SGD_WEIGHT_DECAY] : 0);
}

RULE_FUNCTION RULE(schedule_free_adamw_factors)
    RULE(schedule_free_adamw_prepare)(const dt_schedule_free_adamw_attr *attr, const dt_step *step, const dt_segment *at,
                                      const double *tensor) {
  const double beta2 = step->hyper[DT_SF_ADAMW_BETA2];
  RULE(schedule_free_factors)
  f = RULE(schedule_free_make)(step->hyper[DT_SF_ADAMW_LR] * at->lr_scale, step->hyper[DT_SF_ADAMW_BETA1],
                               at->decay ? step->hyper[DT_SF_ADAMW_WEIGHT_DECAY] : 0);
  f.beta2 = (real)beta2;
  f.take2 = (real)(1 - beta2);
  f.root = (real)sqrt(1 - dt_rule_power(beta2, step->number));
  f.eps = (real)attr->eps;
  return f;
}

/* The step by u from the points; returns the next p. */
RULE_FUNCTION real RULE(schedule_free_move)(const RULE(schedule_free_factors) * f, real u, real *s) {
  s[DT_SF_Z] = s[DT_SF_Z] - f->lr * u;
  s[DT_SF_WEIGHT_SUM] = s[DT_SF_WEIGHT_SUM] + f->weight;
  if (0 < s[DT_SF_WEIGHT_SUM]) s[DT_SF_X] = s[DT_SF_X] + f->weight / s[DT_SF_WEIGHT_SUM] * (s[DT_SF_Z] - s[DT_SF_X]);
  return s[DT_SF_Z] + f->beta * (s[DT_SF_X] - s[DT_SF_Z]);
}

RULE_FUNCTION real RULE(schedule_free_sgd_element)(const RULE(schedule_free_sgd_factors) * f, real p, real g, real *s) {
  return RULE(schedule_free_move)(f, g + f->decay * p, s);
}

RULE_FUNCTION real RULE(schedule_free_adamw_element)(const RULE(schedule_free_adamw_factors) * f, real p, real g, real *s) {
  s[DT_SF_SQUARES] = f->beta2 * s[DT_SF_SQUARES] + f->take2 * (g * g);
  return RULE(schedule_free_move)(f, g / (real_sqrt(s[DT_SF_SQUARES]) / f->root + f->eps) + f->decay * p, s);
}

#endif
