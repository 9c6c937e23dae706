/* Whether a network's gradient is right, and how large a step it bears. */
#ifndef DT_TRAIN_CHECK_H
#define DT_TRAIN_CHECK_H

#include "train/objective.h"

enum { DT_CHECK_NAME = 128 };

/* The gradient of an objective in double precision, against finite differences of it. */
typedef struct dt_gradient_check {
  int directions; /* each through all parameters */
  double worst;   /* the largest relative difference along one */
} dt_gradient_check;

/* Takes (L(p + h d) - L(p - h d)) / 2h along random directions d, in which each parameter counts as much as another whatever
 * the size of its gradient. gradient[count] is backward's at param[count]. Where the two differ by more than 1e-5 the direction
 * is halved until one parameter is left. DT_NUMERIC naming that, with both numbers. Collective. */
dt_status dt_check_gradient(dt_objective *objective, const double *param, const double *gradient, dt_gradient_check *out);

/* Two gradients of the same parameters, in the layouts of their programs. */
typedef struct dt_gradient_difference {
  double worst; /* of each parameter the length of the difference, over that of the expected one */
  char name[DT_CHECK_NAME];
} dt_gradient_difference;

/* A gradient that is small beside the whole one's is measured by a hundredth of that. DT_NUMERIC where one differs by more
 * than a hundredth. */
dt_status dt_compare_gradients(const dt_program *program, const double *gradient, const dt_program *reference,
                               const double *expected, dt_gradient_difference *out);

/* Eigenvalues of the Hessian of an objective. */
typedef struct dt_curvature {
  double largest, least;
  int products; /* with the Hessian, each by a gradient */
  bool converged;
} dt_curvature;

/* Of an objective in double precision whose gradient at param[count] is gradient[count]: by Lanczos' process on products H v =
 * (g(p + e v) - g(p)) / e, e so short that no relu changes sides. The Hessian is that of the pieces between such kinks, as
 * differentiating twice gives it. At most so many products, which may take a few gradients each
 * where a step meets kinks. Collective. */
dt_status dt_measure_curvature(dt_objective *objective, const double *param, const double *gradient, int products,
                               dt_curvature *out);

#endif
