/* Included once by an optimizer's file: makes RULE_NAME_update_f32 and _f64, the loops over elements, of the formula in
 * RULE_FILE (core/optim/rule.h), and RULE_NAME_direct_f32 and _f64 where RULE_DIRECTS is defined. */
#include "core/optim/rule.h"

#define RULE_JOIN_(a, b) a##b
#define RULE_JOIN(a, b) RULE_JOIN_(a, b)
#define RULE_SLOTS RULE_JOIN(dt_optimizer_slots_, RULE_NAME)
#define RULE_UPDATE RULE(RULE_JOIN(RULE_NAME, _update))
#define RULE_DIRECT RULE(RULE_JOIN(RULE_NAME, _direct))

/* Slots that the optimizer does not have are never touched. */
#define RULE_SLOT(k) real *restrict s##k = RULE_SLOTS > (k) ? slot[k] : NULL
#define RULE_READ(k) RULE_SLOTS > (k) ? s##k[i] : 0
#define RULE_WRITE(k) \
  if (RULE_SLOTS > (k)) s##k[i] = s[k]

/* In slots and out, between which `result` is made. */
#define RULE_EACH(result)                                                            \
  RULE_SLOT(0);                                                                      \
  RULE_SLOT(1);                                                                      \
  RULE_SLOT(2);                                                                      \
  RULE_SLOT(3);                                                                      \
  for (int64_t i = 0; i < count; i++) {                                              \
    real s[DT_SLOTS_MAX] = {RULE_READ(0), RULE_READ(1), RULE_READ(2), RULE_READ(3)}; \
    result;                                                                          \
    RULE_WRITE(0);                                                                   \
    RULE_WRITE(1);                                                                   \
    RULE_WRITE(2);                                                                   \
    RULE_WRITE(3);                                                                   \
  }

#define RULE_FACTORS                             \
  const RULE(RULE_JOIN(RULE_NAME, _factors)) f = \
      RULE(RULE_JOIN(RULE_NAME, _prepare))(update->attr, update->step, update->segment, update->tensor)

/* The mean gradient of the sums: clipped by the norm, which is in the scale, and by value. A NaN stays one. */
#define RULE_MEAN(g, scale, limit) ((scale) * (g) < -(limit) ? -(limit) : (limit) < (scale) * (g) ? (limit) : (scale) * (g))

#define RULE_LOOP(scale, limit)                                                                                    \
  static void RULE_UPDATE(const dt_update *update, int64_t count, real *restrict param, const real *restrict grad, \
                          real *const *slot) {                                                                     \
    RULE_FACTORS;                                                                                                  \
    const real by = (real)(scale), most = (real)(limit);                                                           \
    RULE_EACH(param[i] = RULE(RULE_JOIN(RULE_NAME, _element))(&f, param[i], RULE_MEAN(grad[i], by, most), s))      \
  }

#define RULE_DIRECT_LOOP(scale, limit)                                                                             \
  static void RULE_DIRECT(const dt_update *update, int64_t count, const real *restrict param, real *restrict grad, \
                          real *const *slot) {                                                                     \
    RULE_FACTORS;                                                                                                  \
    const real by = (real)(scale), most = (real)(limit);                                                           \
    RULE_EACH(grad[i] = RULE(RULE_JOIN(RULE_NAME, _direction))(&f, param[i], RULE_MEAN(grad[i], by, most), s))     \
  }

/* A direction is no gradient any more. */
#ifdef RULE_DIRECTS
#define RULE_LOOPS                                                   \
  RULE_DIRECT_LOOP(update->step->scale, dt_step_limit(update->step)) \
  RULE_LOOP(1, INFINITY)
#else
#define RULE_LOOPS RULE_LOOP(update->step->scale, dt_step_limit(update->step))
#endif

#define real float
#define RULE(name) RULE_JOIN(name, _f32)
#define real_sqrt sqrtf
#include RULE_FILE
RULE_LOOPS
#undef real
#undef RULE
#undef real_sqrt

#define real double
#define RULE(name) RULE_JOIN(name, _f64)
#define real_sqrt sqrt
#include RULE_FILE
RULE_LOOPS
#undef real
#undef RULE
#undef real_sqrt

#undef RULE_NAME
#undef RULE_FILE
#undef RULE_SLOTS
#undef RULE_DIRECTS
