/* The approximation of gelu by tanh: y = x (1 + t) / 2 with t = tanh(u), u = sqrt(2 / pi) (x + 0.044715 x^3);
 * y' = (1 + t) / 2 + x (1 - t^2) u' / 2 (Hendrycks and Gimpel, arXiv:1606.08415, 2016; PyTorch's approximate='tanh'). */
#if defined(DT_FUNCTION_ROW)
DT_FUNCTION_ROW(GELU_TANH, gelu_tanh, x, 0, "y = x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, an approximation of gelu.")
#elif !defined(DT_FUNCTION_OPTION)
FUNCTION number gelu_tanh_of(number x) {
  number cubic = number_muladd(number_mul(number_mul(x, x), number_of(0.044715)), x, x);
  return number_tanh(number_mul(number_of(0.79788456080286536), cubic));
}

FUNCTION number gelu_tanh_value(number x, const float *param) {
  return number_mul(x, number_muladd(number_of(0.5), gelu_tanh_of(x), number_of(0.5)));
}

FUNCTION number gelu_tanh_gradient(number g, number x, const float *param) {
  number t = gelu_tanh_of(x);
  number slope = number_muladd(number_mul(x, x), number_of(3 * 0.044715 * 0.79788456080286536), number_of(0.79788456080286536));
  number bend =
      number_mul(number_mul(number_mul(x, number_of(0.5)), number_muladd(number_sub(number_of(0), t), t, number_of(1))), slope);
  return number_mul(g, number_add(bend, number_muladd(number_of(0.5), t, number_of(0.5))));
}
#endif
