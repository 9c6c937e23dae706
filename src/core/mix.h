/* The contract of what mixes samples: rows of dt_mix_kinds (core/config/kinds.h). */
#ifndef DT_CORE_MIX_H
#define DT_CORE_MIX_H

#include <stdbool.h>

#include "core/config/kinds.h"

typedef struct dt_mix {
  bool pastes; /* a rectangle of the partner is put into images; else all numbers are means of the two samples' */
} dt_mix;

/* The options of every kind. */
typedef struct dt_mix_attr {
  double alpha, p;
} dt_mix_attr;

#endif
