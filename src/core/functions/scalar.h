/* The primitives of functions.h where a number is one of C's own types. Whoever includes it has defined `number`, FUNCTION, and
 * NUMBER_MATH(name), which names that type's function of math.h. */
#include <math.h>

FUNCTION number number_of(double c) {
  return (number)c;
}
FUNCTION number number_add(number a, number b) {
  return a + b;
}
FUNCTION number number_sub(number a, number b) {
  return a - b;
}
FUNCTION number number_mul(number a, number b) {
  return a * b;
}
FUNCTION number number_muladd(number a, number b, number c) {
  return a * b + c;
}
FUNCTION number number_max(number a, number b) {
  return a > b ? a : b;
}
FUNCTION number number_if_greater(number a, number b, number x, number y) {
  return a > b ? x : y;
}
FUNCTION number number_exp(number a) {
  return NUMBER_MATH(exp)(a);
}
FUNCTION number number_log1p(number a) {
  return NUMBER_MATH(log1p)(a);
}
FUNCTION number number_sigmoid(number a) {
  return 1 / (1 + NUMBER_MATH(exp)(-a));
}
FUNCTION number number_tanh(number a) {
  return NUMBER_MATH(tanh)(a);
}
FUNCTION number number_erf(number a) {
  return NUMBER_MATH(erf)(a);
}
