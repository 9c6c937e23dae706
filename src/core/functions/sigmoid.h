/* Logistic function: y = 1 / (1 + exp(-x)), y' = y (1 - y). */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(SIGMOID, sigmoid, y, 0, "y = 1 / (1 + exp(-x)).")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number sigmoid_value(number x, const float *param) {
  return number_sigmoid(x);
}

FUNCTION number sigmoid_gradient(number g, number y, const float *param) {
  return number_mul(g, number_mul(y, number_sub(number_of(1), y)));
}
#endif
