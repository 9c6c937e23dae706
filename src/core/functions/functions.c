#include "core/functions/functions.h"

#include <stddef.h>

/* An option beyond the row's params would be read by no device, and one beyond DT_ACT_PARAMS has no place in a dt_act. */
enum {
#define DT_FUNCTION_ROW(NAME, function, at, count, doc) PARAMS_##NAME = count,
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
};
#define DT_FUNCTION_ROW(NAME, function, at, count, doc) \
  _Static_assert((count) <= DT_ACT_PARAMS, #function " has more params than a dt_act has room for");
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
#define DT_FUNCTION_OPTION(NAME, index, option, standard, min, max, doc) \
  _Static_assert((index) < PARAMS_##NAME, "option " option " of " #NAME " is beyond the params of its row");
#include "core/functions/functions.def"
#undef DT_FUNCTION_OPTION

const dt_act_info dt_act_infos[DT_ACT_COUNT] = {
    [DT_ACT_NONE] = {.name = "none"},
#define DT_FUNCTION_ROW(NAME, function, at, count, doc) \
  [DT_ACT_##NAME] = {.name = #function, .from_x = #at[0] == 'x', .params = count},
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
};
