/* The solvers: a new one is a file and a row here. */
#include "core/config/kinds.h"

extern const dt_kind dt_solver_minibatch;
extern const dt_kind dt_solver_gradient_descent;
extern const dt_kind dt_solver_sam;

/* clang-format off */
const dt_kind *const dt_solver_kinds[] = {
    &dt_solver_minibatch,
    &dt_solver_gradient_descent,
    &dt_solver_sam,
    NULL,
};
/* clang-format on */
