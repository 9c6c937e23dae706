/* The contract of an optimizer: one file in core/optim, one row in dt_optimizer_kinds.
 *
 * An optimizer is elementwise over flat slices: it says how many slots it keeps per parameter and what one element's update
 * is, once in double precision (reference) and once as a loop over floats (cpu). The GPU adds its own kernel by the same name.
 */
#ifndef DT_CORE_OPTIMIZER_H
#define DT_CORE_OPTIMIZER_H

#include "core/device.h"
#include "core/options.h"

struct dt_optimizer {
  const char *name; /* as in the config: devices outside the program find their kernel by it */
  int slots;
  const char *slot_name[4]; /* "momentum" */
  /* Hyper-parameters as configured, for where no schedule overrides them. */
  double (*momentum)(const void *attr);
  double (*weight_decay)(const void *attr);
  /* Updates count elements. grad holds the *sum* over samples; scale = clip / samples makes it the mean, clipped. slots are
   * pointers to this slice of each slot. Explicit fma where a product is added (bits must not depend on the compiler). */
  void (*update_f32)(const void *attr, const dt_step *step, double scale, int64_t count, float *param, const float *grad,
                     float *const *slot);
  void (*update_f64)(const void *attr, const dt_step *step, double scale, int64_t count, double *param, const double *grad,
                     double *const *slot);
};

extern const dt_kind *const dt_optimizer_kinds[]; /* NULL-terminated; kind->impl is a dt_optimizer */

#endif
