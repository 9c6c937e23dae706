/* Gaussian error linear unit: y = x P(x), where P(x) = (1 + erf(x / sqrt(2))) / 2 is the normal distribution's;
 * y' = P(x) + x p(x), with its density p(x) = exp(-x^2 / 2) / sqrt(2 pi) (Hendrycks and Gimpel, arXiv:1606.08415, 2016). y
 * falls and rises again where x is negative, so the derivative needs x. */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(GELU, gelu, x, 0, "y = x (1 + erf(x / sqrt(2))) / 2.")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number gelu_distribution(number x) {
  return number_muladd(number_of(0.5), number_erf(number_mul(x, number_of(0.70710678118654752))), number_of(0.5));
}

FUNCTION number gelu_value(number x, const float *param) {
  return number_mul(x, gelu_distribution(x));
}

FUNCTION number gelu_gradient(number g, number x, const float *param) {
  number density = number_mul(number_of(0.39894228040143268), number_exp(number_mul(number_mul(x, x), number_of(-0.5))));
  return number_mul(g, number_muladd(x, density, gelu_distribution(x)));
}
#endif
