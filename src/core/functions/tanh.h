/* Hyperbolic tangent: y = tanh(x), y' = 1 - y^2. */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(TANH, tanh, y, 0, "y = tanh(x).")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number tanh_value(number x, const float *param) {
  return number_tanh(x);
}

FUNCTION number tanh_gradient(number g, number y, const float *param) {
  return number_mul(g, number_muladd(number_sub(number_of(0), y), y, number_of(1)));
}
#endif
