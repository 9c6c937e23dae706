/* Leaky rectified linear unit: y = x where x > 0, else slope x; y' = 1 where y > 0, else slope (Maas, Hannun and Ng, ICML
 * 2013). The slope is not negative, so that y has the sign of x. */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(LEAKY_RELU, leaky_relu, y, 1, "y = x where x > 0, else slope x.")
#elif defined(DT_FUNCTION_OPTION)
DT_FUNCTION_OPTION(LEAKY_RELU, 0, "slope", "0.01", 0, 1e6, "Slope where x is negative.")
#else
FUNCTION number leaky_relu_value(number x, const float *param) {
  return number_if_greater(x, number_of(0), x, number_mul(x, number_of(param[0])));
}

FUNCTION number leaky_relu_gradient(number g, number y, const float *param) {
  return number_if_greater(y, number_of(0), g, number_mul(g, number_of(param[0])));
}
#endif
