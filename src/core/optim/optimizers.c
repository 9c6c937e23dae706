/* The table of optimizers. */
#include "core/optim/optimizer.h"

#define DT_OPTIMIZER_ROW(name, slots) extern const dt_kind dt_optimizer_##name;
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW

const dt_kind *const dt_optimizer_kinds[] = {
#define DT_OPTIMIZER_ROW(name, slots) &dt_optimizer_##name,
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW
    NULL,
};
