/* Included once by an optimizer's file: makes RULE_NAME_update_f32 and _f64, the loops over elements, of the formula in
 * RULE_FILE (core/optim/rule.h). */
#include "core/optim/rule.h"

#define RULE_JOIN_(a, b) a##b
#define RULE_JOIN(a, b) RULE_JOIN_(a, b)
#define RULE_SLOTS RULE_JOIN(dt_optimizer_slots_, RULE_NAME)
#define RULE_UPDATE RULE(RULE_JOIN(RULE_NAME, _update))

/* Slots that the optimizer does not have are never touched. */
#define RULE_SLOT(k) real *restrict s##k = RULE_SLOTS > (k) ? slot[k] : NULL
#define RULE_READ(k) RULE_SLOTS > (k) ? s##k[i] : 0
#define RULE_WRITE(k) \
  if (RULE_SLOTS > (k)) s##k[i] = s[k]

#define RULE_LOOP                                                                                                  \
  static void RULE_UPDATE(const dt_update *update, int64_t count, real *restrict param, const real *restrict grad, \
                          real *const *slot) {                                                                     \
    const RULE(RULE_JOIN(RULE_NAME, _factors)) f =                                                                 \
        RULE(RULE_JOIN(RULE_NAME, _prepare))(update->attr, update->step, update->segment, update->tensor);         \
    const real scale = (real)update->step->scale;                                                                  \
    RULE_SLOT(0);                                                                                                  \
    RULE_SLOT(1);                                                                                                  \
    RULE_SLOT(2);                                                                                                  \
    RULE_SLOT(3);                                                                                                  \
    for (int64_t i = 0; i < count; i++) {                                                                          \
      real s[DT_SLOTS_MAX] = {RULE_READ(0), RULE_READ(1), RULE_READ(2), RULE_READ(3)};                             \
      param[i] = RULE(RULE_JOIN(RULE_NAME, _element))(&f, param[i], scale * grad[i], s);                           \
      RULE_WRITE(0);                                                                                               \
      RULE_WRITE(1);                                                                                               \
      RULE_WRITE(2);                                                                                               \
      RULE_WRITE(3);                                                                                               \
    }                                                                                                              \
  }

#define real float
#define RULE(name) RULE_JOIN(name, _f32)
#define real_sqrt sqrtf
#include RULE_FILE
RULE_LOOP
#undef real
#undef RULE
#undef real_sqrt

#define real double
#define RULE(name) RULE_JOIN(name, _f64)
#define real_sqrt sqrt
#include RULE_FILE
RULE_LOOP
#undef real
#undef RULE
#undef real_sqrt

#undef RULE_NAME
#undef RULE_FILE
#undef RULE_SLOTS
