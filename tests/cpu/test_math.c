/* exp, log, log1p, tanh, sigmoid and erf against libm in double precision, and the same bits on every instruction set. */
#include <float.h>
#include <math.h>

#include "cpu/one_kernel.h"
#include "cpu/simd/kernels.h"

enum { POINTS = 1 << 16 };

typedef void map_function(const float *x, float *y, int64_t count);

/* Distance in units in the last place of the exact result. */
static double ulps(float got, double exact) {
  int exponent;
  frexp(exact, &exponent);
  double unit = ldexp(1, (exponent < -125 ? -125 : exponent) - 24);
  return fabs((double)got - exact) / unit;
}

static double sigmoid(double x) {
  return 1 / (1 + exp(-x));
}

static const struct {
  const char *name;
  double (*exact)(double);
  size_t offset;
  double low, high; /* of the arguments */
  double tolerance; /* ulps */
  bool powers;      /* the arguments are powers of two, from 2^low to 2^high */
} functions[] = {
    {"exp", exp, offsetof(dt_cpu_kernels, exp), -86.9, 88, 2},
    {"log", log, offsetof(dt_cpu_kernels, log), -120, 120, 2, .powers = true},
    {"log1p", log1p, offsetof(dt_cpu_kernels, log1p), 0, 1, 4},
    {"log1p of little", log1p, offsetof(dt_cpu_kernels, log1p), -120, 0, 4, .powers = true},
    {"tanh", tanh, offsetof(dt_cpu_kernels, tanh), -20, 20, 3},
    {"sigmoid", sigmoid, offsetof(dt_cpu_kernels, sigmoid), -86, 86, 3},
    {"erf", erf, offsetof(dt_cpu_kernels, erf), -5, 5, 2},
};
enum { FUNCTIONS = sizeof functions / sizeof functions[0] };

static map_function *function_of(const dt_cpu_kernels *kernels, int f) {
  map_function *map;
  memcpy(&map, (const char *)kernels + functions[f].offset, sizeof map);
  return map;
}

static float *make_arguments(int f) {
  float *x = malloc(POINTS * sizeof *x);
  for (int i = 0; i < POINTS; i++) {
    double at = functions[f].low + (functions[f].high - functions[f].low) * i / (POINTS - 1);
    x[i] = (float)(functions[f].powers ? exp2(at) : at);
  }
  return x;
}

static const dt_cpu_kernels *kernels_for(const char *isa) {
  one_kernel k;
  if (!one_create(&k, DT_OP_ADD, isa, 1, 1, 1)) return NULL;
  const dt_cpu_kernels *kernels = ((dt_cpu *)k.device)->kernels;
  free(k.labels);
  k.device->ops->destroy(&k.device);
  return kernels;
}

static void test_accuracy_and_equal_bits(void **state) {
  float *expected = malloc(POINTS * sizeof *expected), *got = malloc(POINTS * sizeof *got);
  for (int f = 0; f < FUNCTIONS; f++) {
    float *x = make_arguments(f);
    function_of(&dt_cpu_kernels_plain, f)(x, expected, POINTS);
    double worst = 0;
    for (int i = 0; i < POINTS; i++) {
      double error = ulps(expected[i], functions[f].exact(x[i]));
      if (!(error <= functions[f].tolerance))
        fail_msg("%s(%.9g) = %.9g is %.2f ulps off", functions[f].name, x[i], expected[i], error);
      worst = error > worst ? error : worst;
    }
    print_message("%s: %.2f ulps\n", functions[f].name, worst);
    for (int isa = 0; isa < ONE_ISAS; isa++) {
      const dt_cpu_kernels *kernels = kernels_for(one_isas[isa]);
      if (kernels == NULL) continue;
      function_of(kernels, f)(x, got, POINTS);
      assert_memory_equal(got, expected, POINTS * sizeof *got);
    }
    free(x);
  }
  free(expected);
  free(got);
}

static void test_ends_of_the_range(void **state) {
  float x[16] = {-INFINITY, -1000, -88, 0, NAN, 30, -30, 1}, y[16];
  for (int isa = 0; isa < ONE_ISAS; isa++) {
    const dt_cpu_kernels *kernels = kernels_for(one_isas[isa]);
    if (kernels == NULL) continue;
    kernels->exp(x, y, 16);
    assert_true(y[0] == 0 && y[1] == 0 && y[2] == 0 && y[3] == 1 && isnan(y[4]));
    kernels->tanh(x, y, 16);
    assert_true(y[0] == -1 && y[1] == -1 && y[3] == 0 && isnan(y[4]) && y[5] == 1 && y[6] == -1);
    kernels->sigmoid(x, y, 16);
    assert_true(y[0] == 0 && y[1] == 0 && y[3] == 0.5f && isnan(y[4]) && y[5] == 1);
    kernels->erf(x, y, 16);
    assert_true(y[0] == -1 && y[1] == -1 && y[3] == 0 && isnan(y[4]) && y[5] == 1 && y[6] == -1);
    kernels->log(x, y, 16);
    assert_true(isnan(y[4]) && y[7] == 0);
    kernels->log1p(x, y, 16);
    assert_true(y[3] == 0 && isnan(y[4]) && y[7] == 0.693147182f);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_accuracy_and_equal_bits),
      cmocka_unit_test(test_ends_of_the_range),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
