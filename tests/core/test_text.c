/* Text from outside becomes UTF-8, and what is UTF-8 stays as it is. */
#include <stdlib.h>
#include <string.h>

#include "core/text.h"
#include "support/unit.h"

typedef struct row {
  const char *text, *utf8, *line;
} row;

static const row rows[] = {
    {"", "", ""},
    {"a \"b\" \\ 'c', d", "a \"b\" \\ 'c', d", "a \"b\" \\ 'c', d"},
    {"k\xF6nig", "k\\xf6nig", "k\\xf6nig"},                               /* latin-1 */
    {"k\xC3\xB6nig", "k\xC3\xB6nig", "k\xC3\xB6nig"},                     /* the same in UTF-8 */
    {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},         /* four bytes */
    {"\xF0\x9F\x98", "\\xf0\\x9f\\x98", "\\xf0\\x9f\\x98"},               /* cut short */
    {"\xC0\xAF", "\\xc0\\xaf", "\\xc0\\xaf"},                             /* not the shortest form */
    {"\xED\xA0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},               /* a surrogate */
    {"\xF4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", "\\xf4\\x90\\x80\\x80"}, /* beyond U+10FFFF */
    {"a\nb\t\x7F", "a\nb\t\x7F", "a\\x0ab\\x09\\x7f"},
    {"\x80\xC3\xB6\xFF", "\\x80\xC3\xB6\\xff", "\\x80\xC3\xB6\\xff"},
};

static void test_rows(void **state) {
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    char *utf8 = dt_text_utf8(rows[i].text, strlen(rows[i].text)), *line = dt_text_line(rows[i].text, strlen(rows[i].text));
    assert_string_equal(utf8, rows[i].utf8);
    assert_string_equal(line, rows[i].line);
    free(line);
    free(utf8);
  }
}

/* Only so many bytes are looked at, and a NUL among them is no end. */
static void test_bytes(void **state) {
  char *text = dt_text_utf8("\xC3\xB6", 1);
  assert_string_equal(text, "\\xc3");
  free(text);
  text = dt_text_utf8("a\0b", 3);
  assert_string_equal(text, "a\\x00b");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_rows),
      cmocka_unit_test(test_bytes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
