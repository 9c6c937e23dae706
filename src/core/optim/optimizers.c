/* The optimizers: a new one is a file and a row here. */
#include "core/optimizer.h"

extern const dt_kind dt_optimizer_sgd;

const dt_kind *const dt_optimizer_kinds[] = {&dt_optimizer_sgd, NULL};
