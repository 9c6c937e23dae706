/* The contract of an optimizer: its formula and its options, and a row in optimizers.def, from which all devices have it.
 *
 * An optimizer is elementwise over flat slices: it says how many slots it keeps per parameter and, in its header, what one
 * element's update is (core/optim/rule.h), from which the loops of all devices are made.
 *
 * Its hyper-parameters are the learning rate, which schedule.lr gives, and the rows of its options that are marked `scheduled`:
 * dt_step.hyper holds their values in a step, in that order. All else of its options is the same in every step (attr). */
#ifndef DT_CORE_OPTIM_OPTIMIZER_H
#define DT_CORE_OPTIM_OPTIMIZER_H

#include "core/config/kinds.h"
#include "core/config/warnings.h"
#include "core/device.h"
#include "core/layers/layer.h"

enum { DT_HYPER_LR = 0 }; /* the first hyper-parameter of every optimizer */

/* What the update of a stretch of elements is given. */
struct dt_update {
  const void *attr; /* the optimizer's options */
  const dt_step *step;
  const dt_segment *segment; /* that the elements belong to */
  const double *tensor;      /* that tensor's row of what emit has its instructions write; NULL where there is no emit */
};

struct dt_optimizer {
  const char *name;                    /* as in the config: the gpu's plug-in finds its kernel by it */
  int slots;                           /* DT_OPTIMIZER_SLOTS(name) */
  const char *slot_name[DT_SLOTS_MAX]; /* "momentum" */
  unsigned starts_as_param;            /* a bit for each slot that begins as the parameters do; the others begin as zeros */
  int evaluated; /* 1 + the slot that evaluations take for the weights, where gradients are taken elsewhere; 0: the parameters
                  */
  bool along_gradient; /* without momentum its step is the learning rate times the gradient, in the units of 1 / curvature */
  /* Updates count elements. grad holds the *sum* over samples; step->scale makes it the mean, clipped. slots are pointers to
   * this slice of each slot. Every product and every sum is rounded by itself (the build says -ffp-contract=off): the same bits
   * on every machine and whatever vector width the compiler chooses. */
  void (*update_f32)(const dt_update *update, int64_t count, float *param, const float *grad, float *const *slot);
  void (*update_f64)(const dt_update *update, int64_t count, double *param, const double *grad, double *const *slot);
  /* Of an optimizer of two passes: slots change, and the direction takes the gradient's place, over count elements. The update
   * is then given that, unscaled. NULL: one pass. */
  void (*direct_f32)(const dt_update *update, int64_t count, const float *param, float *grad, float *const *slot);
  void (*direct_f64)(const dt_update *update, int64_t count, const double *param, double *grad, double *const *slot);
  /* Appends instructions of the step section that the update needs before it (norms of each tensor), by dt_builder_emit_step.
   * They run once a step, when the gradients of all parameters are there and behind GRAD_NORM; every UPDATE comes after them.
   * Returns the buffer (DT_BUF_TENSOR) that they have written, of which update gets its tensor's row; segments then end where
   * tensors do. NULL: it needs none, and UPDATE goes bucket by bucket as they arrive. */
  dt_status (*emit)(dt_builder *b, int *out_buffer);
  /* Warnings on what of the options has no effect; largest[i] is the most that hyper-parameter i may be in a step. NULL: none.
   */
  void (*warning)(const void *attr, const double *largest, const dt_warnings *to);
};

/* Hyper-parameters of a kind of dt_optimizer_kinds: at most DT_HYPER_MAX, each a row of options with its bounds. */
int dt_hyper_count(const dt_kind *optimizer);
const dt_option *dt_hyper_get(const dt_kind *optimizer, int index);
/* NULL when the optimizer has none of that name. */
const dt_option *dt_hyper_find(const dt_kind *optimizer, const char *name);
/* "lr, momentum, weight_decay". Returns text. */
const char *dt_hyper_names(const dt_kind *optimizer, char *text, size_t bytes);

#endif
