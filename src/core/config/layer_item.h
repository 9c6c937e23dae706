/* What every layer of a config takes beside its kind: `{conv: {filters: 8, kernel: 3}, name: stem, freeze: true}`. */
#ifndef DT_CORE_CONFIG_LAYER_ITEM_H
#define DT_CORE_CONFIG_LAYER_ITEM_H

#include "core/config/options.h"

typedef struct dt_layer_item {
  const char *name; /* "" = the kind's stem, counted within the list */
  dt_strings from;  /* names of layers or inputs; none = what comes before */
  dt_strings share; /* names of layers, or of parameters as layer.role; none = parameters of its own */
  bool freeze;
  double lr_scale;
  bool decay;
} dt_layer_item;

/* The rows, which fill a dt_layer_item; every option whose kinds are layers has them. */
extern const dt_option dt_layer_item_options[];

/* What stands beside the kind; the defaults of a choice that a composite made up. */
const dt_layer_item *dt_layer_item_of(const dt_choice *choice);

#endif
