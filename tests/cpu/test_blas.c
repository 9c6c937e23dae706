/* OpenBLAS as loaded: it names itself, uses kernels that fit, and multiplies. */
#include <string.h>

#include "cpu/blas.h"
#include "support/unit.h"

static void test_names_itself(void **state) {
  dt_blas *blas = NULL;
  if (dt_blas_open(&blas) != DT_OK) skip();
  assert_non_null(strstr(dt_blas_describe(blas), "OpenBLAS"));
  assert_non_null(strstr(dt_blas_describe(blas), "core "));
#if defined(__x86_64__)
  /* The mistake that costs most: the oldest kernels on a processor with AVX2. */
  if (__builtin_cpu_supports("avx2")) assert_null(strstr(dt_blas_describe(blas), "Prescott"));
#endif
  print_message("%s\n", dt_blas_describe(blas));
  dt_blas_close(&blas);
  assert_null(blas);
}

static void test_multiplies(void **state) {
  dt_blas *blas = NULL;
  if (dt_blas_open(&blas) != DT_OK) skip();
  const float a[6] = {1, 2, 3, 4, 5, 6}, b[6] = {1, 0, 2, 1, 0, 1};
  float c[4];
  dt_blas_product p = {
      .rows = 2, .columns = 2, .depth = 3, .a = a, .b = b, .c = c, .a_stride = 3, .b_stride = 2, .c_stride = 2};
  dt_blas_multiply(blas, &p); /* b [3][2] = {1 0; 2 1; 0 1} */
  assert_true(c[0] == 5 && c[1] == 5 && c[2] == 14 && c[3] == 11);
  p.b_transposed = true; /* b [2][3] */
  p.b_stride = 3;
  dt_blas_multiply(blas, &p);
  assert_true(c[0] == 7 && c[1] == 4 && c[2] == 16 && c[3] == 10);
  dt_blas_close(&blas);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_names_itself),
      cmocka_unit_test(test_multiplies),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
