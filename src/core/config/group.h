/* Groups of parameters by their names: `train: {groups: [{match: "conv1.*", lr_scale: 0.1}, {match: "*.bias", decay: false}]}`.
 */
#ifndef DT_CORE_CONFIG_GROUP_H
#define DT_CORE_CONFIG_GROUP_H

#include "core/config/options.h"

enum { DT_GROUPS_MAX = 64 };

/* What stands beside the pattern. */
typedef struct dt_group {
  bool freeze;
  double lr_scale;
  bool decay;
} dt_group;

/* The rows, which fill a dt_group. */
extern const dt_option dt_group_options[];
/* The only kind of an item, `match`. */
extern const dt_kind *const dt_group_kinds[];

const dt_group *dt_group_of(const dt_choice *item);
const char *dt_group_pattern(const dt_choice *item);
/* Whether a parameter of that name, such as conv1.weight, is in the group. */
bool dt_group_has(const dt_choice *item, const char *name);

#endif
