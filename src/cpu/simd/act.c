/* Activations by kind, where a sum ends: what is called a vector at a time. Sweeps over whole tensors have loops of their own. */
#include "cpu/simd/act.h"

v16 DT_SIMD(act_long_value)(const dt_act *act, v16 x) { return number_act_value(act, x); }

v16 DT_SIMD(act_long_gradient)(const dt_act *act, v16 g, v16 mask) { return number_act_gradient(act, g, mask); }
