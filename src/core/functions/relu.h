/* Rectified linear unit: y = max(x, 0), y' = 1 where y > 0, else 0 (Nair and Hinton, ICML 2010). */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(RELU, relu, y, 0, "y = max(x, 0).")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number relu_value(number x, const float *param) {
  return number_max(number_of(0), x);
}

FUNCTION number relu_gradient(number g, number y, const float *param) {
  return number_if_greater(y, number_of(0), g, number_of(0));
}
#endif
