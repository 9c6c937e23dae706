/* Elementwise functions: activations by name. functions.def has the list, and says how one is written.
 *
 * Their arithmetic is written once, in terms of a `number`: a double on the reference device, sixteen floats on the cpu device,
 * a float on a GPU. Each of the three defines these primitives (scalar.h does for C's own types), then includes arithmetic.h:
 * - number_of(c): a constant
 * - number_add, number_sub, number_mul: of two numbers
 * - number_muladd(a, b, c): a b + c, in one rounding where the device's other sums are
 * - number_max(a, b): a > b ? a : b, so b where one is NaN
 * - number_if_greater(a, b, x, y): a > b ? x : y
 * - number_exp, number_sigmoid, number_tanh, number_erf: of one number
 * - number_log1p(a): log(1 + a) for a in [0, 1], as exact where a is small */
#ifndef DT_CORE_FUNCTIONS_FUNCTIONS_H
#define DT_CORE_FUNCTIONS_FUNCTIONS_H

#include <stdbool.h>

typedef enum dt_act_kind {
  DT_ACT_NONE,
#define DT_FUNCTION_ROW(NAME, name, at, params, doc) DT_ACT_##NAME,
#include "core/functions/functions.def"
#undef DT_FUNCTION_ROW
  DT_ACT_COUNT
} dt_act_kind;

enum { DT_ACT_PARAMS = 2 };

/* A function with its parameters. They are floats, so that every device computes the same function. */
typedef struct dt_act {
  dt_act_kind kind;
  float param[DT_ACT_PARAMS]; /* in the order of the function's options; 0 beyond them */
} dt_act;

typedef struct dt_act_info {
  const char *name;
  bool from_x; /* the derivative is computed from the input; else from the output */
  int params;
} dt_act_info;
extern const dt_act_info dt_act_infos[DT_ACT_COUNT];

#endif
