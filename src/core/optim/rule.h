/* How an optimizer's formula is written: once, in its header, for every element type and device.
 *
 * The header names what it keeps per step and segment and what one element's update is, in terms of `real`, and marks both with
 * RULE and RULE_FUNCTION. core/optim/loops.h includes it for float (cpu) and double (reference), gpu/update.cu for the GPU,
 * where `real` is a float whose operators round one by one. So all devices compute the same roundings, and equal gradients give
 * equal parameters:
 *
 *   typedef struct RULE(name_factors) { real ...; } RULE(name_factors);
 *   RULE_FUNCTION RULE(name_factors) RULE(name_prepare)(const dt_name_attr *attr, const dt_step *step, const dt_segment *at,
 *                                                          const double *tensor);
 *   RULE_FUNCTION real RULE(name_element)(const RULE(name_factors) *f, real p, real g, real *s);
 *
 * An optimizer of two passes has a name_direction besides, of the same form, which changes the slots and returns the direction.
 * That takes the gradient's place (DT_OP_DIRECTION) and is then what element is given, as it stands, once the optimizer's own
 * instructions have looked at it.
 *
 * prepare works in double; tensor is what the optimizer's own instructions have found out about the tensor
 * (dt_optimizer.emit), NULL where it has none. It takes lr times at->lr_scale, and no weight decay where at->decay is false.
 * element is given the parameter, the mean gradient (clipped) and the element's slots, changes the slots and returns the new
 * parameter. Doubles are multiplied by RULE_TIMES where a sum follows: a compiler for CUDA would fuse the two. */
#ifndef DT_CORE_OPTIM_RULE_H
#define DT_CORE_OPTIM_RULE_H

#include <math.h>
#include <stdbool.h>

#include "core/device.h"

#ifdef DT_RULE_DEVICE
#define RULE_FUNCTION static inline __device__
#define RULE_TIMES(a, b) __dmul_rn(a, b)
#else
#define RULE_FUNCTION static inline
#define RULE_TIMES(a, b) ((a) * (b))
#endif

/* Slots of an optimizer by its name, from its row. */
enum {
#define DT_OPTIMIZER_ROW(name, slots, passes) dt_optimizer_slots_##name = slots,
#include "core/optim/optimizers.def"
#undef DT_OPTIMIZER_ROW
};
#define DT_OPTIMIZER_SLOTS(name) dt_optimizer_slots_##name

/* base^exponent, exponent >= 1, by products alone: the same bits whatever math library there is. */
RULE_FUNCTION double dt_rule_power(double base, int64_t exponent) {
  double power = 1;
  for (; exponent > 0; exponent >>= 1) {
    if ((exponent & 1) != 0) power = RULE_TIMES(power, base);
    base = RULE_TIMES(base, base);
  }
  return power;
}

#endif
