/* UPDATE: the table of the optimizers that have a kernel here. A new one is a row and a file. */
#include <string.h>

#include "gpu/gpu.h"

static const struct {
  const char *name; /* dt_optimizer.name */
  dt_kernel *update;
} optimizers[] = {
    {"sgd", dt_gpu_update_sgd},
};

dt_status dt_gpu_update(dt_run *run, const dt_instr *instr, const dt_pass *pass) {
  for (size_t i = 0; i < sizeof optimizers / sizeof *optimizers; i++) {
    if (strcmp(optimizers[i].name, run->optimizer->name) == 0) return optimizers[i].update(run, instr, pass);
  }
  DT_RAISE(DT_USAGE, "the gpu device has no kernel for the optimizer %s: choose another, or --device cpu",
           run->optimizer->name);
}
