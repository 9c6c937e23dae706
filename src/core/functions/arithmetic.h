/* All functions in a device's own numbers, and the choice among them. It is included once the primitives are defined
 * (functions.h). */
#include "core/functions/functions.def"

FUNCTION number number_act_value(const dt_act *act, number x) {
  switch (act->kind) {
#define DT_FUNCTION_ROW(NAME, name, at, params, doc) \
  case DT_ACT_##NAME:                                \
    return name##_value(x, act->param);
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
    case DT_ACT_NONE:
    case DT_ACT_COUNT:
      break;
  }
  return x;
}

/* g times the derivative, mask being the input or the output, as the function's row says. */
FUNCTION number number_act_gradient(const dt_act *act, number g, number mask) {
  switch (act->kind) {
#define DT_FUNCTION_ROW(NAME, name, at, params, doc) \
  case DT_ACT_##NAME:                                \
    return name##_gradient(g, mask, act->param);
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
    case DT_ACT_NONE:
    case DT_ACT_COUNT:
      break;
  }
  return g;
}
