/* Muon (Jordan et al., "Muon: an optimizer for hidden layers in neural networks", 2024), as torch.optim.Muon: the momentum of a
 * matrix is brought near to the orthogonal matrix next to it, so that an update changes all directions alike. Parameters of two
 * dimensions and more are matrices, a row for each of their first dimension; the others are AdamW's. Of a matrix:
 *
 *   m = m + (1 - momentum) * (g - m)
 *   u = g + momentum * (m - g), or m without nesterov
 *   o = u made orthogonal (ORTHOGONALISE)
 *   p = p - lr * weight_decay * p
 *   p = p - lr * s * o; s = 0.2 * sqrt(the larger of rows and columns), or sqrt(max(1, rows / columns))
 *
 * ORTHOGONALISE makes x = u / max(|u|, 1e-7), and five times x = a x + (b y + c y y) x with y = x x^T: the Newton-Schulz
 * iteration with coefficients that bring singular values between 0.7 and 1.2 fast. Where there are more rows than columns it
 * works on the transpose. */
#ifndef DT_CORE_OPTIM_MUON_H
#define DT_CORE_OPTIM_MUON_H

#include "core/optim/rule.h"

/* In dt_step.hyper. */
enum { DT_MUON_LR, DT_MUON_MOMENTUM, DT_MUON_WEIGHT_DECAY };
enum { DT_MUON_AS_ADAMW, DT_MUON_ORIGINAL }; /* dt_muon_attr.scale */

/* The options. Of momentum and weight_decay dt_step holds what counts. */
typedef struct dt_muon_attr {
  double momentum, weight_decay, beta1, beta2, eps;
  bool nesterov;
  int scale;
} dt_muon_attr;

/* Of ORTHOGONALISE. */
enum { DT_MUON_ROUNDS = 5 };
#define DT_MUON_A 3.4445
#define DT_MUON_B (-4.7750)
#define DT_MUON_C 2.0315
#define DT_MUON_EPS 1e-7

/* A matrix as ORTHOGONALISE takes it: short rows, long columns. Element (r, c) is at r * row_step + c * column_step. */
typedef struct dt_muon_matrix {
  int64_t rows, columns, row_step, column_step;
} dt_muon_matrix;

DT_EXACT_SUM_FUNCTION dt_muon_matrix dt_muon_matrix_of(const dt_segment *at) {
  const dt_muon_matrix wide = {at->units, at->unit_count, at->unit_count, 1};
  const dt_muon_matrix tall = {at->unit_count, at->units, 1, at->unit_count};
  return at->units <= at->unit_count ? wide : tall;
}

#endif

#ifdef RULE

typedef struct RULE(muon_factors) {
  bool matrix, nesterov;
  real momentum, take;      /* take = 1 - momentum */
  real take1, beta2, take2; /* take = 1 - beta */
  real size, root, eps;     /* 1 / (1 - beta1^t), sqrt(1 - beta2^t) */
  real keep, rate;          /* p = keep * p - rate * u */
} RULE(muon_factors);

RULE_FUNCTION RULE(muon_factors)
    RULE(muon_prepare)(const dt_muon_attr *attr, const dt_step *step, const dt_segment *at, const double *tensor) {
  const double lr = step->hyper[DT_MUON_LR] * at->lr_scale, rows = (double)at->units, columns = (double)at->unit_count;
  const double longer = rows > columns ? rows : columns, shape = rows > columns ? rows / columns : 1;
  const double scale = attr->scale == DT_MUON_ORIGINAL ? sqrt(shape) : RULE_TIMES(0.2, sqrt(longer));
  RULE(muon_factors) f;
  f.matrix = at->matrix;
  f.nesterov = attr->nesterov;
  f.momentum = (real)step->hyper[DT_MUON_MOMENTUM];
  f.take = (real)(1 - step->hyper[DT_MUON_MOMENTUM]);
  f.take1 = (real)(1 - attr->beta1);
  f.beta2 = (real)attr->beta2;
  f.take2 = (real)(1 - attr->beta2);
  f.size = (real)(1 / (1 - dt_rule_power(attr->beta1, step->number)));
  f.root = (real)sqrt(1 - dt_rule_power(attr->beta2, step->number));
  f.eps = (real)attr->eps;
  f.keep = (real)(at->decay ? 1 - RULE_TIMES(lr, step->hyper[DT_MUON_WEIGHT_DECAY]) : 1);
  f.rate = (real)(at->matrix ? lr * scale : lr);
  return f;
}

RULE_FUNCTION real RULE(muon_direction)(const RULE(muon_factors) * f, real p, real g, real *s) {
  if (f->matrix) {
    s[0] = s[0] + f->take * (g - s[0]);
    return f->nesterov ? g + f->momentum * (s[0] - g) : s[0];
  }
  s[0] = s[0] + f->take1 * (g - s[0]);
  s[1] = f->beta2 * s[1] + f->take2 * (g * g);
  return f->size * s[0] / (real_sqrt(s[1]) / f->root + f->eps);
}

RULE_FUNCTION real RULE(muon_element)(const RULE(muon_factors) * f, real p, real u, real *s) {
  return f->keep * p - f->rate * u;
}

#endif
