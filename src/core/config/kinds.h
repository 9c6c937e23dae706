/* The tables of kinds that a config chooses from, NULL-terminated each; kind->impl is the contract's table of functions. */
#ifndef DT_CORE_CONFIG_KINDS_H
#define DT_CORE_CONFIG_KINDS_H

#include "core/config/options.h"

extern const dt_kind *const dt_format_kinds[];  /* idx, csv, npy ... */
extern const dt_kind *const dt_augment_kinds[]; /* shift, flip, crop ... */
extern const dt_kind *const dt_mix_kinds[];     /* mixup, cutmix; kind->impl is a dt_mix */
extern const dt_kind *const dt_layer_kinds[];   /* NULL-terminated; kind->impl is a dt_layer */
extern const dt_kind *const dt_loss_kinds[];    /* kind->impl is a dt_loss */
extern const dt_kind *const dt_metric_kinds[];  /* kind->impl is a dt_metric */
extern const dt_kind *const dt_decay_kinds[]; /* constant step multistep exponential inverse polynomial linear cosine one_cycle
                                                 warmup_stable_decay */
extern const dt_kind *const dt_optimizer_kinds[]; /* NULL-terminated; kind->impl is a dt_optimizer */
extern const dt_kind *const dt_average_kinds[];   /* kind->impl is a dt_average */
extern const dt_kind *const dt_solver_kinds[];    /* kind->impl is a dt_solver */

#endif
