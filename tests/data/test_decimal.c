/* Decimal numbers against strtod, which is correctly rounded. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "data/decimal.h"
#include "support/unit.h"

static void check(const char *text) {
  double found = -1, expected = strtod(text, NULL);
  if (!dt_decimal_read(text, strlen(text), '.', &found)) fail_msg("\"%s\" was refused", text);
  if (memcmp(&found, &expected, sizeof found) != 0) fail_msg("\"%s\": %.17g, expected %.17g", text, found, expected);
}

static void test_by_hand(void **state) {
  static const char *const texts[] = {"0",
                                      "-0",
                                      "1",
                                      "+1",
                                      "-1.5",
                                      ".5",
                                      "5.",
                                      "1e3",
                                      "1E-3",
                                      "1e+3",
                                      "1e22",
                                      "1e23",
                                      "1e-22",
                                      "1e-23",
                                      "1e308",
                                      "1e309",
                                      "-1e309",
                                      "1e400",
                                      "1e-400",
                                      "4.9e-324",
                                      "2.2250738585072011e-308",
                                      "9007199254740992",
                                      "9007199254740993",
                                      "9007199254740993.0",
                                      "0.1",
                                      "0.30000000000000004",
                                      "123456789012345678901234567890",
                                      "00000000000000000000000000000000001.5",
                                      "0.00000000000000000000000000000000000001",
                                      "1.7976931348623157e308",
                                      "1e99999999999"};
  for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) check(texts[i]);
}

static void test_at_random(void **state) {
  for (uint64_t i = 0; i < 300000; i++) {
    const dt_rng_block r = dt_rng(1, DT_RNG_SYNTHETIC, i, 0, 0);
    char text[96];
    const int digits = 1 + (int)(r.word[0] % 21), point = (int)(r.word[1] % (uint32_t)(digits + 1));
    int used = snprintf(text, sizeof text, "%s", r.word[2] & 1 ? "-" : "");
    for (int d = 0; d < digits; d++) {
      const dt_rng_block more = dt_rng(1, DT_RNG_SYNTHETIC, i, 1, (uint32_t)d);
      used += snprintf(text + used, sizeof text - (size_t)used, "%s%u", d == point ? "." : "", more.word[0] % 10);
    }
    if (r.word[2] & 2) snprintf(text + used, sizeof text - (size_t)used, "e%d", (int)(r.word[3] % 640) - 330);
    check(text);
  }
}

/* Of the length that is said, and no more; an end is no terminator's. */
static void test_length_and_point(void **state) {
  double value;
  assert_true(dt_decimal_read("12345", 2, '.', &value) && value == 12);
  assert_true(dt_decimal_read("1,25", 4, ',', &value) && value == 1.25);
  assert_true(dt_decimal_read("123456789012345678901,5", 23, ',', &value) && value == 123456789012345678901.5);
  assert_false(dt_decimal_read("1,25", 4, '.', &value));
  static const char *const refused[] = {"",   "+",    "-",   ".",   "e5",    "1e",  "1e+",   "1 ",
                                        " 1", "0x10", "inf", "nan", "1.2.3", "--1", "1e5.0", "1f"};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    if (dt_decimal_read(refused[i], strlen(refused[i]), '.', &value)) fail_msg("\"%s\" was taken", refused[i]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_by_hand),
      cmocka_unit_test(test_at_random),
      cmocka_unit_test(test_length_and_point),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
