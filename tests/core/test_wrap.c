/* Text in 80 columns. */
#include "core/wrap.h"

#include <stdlib.h>
#include <string.h>

#include "support/unit.h"

static char *wrapped(const char *text, int indent, int columns) {
  char *result = NULL;
  size_t bytes = 0;
  FILE *out = open_memstream(&result, &bytes);
  dt_wrap_print(text, indent, columns, out);
  fclose(out);
  return result;
}

static void expect(const char *text, int indent, const char *expected) {
  char *found = wrapped(text, indent, 80);
  assert_string_equal(found, expected);
  free(found);
}

#define TEN "aaaaaaaaa "
#define SEVENTY TEN TEN TEN TEN TEN TEN TEN

static void test_lines(void **state) {
  expect("", 4, "");
  expect("one\n\n  two  \n", 4, "one\n\n  two\n");
  expect(SEVENTY "aaaaaaaaaa\n", 4, SEVENTY "aaaaaaaaaa\n"); /* exactly 80 */
  expect(SEVENTY "aaaaaaaaaaa\n", 4,
         "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa\n    aaaaaaaaaaa\n");
  expect(SEVENTY "x={a b}[1, 2] y\n", 2,
         "aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa aaaaaaaaa\n  x={a b}[1, 2] y\n");
  /* Columns are characters: ten u with two dots take ten. */
  expect(SEVENTY "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\n", 2,
         SEVENTY "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\n");
}

static void test_any_length(void **state) {
  char *found = wrapped(SEVENTY SEVENTY "\n", 4, 0);
  assert_int_equal(strlen(found), 140); /* without the space at the end */
  free(found);
}

/* Whatever stands in it, nothing is lost but spaces, and no line is too long that need not be. */
static void test_random(void **state) {
  uint64_t bits = 88172645463325252u;
  for (int round = 0; round < 2000; round++) {
    char text[512];
    for (int i = 0; i < 511; i++) {
      bits ^= bits << 13;
      bits ^= bits >> 7;
      bits ^= bits << 17;
      text[i] = "ab  [{]} \n"[bits % 10];
    }
    text[511] = '\0';
    int indent = (int)(bits % 30);
    char *found = wrapped(text, indent, 80);
    const char *a = text, *b = found;
    for (;;) {
      a += strspn(a, " \n");
      b += strspn(b, " \n");
      assert_int_equal(*a, *b);
      if (*a == '\0') break;
      a++;
      b++;
    }
    for (char *line = strtok(found, "\n"); line != NULL; line = strtok(NULL, "\n")) assert_true(strlen(line) <= 80);
    free(found);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_any_length),
                                     cmocka_unit_test(test_random)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
