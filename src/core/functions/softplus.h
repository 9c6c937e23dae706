/* Softplus: y = log(1 + exp(x)), without overflow max(x, 0) + log(1 + exp(-|x|)); y' = 1 / (1 + exp(-x)) (Dugas, Bengio,
 * Belisle, Nadeau and Garcia, NIPS 2000). From y the derivative would be 1 - exp(-y), which cancels where x is negative. */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(SOFTPLUS, softplus, x, 0, "y = log(1 + exp(x)).")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number softplus_value(number x, const float *param) {
  number zero = number_of(0), size = number_max(number_sub(zero, x), x);
  return number_add(number_max(zero, x), number_log1p(number_exp(number_sub(zero, size))));
}

FUNCTION number softplus_gradient(number g, number x, const float *param) {
  return number_mul(g, number_sigmoid(x));
}
#endif
