/* Numbers in lines for people, held against texts written down by hand. */
#include "core/numbers.h"

#include <math.h>

#include "support/unit.h"

static void test_number_text(void **state) {
  static const struct {
    double value;
    const char *text;
  } row[] = {{0, "0.0000"},           {2.302585, "2.3026"}, {-1.5, "-1.5000"},
             {999999, "999999.0000"}, {1e6, "1e+06"},       {1.23456e35, "1.235e+35"},
             {-6.2e35, "-6.2e+35"},   {INFINITY, "inf"},    {-INFINITY, "-inf"}};
  char text[DT_NUMBER_TEXT];
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) assert_string_equal(dt_number_text(row[i].value, text), row[i].text);
  assert_string_equal(dt_number_text(NAN, text), "nan");
  assert_string_equal(dt_number_text(copysign(NAN, -1), text), "nan");
}

static void test_plural(void **state) {
  assert_string_equal(dt_plural(1), "");
  assert_string_equal(dt_plural(0), "s");
  assert_string_equal(dt_plural(2), "s");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_number_text), cmocka_unit_test(test_plural)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
