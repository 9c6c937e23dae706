/* The table of optimizers. */
#include "core/optim/optimizer.h"

#define DT_OPTIMIZER_ROW(name, slots, passes) extern const dt_kind dt_optimizer_##name;
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW

const dt_kind *const dt_optimizer_kinds[] = {
#define DT_OPTIMIZER_ROW(name, slots, passes) &dt_optimizer_##name,
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW
    NULL,
};
