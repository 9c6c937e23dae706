/* Stochastic gradient descent with momentum, in PyTorch's form (torch.optim.SGD, dampening 0):
 *
 *   g = scale * grad + weight_decay * p
 *   v = momentum * v + g
 *   p = p - lr * (nesterov ? g + momentum * v : v)
 *
 * v starts at zero, so the first step takes v = g as PyTorch does. The loops use plain products and sums: the same bits
 * whatever vector width the compiler chooses, and no call where the machine has no fused multiply-add. */
#include "core/optim/sgd.h"

#include <stddef.h>

#include "core/optimizer.h"

static double sgd_momentum(const void *attr) {
  return ((const dt_sgd_attr *)attr)->momentum;
}

static double sgd_weight_decay(const void *attr) {
  return ((const dt_sgd_attr *)attr)->weight_decay;
}

/* One definition of the update for both element types: the reference is the same formula in double precision. */
#define DEFINE_UPDATE(suffix, real)                                                                                      \
  static void plain_##suffix(real lr, real momentum, real decay, real scale, int64_t count, real *restrict p,            \
                             const real *restrict grad, real *restrict v) {                                              \
    for (int64_t i = 0; i < count; i++) {                                                                                \
      real g = scale * grad[i] + decay * p[i];                                                                           \
      v[i] = momentum * v[i] + g;                                                                                        \
      p[i] = p[i] - lr * v[i];                                                                                           \
    }                                                                                                                    \
  }                                                                                                                      \
  static void nesterov_##suffix(real lr, real momentum, real decay, real scale, int64_t count, real *restrict p,         \
                                const real *restrict grad, real *restrict v) {                                           \
    for (int64_t i = 0; i < count; i++) {                                                                                \
      real g = scale * grad[i] + decay * p[i];                                                                           \
      v[i] = momentum * v[i] + g;                                                                                        \
      p[i] = p[i] - lr * (g + momentum * v[i]);                                                                          \
    }                                                                                                                    \
  }                                                                                                                      \
  static void sgd_update_##suffix(const void *attr, const dt_step *step, double scale, int64_t count, real *param,       \
                                  const real *grad, real *const *slot) {                                                 \
    const dt_sgd_attr *sgd = attr;                                                                                       \
    (sgd->nesterov ? nesterov_##suffix : plain_##suffix)((real)step->lr, (real)step->momentum, (real)step->weight_decay, \
                                                         (real)scale, count, param, grad, slot[0]);                      \
  }

DEFINE_UPDATE(f32, float)
DEFINE_UPDATE(f64, double)

static const dt_optimizer sgd = {
    .name = "sgd",
    .slots = 1,
    .slot_name = {"momentum"},
    .momentum = sgd_momentum,
    .weight_decay = sgd_weight_decay,
    .update_f32 = sgd_update_f32,
    .update_f64 = sgd_update_f64,
};

static const dt_option options[] = {
    {.name = "momentum",
     .type = DT_OPT_REAL,
     .fallback = "0",
     .min = 0,
     .max = 1,
     .open_max = true,
     .offset = offsetof(dt_sgd_attr, momentum),
     .doc = "Share of the last step's velocity that is kept."},
    {.name = "nesterov",
     .type = DT_OPT_BOOL,
     .fallback = "false",
     .offset = offsetof(dt_sgd_attr, nesterov),
     .doc = "Looks ahead along the velocity before stepping."},
    {.name = "weight_decay",
     .type = DT_OPT_REAL,
     .fallback = "0",
     .min = 0,
     .max = 1,
     .offset = offsetof(dt_sgd_attr, weight_decay),
     .doc = "Adds weight_decay * p to the gradient of each parameter p."},
    {0},
};

const dt_kind dt_optimizer_sgd = {
    .name = "sgd",
    .doc =
        "Stochastic gradient descent: g = gradient + weight_decay * p; v = momentum * v + g; p = p - lr * v, or, with "
        "nesterov, "
        "p = p - lr * (g + momentum * v). The same as torch.optim.SGD.",
    .options = options,
    .attr_bytes = sizeof(dt_sgd_attr),
    .impl = &sgd,
};
